//! Reads the names, sizes and definitions of types.

use std::{
    cell::{OnceCell, RefCell},
    collections::HashMap,
    sync::Arc,
};

use gimli::constants as dw;

use super::{
    scan::NO_PARENT,
    units::{Entry, EntryRef, Units},
};

/// The deepest nesting of arrays and namespaces that is followed.
const MOST_DEPTH: u32 = 64;
/// The longest name in bytes. Longer names end in an ellipsis.
const LONGEST_NAME: usize = 16 << 10;

/// Reads types and caches the results.
#[derive(Debug)]
pub(crate) struct Types<'u, 'd> {
    pub(crate) units: &'u Units<'d>,
    names: RefCell<HashMap<EntryRef, Arc<str>>>,
    paths: RefCell<HashMap<EntryRef, Arc<str>>>,
    definitions: RefCell<HashMap<EntryRef, Option<EntryRef>>>,
    /// All type definitions in the program, by name; built when the first declaration is met.
    defined: OnceCell<HashMap<&'d str, Vec<EntryRef>>>,
}

impl<'u, 'd> Types<'u, 'd> {
    pub(crate) fn new(units: &'u Units<'d>) -> Self {
        Self {
            units,
            names: RefCell::default(),
            paths: RefCell::default(),
            definitions: RefCell::default(),
            defined: OnceCell::new(),
        }
    }

    /// Returns the definition of the type that an attribute refers to.
    ///
    /// If the type is only declared, and its definition is missing or ambiguous, returns the
    /// declaration. Its size is then unknown.
    pub(crate) fn referred(
        &self,
        at: EntryRef,
        entry: &Entry<'d>,
        name: gimli::DwAt,
    ) -> Option<EntryRef> {
        let to = self.units.referred(at, entry, name)?;
        if let Some(known) = self.definitions.borrow().get(&to) {
            return Some(known.unwrap_or(to));
        }
        let entry = self.units.entry(to)?;
        let definition =
            entry.has_attr(dw::DW_AT_declaration).then(|| self.definition(to, &entry)).flatten();
        self.definitions.borrow_mut().insert(to, definition);
        Some(definition.unwrap_or(to))
    }

    fn definition(&self, at: EntryRef, entry: &Entry<'d>) -> Option<EntryRef> {
        let name = self.units.name(at, entry)?;
        let path = self.path(at, entry);
        let mut found: Option<(EntryRef, Option<u64>)> = None;
        for &at in self.defined.get_or_init(|| self.all_defined()).get(name).into_iter().flatten() {
            let Some(entry) = self.units.entry(at) else { break };
            if self.path(at, &entry) != path {
                continue;
            }
            let size = self.size(at);
            match found {
                // Two crates, or two versions of one crate, have types with this path.
                Some((_, other)) if other != size => return None,
                Some(_) => {}
                None => found = Some((at, size)),
            }
        }
        found.map(|it| it.0)
    }

