//! Follows types to the futures inside them.

use std::{collections::HashMap, sync::Arc};

use gimli::constants as dw;

use super::{
    contents::{AllContents, Contents},
    flags::{Flag, FlagValue, flag},
    scan::ScanResult,
    sinks::Sinks,
    types::Types,
    units::EntryRef,
    variants::MemberEntry,
};
use crate::{
    coroutine::Discriminant,
    shape::{Field, FutureType, OptionBesides, PointerKind, Select, SelectMask, Shape, Variant},
    type_id::TypeId,
};

/// The deepest nesting of types that is followed.
const MOST_DEPTH: u32 = 64;

/// Futures that wait in a queue, each by its path, and the field that has the queue's address. Each
/// was read in the source of the version named above it.
const QUEUES: [(&str, &str); 4] = [
    // tokio 1.54. The first is what locks, semaphores and bounded channels wait by.
    ("tokio::sync::batch_semaphore::Acquire", "semaphore"),
    ("tokio::sync::notify::Notified", "notify"),
    // futures-util 0.3: `None` once it has the lock.
    ("futures_util::lock::mutex::MutexLockFuture", "mutex"),
    ("futures_util::lock::mutex::OwnedMutexLockFuture", "mutex"),
];

/// The result of a visit to a type.
#[derive(Clone, Copy, Debug)]
enum Visit {
    /// The type leads to a future.
    Leads(TypeId),
    /// The type leads to no future, or is being visited.
    Ends,
}

/// Finds and collects the types that lead to futures.
#[derive(Debug)]
pub(crate) struct FutureTypes<'t, 'u, 'd> {
    types: &'t Types<'u, 'd>,
    /// The index of the coroutine at each entry.
    coroutines: HashMap<EntryRef, usize>,
    /// The paths of the closures that a `select!` polls.
    selects: HashMap<Arc<str>, Select>,
    visited: HashMap<EntryRef, Visit>,
    contents: AllContents<'t, 'u, 'd>,
    sinks: Sinks<'d>,
    leaves: HashMap<(Arc<str>, Option<u64>), TypeId>,
    all: Vec<FutureType>,
}

impl<'t, 'u, 'd> FutureTypes<'t, 'u, 'd> {
    pub(crate) fn new(
        types: &'t Types<'u, 'd>,
        coroutines: HashMap<EntryRef, usize>,
        selects: HashMap<Arc<str>, Select>,
        found: &ScanResult,
    ) -> Self {
        let contents = AllContents::new(types, found);
        let sinks = Sinks::new(types, &found.polls);
        let (visited, leaves) = (HashMap::new(), HashMap::new());
        Self { types, coroutines, selects, visited, contents, sinks, leaves, all: Vec::new() }
    }

    pub(crate) fn all(&self) -> &[FutureType] {
        &self.all
    }

    pub(crate) fn into_all(self) -> Vec<FutureType> {
        self.all
    }

    /// Returns the type if it leads to a future, or if `is_wanted`.
    pub(crate) fn find(&mut self, at: EntryRef, is_wanted: bool) -> Option<TypeId> {
        let found = self.visit(at, 0);
        if found.is_some() || !is_wanted {
            return found;
        }
        let key = (self.types.name(at), self.types.size(at));
        if let Some(known) = self.leaves.get(&key) {
            return Some(*known);
        }
        let is_machine = |it| self.coroutines.contains_key(&it);
        let is_closed = self.contents.is_closed(at, &is_machine, 0);
        let id = self.add(at, Shape::Leaf, Besides { is_closed, ..Besides::UNKNOWN })?;
        self.leaves.insert(key, id);
        Some(id)
    }

