//! Compilation units, one for each part that the compiler translated separately, and access to
//! their entries.

use std::{cell::RefCell, collections::HashMap, sync::Arc};

use gimli::{
    AttributeValue, DebugLineOffset, DebuggingInformationEntry, IncompleteLineProgram, Section,
    UnitOffset, constants as dw,
};

use crate::{
    elf::{Bytes, Dwarf, Value, text},
    error::Kind,
    pages::Pages,
    source_location::Place,
    source_path,
    work_limit::WorkLimit,
};

pub(crate) type Entry<'d> = DebuggingInformationEntry<Bytes<'d>>;

/// The position of an entry (DIE, debugging information entry).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct EntryRef {
    pub(crate) unit: u32,
    pub(crate) offset: u32,
}

/// A namespace or a type: the fields that paths are made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NamedEntry {
    pub(crate) offset: u32,
    /// The index of the enclosing entry; `u32::MAX` if there is none.
    pub(crate) parent: u32,
    /// Whether it is a type that is defined here.
    pub(crate) is_definition: bool,
}

/// One unit.
#[derive(Debug)]
pub(crate) struct Unit<'d> {
    dwarf: usize,
    pub(crate) inner: gimli::Unit<Bytes<'d>>,
    /// The offset of its line table, which contains the file names.
    lines: Option<DebugLineOffset>,
    /// For a unit in a split file, its skeleton: the unit in the executable that refers to it, and
    /// that may have its line table.
    skeleton: Option<u32>,
    /// Ordered by offset.
    pub(crate) named: Vec<NamedEntry>,
}

/// The root entry of a unit.
#[derive(Debug)]
pub(crate) struct UnitHead<'d> {
    pub(crate) inner: gimli::Unit<Bytes<'d>>,
    lines: Option<DebugLineOffset>,
}

impl<'d> UnitHead<'d> {
    /// Takes the unit without its line table.
    ///
    /// PERF: the table is read again when a coroutine needs it. All tables together would take more
    /// memory than everything else.
    pub(crate) fn new(mut inner: gimli::Unit<Bytes<'d>>) -> Self {
        let lines = inner.line_program.take().map(|it| it.header().offset());
        Self { inner, lines }
    }
}

/// The paths of source files, by unit and file number.
type Files = HashMap<(u32, u64), Option<Arc<str>>>;

/// A line table and its position.
type Lines<'d> = ((usize, DebugLineOffset), IncompleteLineProgram<Bytes<'d>>);

/// All units of a program.
#[derive(Debug)]
pub(crate) struct Units<'d> {
    dwarfs: Vec<Dwarf<'d>>,
    all: Vec<Unit<'d>>,
    pub(crate) limit: WorkLimit,
    pages: &'d Pages<'d>,
    files: RefCell<Files>,
    last_lines: RefCell<Option<Lines<'d>>>,
}

impl<'d> Units<'d> {
    pub(crate) fn new(limit: WorkLimit, pages: &'d Pages<'d>) -> Self {
        let (files, last_lines) = (RefCell::default(), RefCell::default());
        Self { dwarfs: Vec::new(), all: Vec::new(), limit, pages, files, last_lines }
    }

    pub(crate) fn add_dwarf(&mut self, dwarf: Dwarf<'d>) -> usize {
        self.dwarfs.push(dwarf);
        self.dwarfs.len() - 1
    }

    pub(crate) fn add(
        &mut self,
        dwarf: usize,
        head: UnitHead<'d>,
        skeleton: Option<u32>,
    ) -> Result<u32, Kind> {
        let index = u32::try_from(self.all.len())
            .map_err(|_| Kind::Corrupt("it has too many units".to_owned()))?;
        let UnitHead { inner, lines } = head;
        self.all.push(Unit { dwarf, inner, lines, skeleton, named: Vec::new() });
        Ok(index)
    }

    pub(crate) fn len(&self) -> u32 {
        // `add` rejects more units than fit.
        u32::try_from(self.all.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn dwarf(&self, index: usize) -> Option<&Dwarf<'d>> {
        self.dwarfs.get(index)
    }

    pub(crate) fn unit(&self, index: u32) -> Option<&Unit<'d>> {
        self.all.get(index as usize)
    }