    fn all_defined(&self) -> HashMap<&'d str, Vec<EntryRef>> {
        let mut all: HashMap<&'d str, Vec<EntryRef>> = HashMap::new();
        for unit in 0..self.units.len() {
            let named = self.units.unit(unit).map_or(&[][..], |it| &it.named);
            for named in named.iter().filter(|it| it.is_definition) {
                let at = EntryRef { unit, offset: named.offset };
                let entry = self.units.entry(at);
                if let Some(name) = entry.and_then(|it| self.units.name(at, &it)) {
                    all.entry(name).or_default().push(at);
                }
            }
        }
        all
    }

    /// Returns the path of a type or function: the names of the enclosing items, and its own.
    pub(crate) fn path(&self, at: EntryRef, entry: &Entry<'d>) -> Arc<str> {
        let named = self.units.unit(at.unit).map_or(&[][..], |it| &it.named);
        let index = named.binary_search_by_key(&at.offset, |it| it.offset);
        let parent = index.map_or(NO_PARENT, |index| named[index].parent);
        self.path_in(at, entry, parent)
    }

    /// Like [`path`](Self::path), for an entry whose enclosing entry has this index in `named`.
    pub(crate) fn path_in(&self, at: EntryRef, entry: &Entry<'d>, parent: u32) -> Arc<str> {
        let name = self.units.name(at, entry).unwrap_or("?");
        match self.namespace(at.unit, parent, 0) {
            Some(namespace) => self.keep(format!("{namespace}::{name}")),
            None => self.keep(name.to_owned()),
        }
    }

    /// Returns the path of the enclosing entry with this index in `named`.
    pub(crate) fn namespace(&self, unit: u32, index: u32, depth: u32) -> Option<Arc<str>> {
        let named = self.units.unit(unit)?.named.get(index as usize)?;
        let at = EntryRef { unit, offset: named.offset };
        if let Some(known) = self.paths.borrow().get(&at) {
            return Some(Arc::clone(known));
        }
        let entry = self.units.entry(at)?;
        let name = self.units.name(at, &entry).unwrap_or("?");
        let above =
            if depth < MOST_DEPTH { self.namespace(unit, named.parent, depth + 1) } else { None };
        let path = self.keep(above.map_or_else(|| name.to_owned(), |it| format!("{it}::{name}")));
        self.paths.borrow_mut().insert(at, Arc::clone(&path));
        Some(path)
    }

    fn keep(&self, mut text: String) -> Arc<str> {
        if text.len() > LONGEST_NAME {
            text.truncate(text.floor_char_boundary(LONGEST_NAME));
            text.push('…');
        }
        if self.units.limit.keep(text.len()) { text.into() } else { "?".into() }
    }

    /// Returns the type's name in Rust syntax.
    pub(crate) fn name(&self, at: EntryRef) -> Arc<str> {
        self.name_at_depth(at, 0)
    }

    fn name_at_depth(&self, at: EntryRef, depth: u32) -> Arc<str> {
        if let Some(known) = self.names.borrow().get(&at) {
            return Arc::clone(known);
        }
        let Some(entry) = self.units.entry(at).filter(|_| depth < MOST_DEPTH) else {
            return "?".into();
        };
        let inner = || match self.referred(at, &entry, dw::DW_AT_type) {
            Some(to) => self.name_at_depth(to, depth + 1),
            None => "()".into(),
        };
        let name = match entry.tag() {
            dw::DW_TAG_array_type => {
                let count = self.count(at).map_or_else(|| "?".to_owned(), |it| it.to_string());
                self.keep(format!("[{}; {count}]", inner()))
            }
            dw::DW_TAG_pointer_type if !entry.has_attr(dw::DW_AT_name) => {
                self.keep(format!("*{}", inner()))
            }
            _ => self.path(at, &entry),
        };
        self.names.borrow_mut().insert(at, Arc::clone(&name));
        name
    }

    /// Returns the number of elements of an array.
    fn count(&self, at: EntryRef) -> Option<u64> {
        let mut count = None;
        self.units.each_child(at, |_, child| {
            if child.tag() == dw::DW_TAG_subrange_type {
                let number = |name| child.attr_value(name).and_then(|it| it.udata_value());
                count = number(dw::DW_AT_count)
                    .or_else(|| number(dw::DW_AT_upper_bound)?.checked_add(1));
            }
        });
        count
    }

    /// Returns the type's size in bytes; `None` if it is only declared.
    pub(crate) fn size(&self, at: EntryRef) -> Option<u64> {
        self.size_at_depth(at, 0)
    }

    fn size_at_depth(&self, at: EntryRef, depth: u32) -> Option<u64> {
        let entry = self.units.entry(at).filter(|_| depth < MOST_DEPTH)?;
        if let Some(size) = entry.attr_value(dw::DW_AT_byte_size) {
            return size.udata_value();
        }
        match entry.tag() {
            dw::DW_TAG_pointer_type | dw::DW_TAG_reference_type => {
                Some(self.units.pointer_size(at.unit))
            }
            dw::DW_TAG_array_type => {
                let element = self.referred(at, &entry, dw::DW_AT_type)?;
                self.size_at_depth(element, depth + 1)?.checked_mul(self.count(at)?)
            }
            dw::DW_TAG_typedef | dw::DW_TAG_const_type => {
                self.size_at_depth(self.referred(at, &entry, dw::DW_AT_type)?, depth + 1)
            }
            _ => None,
        }
    }
}