    fn add(&mut self, at: EntryRef, shape: Shape, besides: Besides) -> Option<TypeId> {
        if !self.types.units.limit.keep(size_of::<FutureType>()) {
            return None;
        }
        let id = TypeId(u32::try_from(self.all.len()).ok()?);
        let (name, size) = (self.types.name(at), self.types.size(at));
        let select = self.selects.get(&name).copied();
        let queue_offset = self.queue_offset(at, &name);
        let limit = self.types.limit(at, &name);
        // A list is no plain data. Its futures have told other threads where they are.
        let is_plain_besides = besides.contents.is_plain && !self.has_list(&shape);
        let is_sink = self.sinks.has(&name);
        let is_struct = matches!(shape, Shape::Struct(_));
        let is_data_besides = besides.contents.is_data;
        let options_besides =
            if is_struct && !is_data_besides { self.options_besides(at) } else { Vec::new() };
        self.all.push(FutureType {
            name,
            size,
            shape,
            is_plain_besides,
            is_data_besides,
            options_besides,
            is_closed_besides: besides.is_closed,
            is_sink,
            select,
            select_mask: if select == Some(Select::OfTokio) { self.select_mask(at) } else { None },
            queue_offset,
            limit,
        });
        Some(id)
    }

    fn has_list(&self, shape: &Shape) -> bool {
        let is_list = |it: &Field| {
            let to = self.all.get(it.future_type.0 as usize);
            to.is_some_and(|it| matches!(it.shape, Shape::List { .. }))
        };
        match shape {
            Shape::Struct(fields) => fields.iter().any(is_list),
            Shape::Enum { variants, .. } => variants.iter().any(|it| it.fields.iter().any(is_list)),
            _ => false,
        }
    }

    /// Where a future that waits in a queue has the address of it.
    fn queue_offset(&self, at: EntryRef, name: &str) -> Option<u64> {
        let path = name.split('<').next()?;
        let (_, field) = QUEUES.iter().find(|it| it.0 == path)?;
        let members = self.types.members(at);
        let queue = members.iter().find(|it| it.name == *field)?;
        (queue.size == Some(self.types.units.pointer_size(at.unit))).then_some(queue.offset)
    }

    fn select_mask(&self, closure: EntryRef) -> Option<SelectMask> {
        let members = self.types.members(closure);
        let member = members.iter().find(|it| it.name == "_ref__disabled")?;
        let at = member.type_?;
        let pointer = self.types.units.entry(at)?;
        let number = self.types.referred(at, &pointer, dw::DW_AT_type)?;
        let is_number = self.types.units.entry(number)?.tag() == dw::DW_TAG_base_type;
        let is_borrowed = pointer.tag() == dw::DW_TAG_pointer_type && is_number;
        let size = self.types.size(number).filter(|_| is_borrowed)?;
        Some(SelectMask { pointer_offset: member.offset, size })
    }

    fn visit(&mut self, at: EntryRef, depth: u32) -> Option<TypeId> {
        match self.visited.get(&at) {
            Some(Visit::Leads(id)) => return Some(*id),
            Some(Visit::Ends) => return None,
            None if depth > MOST_DEPTH => return None,
            None => {}
        }
        self.visited.insert(at, Visit::Ends);
        let (shape, besides) = self.shape(at, depth)?;
        let id = self.add(at, shape, besides)?;
        self.visited.insert(at, Visit::Leads(id));
        Some(id)
    }

    /// Returns what the type contains, and what its other data is.
    fn shape(&mut self, at: EntryRef, depth: u32) -> Option<(Shape, Besides)> {
        if let Some(&coroutine) = self.coroutines.get(&at) {
            return Some((Shape::Coroutine(coroutine), Besides::UNKNOWN));
        }
        let entry = self.types.units.entry(at)?;
        match entry.tag() {
            dw::DW_TAG_pointer_type => {
                let kind = pointer(self.types.units.name(at, &entry)?)?;
                let to = self.types.referred(at, &entry, dw::DW_AT_type)?;
                // PERF: a pointer may lead to any type. Only types whose names may contain a future
                // are followed.
                let to =
                    names_future(&self.types.name(to)).then(|| self.visit(to, depth + 1))??;
                Some((Shape::Pointer { to, kind }, Besides::UNKNOWN))
            }
            dw::DW_TAG_structure_type => {
                let name = self.types.name(at);
                if let Some(kind) = trait_object(&name) {
                    return Some((self.trait_object(at, kind)?, Besides::UNKNOWN));
                }
                if let Some(list) = self.list(at, &name, depth) {
                    return Some((list, Besides::UNKNOWN));
                }
                if let Some(part) = self.types.variants(at) {
                    let (mut leads, mut besides) = (false, Besides::NOTHING);
                    let mut variants = Vec::with_capacity(part.variants.len());
                    for variant in &part.variants {
                        let fields = self.fields(&variant.members, true, depth);
                        leads |= !fields.is_empty();
                        let its = self.besides(&variant.members);
                        besides = besides.and(its);
                        variants.push(Variant {
                            name: variant.name.into(),
                            value: variant.value,
                            fields,
                            is_data_besides: its.contents.is_data,
                            is_closed_besides: its.is_closed,
                        });
                    }
                    let discriminant = part.discriminant;
                    return leads.then_some((Shape::Enum { discriminant, variants }, besides));
                }
                let members = self.types.members(at);
                let fields = self.fields(&members, is_certain(&name), depth);
                let flag = flag(&name, &members);
                let besides = (!fields.is_empty()).then(|| self.besides(&members))?;
                Some((of_fields(fields, flag, besides), besides))
            }
            _ => None,
        }
    }