    pub(crate) fn set_named(&mut self, index: u32, named: Vec<NamedEntry>) {
        if let Some(unit) = self.all.get_mut(index as usize) {
            unit.named = named;
        }
    }

    pub(crate) fn text(&self, unit: u32, value: Value<'d>) -> Option<&'d str> {
        let unit = self.unit(unit)?;
        text(self.dwarfs.get(unit.dwarf)?, &unit.inner, value)
    }

    /// Like [`text`](Self::text), without a check that it is UTF-8.
    pub(crate) fn bytes(&self, unit: u32, value: Value<'d>) -> Option<&'d [u8]> {
        let unit = self.unit(unit)?;
        let text = self.dwarfs.get(unit.dwarf)?.attr_string(&unit.inner, value);
        text.ok().map(|it| it.slice())
    }

    /// Returns the first byte of a text.
    ///
    /// PERF: the end of the text, which is most of the work, is not searched.
    pub(crate) fn first_byte(&self, unit: u32, value: Value<'d>) -> Option<u8> {
        if let AttributeValue::DebugStrRef(offset) = value {
            let dwarf = self.dwarfs.get(self.unit(unit)?.dwarf)?;
            return dwarf.debug_str.reader().slice().get(offset.0).copied();
        }
        self.bytes(unit, value)?.first().copied()
    }

    pub(crate) fn address(&self, unit: u32, index: gimli::DebugAddrIndex) -> Option<u64> {
        let unit = self.unit(unit)?;
        self.dwarfs.get(unit.dwarf)?.address(&unit.inner, index).ok()
    }

    pub(crate) fn pointer_size(&self, unit: u32) -> u64 {
        self.unit(unit).map_or(8, |it| it.inner.header.address_size().into())
    }

    pub(crate) fn entry(&self, at: EntryRef) -> Option<Entry<'d>> {
        if !self.limit.step() {
            return None;
        }
        self.pages.note_entry_somewhere();
        self.unit(at.unit)?.inner.entry(UnitOffset(at.offset as usize)).ok()
    }

    pub(crate) fn name(&self, at: EntryRef, entry: &Entry<'d>) -> Option<&'d str> {
        self.text(at.unit, entry.attr_value(dw::DW_AT_name)?)
    }

    /// Returns the entry that an attribute refers to.
    pub(crate) fn reference(&self, from: u32, value: Value<'d>) -> Option<EntryRef> {
        match value {
            AttributeValue::UnitRef(offset) => {
                Some(EntryRef { unit: from, offset: u32::try_from(offset.0).ok()? })
            }
            // A reference into another unit of the same file, as link-time optimisation creates it.
            AttributeValue::DebugInfoRef(offset) => {
                let dwarf = self.unit(from)?.dwarf;
                let start = |it: &Unit<'_>| {
                    it.inner.header.debug_info_offset().map_or(usize::MAX, |it| it.0)
                };
                // Units are ordered by file, and within a file by offset.
                let after =
                    self.all.partition_point(|it| (it.dwarf, start(it)) <= (dwarf, offset.0));
                let index = after.checked_sub(1)?;
                let unit = self.all.get(index).filter(|it| it.dwarf == dwarf)?;
                let offset = offset.to_unit_offset(&unit.inner.header)?;
                Some(EntryRef {
                    unit: u32::try_from(index).ok()?,
                    offset: u32::try_from(offset.0).ok()?,
                })
            }
            _ => None,
        }
    }

    /// Returns the entry that this entry's attribute refers to, such as its type.
    pub(crate) fn referred(
        &self,
        at: EntryRef,
        entry: &Entry<'d>,
        name: gimli::DwAt,
    ) -> Option<EntryRef> {
        self.reference(at.unit, entry.attr_value(name)?)
    }

    /// Calls `see` for each direct child of an entry.
    pub(crate) fn each_child(&self, at: EntryRef, mut see: impl FnMut(EntryRef, &Entry<'d>)) {
        self.each_below(at, |depth, at, entry| {
            if depth == 1 {
                see(at, entry);
            }
            // Descendants of the child are skipped.
            false
        });
    }

    /// Calls `see` for the descendants of an entry, depth first. If `see` returns `false`, the
    /// children of that descendant are skipped.
    pub(crate) fn each_below(
        &self,
        at: EntryRef,
        mut see: impl FnMut(isize, EntryRef, &Entry<'d>) -> bool,
    ) {
        let Some(unit) = self.unit(at.unit) else { return };
        let Ok(mut raw) = unit.inner.entries_raw(Some(UnitOffset(at.offset as usize))) else {
            return;
        };
        let mut entry = Entry::null();
        // Deeper entries than this are inside a skipped one.
        let mut limit = isize::MAX;
        let mut is_first = true;
        while !raw.is_empty() && self.limit.step() {
            self.pages.note_next_entry();
            let (depth, offset) = (raw.next_depth(), raw.next_offset());
            if depth > limit {
                let Ok(abbreviation) = raw.read_abbreviation() else { return };
                if let Some(it) = abbreviation
                    && raw.skip_attributes(it.attributes()).is_err()
                {
                    return;
                }
                continue;
            }
            let Ok(is_entry) = raw.read_entry(&mut entry) else { return };
            if is_first {
                is_first = false;
                if !is_entry || !entry.has_children() {
                    return;
                }
            } else if is_entry {
                let Ok(offset) = u32::try_from(offset.0) else { return };
                let goes_in = see(depth, EntryRef { unit: at.unit, offset }, &entry);
                limit = if goes_in { isize::MAX } else { depth };
            } else if raw.next_depth() <= 0 {
                return;
            }
        }
    }

    /// Returns the source line that an entry names as its declaration.
    pub(crate) fn place(&self, at: EntryRef, entry: &Entry<'d>) -> Option<Place> {
        let line = entry.attr_value(dw::DW_AT_decl_line)?.udata_value()?;
        let line = u32::try_from(line).ok().filter(|line| *line > 0)?;
        let file = match entry.attr_value(dw::DW_AT_decl_file)? {
            AttributeValue::FileIndex(index) => index,
            other => other.udata_value()?,
        };
        let known = self.files.borrow().get(&(at.unit, file)).cloned();
        let file = known.unwrap_or_else(|| {
            let path = self.file(at.unit, file).filter(|it| self.limit.keep(it.len()));
            let path: Option<Arc<str>> = path.map(Into::into);
            self.files.borrow_mut().insert((at.unit, file), path.clone());
            path
        })?;
        Some(Place { file, line })
    }

    fn file(&self, unit: u32, index: u64) -> Option<String> {
        let mut unit = self.unit(unit)?;
        let skeleton = unit.skeleton.and_then(|it| self.unit(it));
        let folder = unit.inner.comp_dir.or(skeleton.and_then(|it| it.inner.comp_dir));
        if unit.lines.is_none() {
            unit = skeleton?;
        }
        let dwarf = self.dwarfs.get(unit.dwarf)?;
        let key = (unit.dwarf, unit.lines?);
        let mut last = self.last_lines.borrow_mut();
        if last.as_ref().is_none_or(|it| it.0 != key) {
            let (size, inner) = (unit.inner.header.address_size(), &unit.inner);
            let lines = dwarf.debug_line.program(key.1, size, inner.comp_dir, inner.name);
            *last = Some((key, lines.ok()?));
        }
        let header = last.as_ref()?.1.header();
        let file = header.file(index)?;
        let folder = match folder {
            Some(folder) => str::from_utf8(folder.slice()).ok()?,
            None => "",
        };
        // The first folder is that of the unit.
        let inner = match file.directory_index() {
            0 => None,
            _ => file.directory(header),
        };
        let inner = inner.map_or(Some(""), |inner| text(dwarf, &unit.inner, inner))?;
        let name = text(dwarf, &unit.inner, file.path_name())?;
        Some(source_path::join([folder, inner, name]))
    }
}