    fn fields(&mut self, members: &[MemberEntry<'d>], is_certain: bool, depth: u32) -> Vec<Field> {
        let mut fields = Vec::new();
        for member in members {
            if let Some(future_type) = member.type_.and_then(|it| self.visit(it, depth + 1)) {
                let (name, offset) = (member.name.into(), member.offset);
                fields.push(Field { name, offset, future_type, is_certain });
            }
        }
        fields
    }

    /// Returns what the members that lead to no future are. The members must have been visited.
    fn besides(&mut self, members: &[MemberEntry<'d>]) -> Besides {
        let is_machine = |it| self.coroutines.contains_key(&it);
        let mut found = Besides::NOTHING;
        for member in members {
            let its = match member.type_ {
                Some(it) if matches!(self.visited.get(&it), Some(Visit::Leads(_))) => continue,
                Some(it) => Besides {
                    contents: self.contents.of(it, &is_machine, 0),
                    is_closed: self.contents.is_closed(it, &is_machine, 0),
                },
                None => Besides::UNKNOWN,
            };
            found = found.and(its);
        }
        found
    }

    /// Returns the `Option`s that have all that this type has beside futures and data, if any do.
    fn options_besides(&mut self, at: EntryRef) -> Vec<OptionBesides> {
        let is_machine = |it| self.coroutines.contains_key(&it);
        let mut found = Vec::new();
        for member in self.types.members(at) {
            let Some(type_) = member.type_ else { return Vec::new() };
            if matches!(self.visited.get(&type_), Some(Visit::Leads(_)))
                || self.contents.of(type_, &is_machine, 0).is_data
            {
                continue;
            }
            match option(self.types, type_, member.offset) {
                Some(option) => found.push(option),
                None => return Vec::new(),
            }
        }
        found
    }

    /// The list of futures that this type has.
    fn list(&mut self, at: EntryRef, name: &str, depth: u32) -> Option<Shape> {
        let list = self.types.list(at, name)?;
        let element = self.visit(list.element, depth + 1)?;
        Some(Shape::List { element, places: list.places })
    }

    fn trait_object(&self, at: EntryRef, kind: PointerKind) -> Option<Shape> {
        let members = self.types.members(at);
        let offset = |name| members.iter().find(|it| it.name == name).map(|it| it.offset);
        let (data_offset, vtable_offset) = (offset("pointer")?, offset("vtable")?);
        Some(Shape::TraitObject { data_offset, vtable_offset, kind })
    }
}

/// Returns where the `Option` at this offset says whether it is `None`.
fn option(types: &Types<'_, '_>, at: EntryRef, offset: u64) -> Option<OptionBesides> {
    types.name(at).starts_with("core::option::Option<").then_some(())?;
    let part = types.variants(at)?;
    let value = |name| part.variants.iter().find(|it| it.name == name).map(|it| it.value);
    let (none, some) = (value("None")?, value("Some")?);
    let it = part.discriminant.filter(|_| none.is_some() || some.is_some())?;
    let discriminant = Discriminant { offset: it.offset.checked_add(offset)?, size: it.size };
    Some(OptionBesides { discriminant, none, some })
}

/// What a type has beside its futures.
#[derive(Clone, Copy, Debug)]
struct Besides {
    contents: Contents,
    /// Whether none of it has a state machine that is not among the type's fields.
    is_closed: bool,
}

impl Besides {
    const NOTHING: Self = Self { contents: Contents::DATA, is_closed: true };
    const UNKNOWN: Self = Self { contents: Contents::OTHER, is_closed: false };

    fn and(self, other: Self) -> Self {
        Self {
            contents: self.contents.and(other.contents),
            is_closed: self.is_closed && other.is_closed,
        }
    }
}

/// Returns the shape of a type with these fields. With such a flag it is as an enum is.
fn of_fields(fields: Vec<Field>, flag: Option<Flag>, besides: Besides) -> Shape {
    let Some((offset, values)) = flag else { return Shape::Struct(fields) };
    let variant = |(value, (name, polled)): (u64, &FlagValue)| Variant {
        name: (*name).into(),
        value: Some(value),
        fields: fields.iter().filter(|it| polled.contains(&&*it.name)).cloned().collect(),
        is_data_besides: besides.contents.is_data,
        is_closed_besides: besides.is_closed,
    };
    let discriminant = Some(Discriminant { offset, size: 1 });
    Shape::Enum { discriminant, variants: (0..).zip(values).map(variant).collect() }
}

/// Returns the kind of a pointer with exclusive access to its target.
fn pointer(name: &str) -> Option<PointerKind> {
    if name.starts_with("alloc::boxed::Box<") {
        Some(PointerKind::Box)
    } else {
        name.starts_with("&mut ").then_some(PointerKind::Mut)
    }
}

/// The trait objects that are looked into.
const POLLED: [&str; 2] = ["dyn core::future::future::Future", "dyn futures_core::stream::Stream"];

/// Returns the kind of a pointer to a `dyn Future` or a `dyn Stream`.
fn trait_object(name: &str) -> Option<PointerKind> {
    let kind = pointer(name)?;
    let inner = match kind {
        PointerKind::Box => name.strip_prefix("alloc::boxed::Box<")?,
        PointerKind::Mut => name.strip_prefix("&mut ")?,
    };
    let inner = inner.trim_start_matches('(');
    let rest = POLLED.iter().find_map(|it| inner.strip_prefix(it))?;
    // `FutureExt` is another trait.
    (!rest.starts_with(|it: char| it.is_alphanumeric() || it == '_' || it == ':')).then_some(kind)
}

/// Returns `true` if a type of this name may contain a future. The last one boxes the futures of a
/// service, such as a router, whose own name says nothing of them.
fn names_future(name: &str) -> bool {
    const PARTS: [&str; 5] = [
        "{async_",
        "{gen_",
        "{coroutine_",
        "{closure_env#",
        "hyper_util::service::glue::TowerToHyperService",
    ];
    PARTS.iter().chain(&POLLED).any(|it| name.contains(it))
}

/// Returns `true` if a live struct of this name has live values in all fields, with exclusive
/// access.
fn is_certain(name: &str) -> bool {
    !name.starts_with("core::mem::manually_drop::ManuallyDrop<")
        && !name.starts_with("core::cell::UnsafeCell<")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pointers_to_futures_are_trait_objects_of_futures() {
        let of = trait_object;
        assert_eq!(
            of(
                "alloc::boxed::Box<dyn core::future::future::Future<Output=usize>, alloc::alloc::Global>"
            ),
            Some(PointerKind::Box)
        );
        assert_eq!(
            of(
                "alloc::boxed::Box<(dyn core::future::future::Future<Output=()> + core::marker::Send), alloc::alloc::Global>"
            ),
            Some(PointerKind::Box)
        );
        assert_eq!(of("&mut dyn core::future::future::Future<Output=()>"), Some(PointerKind::Mut));
        assert_eq!(of("&mut dyn futures_core::stream::Stream<Item=u8>"), Some(PointerKind::Mut));
        assert_eq!(of("&dyn core::future::future::Future<Output=()>"), None, "shared");
        assert_eq!(of("alloc::boxed::Box<dyn core::fmt::Debug, alloc::alloc::Global>"), None);
    }
}
