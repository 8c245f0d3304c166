//! What values consist of that lead to no future: whether a type that has them beside a future may
//! wait for them.

use std::collections::{HashMap, HashSet};

use gimli::constants as dw;

use super::{
    scan::ScanResult,
    types::Types,
    units::{Entry, EntryRef},
    variants::{MemberEntry, is_function},
};

/// The deepest nesting of types that is followed.
const MOST_DEPTH: u32 = 64;

/// Libraries whose types poll nothing but what their arguments say: a lock, a channel or a list may
/// have futures only if one of its arguments is one, or has one.
const BY_ARGUMENTS: [&str; 15] = [
    "core::",
    "alloc::",
    "std::",
    "hashbrown::",
    "bytes::",
    "futures_channel::",
    "futures_core::",
    "futures_util::",
    "http::",
    "lock_api::",
    "parking_lot::",
    "tokio::",
    "tokio_util::",
    "tracing::",
    "tracing_core::",
];

/// Types that own values of their arguments, which no other code changes meanwhile.
const OWNERS: [&str; 12] = [
    "alloc::collections::binary_heap::BinaryHeap",
    "alloc::collections::btree::map::BTreeMap",
    "alloc::collections::btree::set::BTreeSet",
    "alloc::collections::linked_list::LinkedList",
    "alloc::collections::vec_deque::VecDeque",
    "alloc::rc::Rc",
    "alloc::sync::Arc",
    "alloc::vec::Vec",
    "std::collections::hash::map::HashMap",
    "std::collections::hash::set::HashSet",
    // bytes 1.
    "bytes::bytes::Bytes",
    "bytes::bytes_mut::BytesMut",
];

/// Traits whose objects poll nothing.
const HARMLESS: [&str; 4] =
    ["core::error::Error", "core::any::Any", "core::fmt::Debug", "core::fmt::Display"];

/// What values of a type consist of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Contents {
    /// Only numbers, functions and owned text: nothing by which another thread may say something.
    pub(super) is_plain: bool,
    /// Nothing that may be a future: numbers, text, and collections of these.
    pub(super) is_data: bool,
}

impl Contents {
    pub(super) const DATA: Self = Self { is_plain: true, is_data: true };
    pub(super) const OTHER: Self = Self { is_plain: false, is_data: false };
    const PLAIN: Self = Self { is_plain: true, is_data: false };
    /// Data behind a pointer, which another thread may have as well.
    const BEHIND: Self = Self { is_plain: false, is_data: true };

    pub(super) fn and(self, other: Self) -> Self {
        Self { is_plain: self.is_plain && other.is_plain, is_data: self.is_data && other.is_data }
    }
}

/// What a type consists of at most, and the types on which it depends. `None` among these is one
/// that is not described.
#[derive(Debug)]
struct Parts {
    most: Contents,
    types: Vec<Option<EntryRef>>,
}

impl Parts {
    const fn all(most: Contents) -> Self {
        Self { most, types: Vec::new() }
    }
}

/// Tells what types consist of, and caches the results.
#[derive(Debug)]
pub(super) struct AllContents<'t, 'u, 'd> {
    types: &'t Types<'u, 'd>,
    /// The names, without their modules, of types that have a function which polls them.
    polled: HashSet<&'d str>,
    /// Crates that were optimised. A function of theirs that does little leaves no trace.
    optimized: HashSet<&'d str>,
    contents: HashMap<EntryRef, Contents>,
    closed: HashMap<EntryRef, bool>,
}

impl<'t, 'u, 'd> AllContents<'t, 'u, 'd> {
    pub(super) fn new(types: &'t Types<'u, 'd>, found: &ScanResult) -> Self {
        let polled = found.polls.iter().filter_map(|it| polled_type(types, it.at)).collect();
        let name = |at: &EntryRef| types.units.name(*at, &types.units.entry(*at)?);
        let optimized = found.optimized.iter().filter_map(name).collect();
        let (contents, closed) = (HashMap::new(), HashMap::new());
        Self { types, polled, optimized, contents, closed }
    }

    /// Returns what the type consists of. `is_machine`: whether a type is a state machine.
    pub(super) fn of(
        &mut self,
        at: EntryRef,
        is_machine: &impl Fn(EntryRef) -> bool,
        depth: u32,
    ) -> Contents {
        if let Some(known) = self.contents.get(&at) {
            return *known;
        }
        // The answer during the visit, and beyond the deepest nesting.
        self.contents.insert(at, Contents::OTHER);
        let mut found = Contents::OTHER;
        if depth < MOST_DEPTH
            && !is_machine(at)
            && let Some(parts) = self.parts(at)
        {
            found = parts.most;
            for part in parts.types {
                if found == Contents::OTHER {
                    break;
                }
                found = found.and(match part {
                    Some(part) => self.of(part, is_machine, depth + 1),
                    None => Contents::OTHER,
                });
            }
        }
        self.contents.insert(at, found);
        found
    }

    /// Returns what a type is at most, and the types that say how much of that it is; `None` if it
    /// may be anything.
    fn parts(&self, at: EntryRef) -> Option<Parts> {
        let entry = self.types.units.entry(at)?;
        if entry.has_attr(dw::DW_AT_declaration) {
            return None;
        }
        let to = || self.types.referred(at, &entry, dw::DW_AT_type);
        match entry.tag() {
            dw::DW_TAG_base_type => Some(Parts::all(Contents::DATA)),
            // An enum without fields may be a future: what it waits for is in a static.
            dw::DW_TAG_enumeration_type => Some(Parts::all(self.most(at, &entry))),
            dw::DW_TAG_pointer_type => {
                let name = self.types.units.name(at, &entry)?;
                // A pointer to a function, which may have no size here.
                if is_function(name) {
                    let may_poll = name.contains("task::wake::Context");
                    let most = if may_poll { Contents::PLAIN } else { Contents::DATA };
                    return Some(Parts::all(most));
                }
                let is_owned = name.starts_with('&') || name.starts_with("alloc::boxed::Box<");
                is_owned.then(|| Parts { most: Contents::BEHIND, types: vec![to()] })
            }
            dw::DW_TAG_array_type => Some(Parts { most: Contents::DATA, types: vec![to()] }),
            dw::DW_TAG_structure_type => {
                let name = self.types.name(at);
                if let Some(known) = contents_by_name(&name) {
                    return Some(Parts::all(known));
                }
                if name.starts_with("core::cell::UnsafeCell<") {
                    return None;
                }
                if let Some(element) = self.element(at, &name) {
                    return Some(Parts { most: Contents::BEHIND, types: vec![Some(element)] });
                }
                if OWNERS.contains(&path(&name)) {
                    let types = self.arguments(at).into_iter().map(Some).collect();
                    return Some(Parts { most: Contents::BEHIND, types });
                }
                let types = self.members(at).into_iter().map(|it| it.type_).collect();
                Some(Parts { most: self.most(at, &entry), types })
            }
            _ => None,
        }
    }

    /// Returns what a type is at most, whatever its members are. One that nothing polls is data. If
    /// it has no bytes, it may be a future whose function leaves no trace.
    fn most(&self, at: EntryRef, entry: &Entry<'d>) -> Contents {
        let name = self.types.name(at);
        let own_crate = name.split("::").next().unwrap_or_default();
        let is_not_polled = || {
            let own = self.types.units.name(at, entry);
            own.is_some_and(|own| !self.polled.contains(own))
                && self.types.size(at).is_some_and(|size| size != 0)
                && !self.optimized.contains(own_crate)
        };
        if is_data(&name) || !is_library_future(&name) && is_not_polled() {
            Contents::DATA
        } else {
            Contents::PLAIN
        }
    }

    /// Returns `true` if no value of the type has a state machine in it, or an object of a trait
    /// that may have one.
    pub(super) fn is_closed(
        &mut self,
        at: EntryRef,
        is_machine: &impl Fn(EntryRef) -> bool,
        depth: u32,
    ) -> bool {
        if let Some(known) = self.closed.get(&at) {
            return *known;
        }
        // The answer during the visit, and beyond the deepest nesting.
        self.closed.insert(at, false);
        let parts = (depth < MOST_DEPTH && !is_machine(at)).then(|| self.holders(at)).flatten();
        let found = parts.is_some_and(|parts| {
            parts
                .into_iter()
                .all(|it| it.is_some_and(|it| self.is_closed(it, is_machine, depth + 1)))
        });
        self.closed.insert(at, found);
        found
    }

    /// Returns the types that may hold a state machine in a value of this one; `None` if any may.
    fn holders(&self, at: EntryRef) -> Option<Vec<Option<EntryRef>>> {
        let entry = self.types.units.entry(at)?;
        match entry.tag() {
            dw::DW_TAG_base_type | dw::DW_TAG_enumeration_type => Some(Vec::new()),
            dw::DW_TAG_pointer_type | dw::DW_TAG_array_type => {
                let is_function = self.types.units.name(at, &entry).is_some_and(is_function);
                let to = || self.types.referred(at, &entry, dw::DW_AT_type);
                Some(if is_function { Vec::new() } else { vec![to()] })
            }
            dw::DW_TAG_structure_type | dw::DW_TAG_union_type => {
                let name = self.types.name(at);
                if contents_by_name(&name).is_some() {
                    return Some(Vec::new());
                }
                if let Some(object) = name.trim_start_matches('(').strip_prefix("dyn ") {
                    let is_harmless = HARMLESS.iter().any(|it| object.starts_with(it));
                    return is_harmless.then(Vec::new);
                }
                if entry.has_attr(dw::DW_AT_declaration) {
                    return None;
                }
                if let Some(element) = self.element(at, &name) {
                    return Some(vec![Some(element)]);
                }
                // A fat pointer has no arguments, and leads to its object.
                let is_pointer = name.starts_with('&') || name.starts_with("alloc::boxed::Box<");
                // The arguments of an enum stand at its variants.
                let is_enum = self.types.variants(at).is_some();
                if is_by_arguments(&name) && !is_pointer && !is_enum {
                    return Some(self.arguments(at).into_iter().map(Some).collect());
                }
                Some(self.members(at).into_iter().map(|it| it.type_).collect())
            }
            _ => None,
        }
    }

    /// Returns the type of the elements of a slice that a pointer leads to.
    fn element(&self, at: EntryRef, name: &str) -> Option<EntryRef> {
        const SLICES: [&str; 3] = ["&[", "&mut [", "alloc::boxed::Box<["];
        SLICES.iter().any(|it| name.starts_with(it)).then_some(())?;
        let members = self.types.members(at);
        let data = members.iter().find(|it| it.name == "data_ptr")?.type_?;
        self.types.referred(data, &self.types.units.entry(data)?, dw::DW_AT_type)
    }

    fn members(&self, at: EntryRef) -> Vec<MemberEntry<'d>> {
        match self.types.variants(at) {
            Some(part) => part.variants.into_iter().flat_map(|it| it.members).collect(),
            None => self.types.members(at),
        }
    }

    fn arguments(&self, at: EntryRef) -> Vec<EntryRef> {
        let mut found = Vec::new();
        self.types.units.each_child(at, |at, child| {
            if child.tag() == dw::DW_TAG_template_type_parameter {
                found.extend(self.types.referred(at, child, dw::DW_AT_type));
            }
        });
        found
    }
}

/// Returns the name, without its module, of the type that a function polls: of what its first
/// parameter leads to.
fn polled_type<'d>(types: &Types<'_, 'd>, function: EntryRef) -> Option<&'d str> {
    /// The most pointers on the way, and types around them.
    const MOST: u32 = 4;
    let mut first = None;
    types.units.each_child(function, |at, child| {
        if first.is_none() && child.tag() == dw::DW_TAG_formal_parameter {
            first = types.referred(at, child, dw::DW_AT_type);
        }
    });
    let mut at = first?;
    for _ in 0..MOST {
        let entry = types.units.entry(at)?;
        let name = types.units.name(at, &entry);
        if entry.tag() == dw::DW_TAG_pointer_type {
            at = types.referred(at, &entry, dw::DW_AT_type)?;
        } else if name.is_some_and(|it| it.starts_with("Pin<&")) {
            at = types.members(at).first()?.type_?;
        } else {
            return name;
        }
    }
    None
}

/// The path of a type, without its arguments.
fn path(name: &str) -> &str {
    name.split('<').next().unwrap_or_default()
}

/// Returns what structs of this name consist of, if their members do not show it: text is behind a
/// pointer, and two marker types have no members.
fn contents_by_name(name: &str) -> Option<Contents> {
    match name {
        "str" | "&str" | "alloc::string::String" => Some(Contents::DATA),
        "alloc::boxed::Box<str, alloc::alloc::Global>" | "core::marker::PhantomPinned" => {
            Some(Contents::BEHIND)
        }
        _ if name.starts_with("core::marker::PhantomData<") => Some(Contents::DATA),
        _ => None,
    }
}

/// Returns `true` if structs of this name are no futures: tuples, closures, and types of the
/// standard library but its futures.
fn is_data(name: &str) -> bool {
    let path = path(name);
    let is_of = |part: &str| path.starts_with(part);
    let is_closure = path.rsplit("::").next().is_some_and(|it| it.starts_with("{closure_env#"));
    is_of("(")
        || is_closure
        || (["core::", "alloc::", "std::"].into_iter().any(is_of) && !is_library_future(name))
}

fn is_library_future(name: &str) -> bool {
    name.starts_with("core::future::")
}

fn is_by_arguments(name: &str) -> bool {
    BY_ARGUMENTS.iter().any(|it| name.starts_with(it))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_the_standard_library_are_data_but_its_futures() {
        for name in ["(u8, app::Turn)", "core::option::Option<app::Turn>", "std::time::Instant"] {
            assert!(is_data(name), "{name}");
        }
        assert!(is_data("app::run::{closure_env#0}<core::future::pending::Pending<()>>"));
        for name in ["app::Turn", "core::future::pending::Pending<()>", "corex::future::A"] {
            assert!(!is_data(name), "{name}");
        }
    }

    #[test]
    fn what_is_behind_a_pointer_is_data_and_not_plain() {
        assert_eq!(Contents::BEHIND.and(Contents::DATA), Contents::BEHIND);
        assert_eq!(Contents::BEHIND.and(Contents::PLAIN), Contents::OTHER);
        assert_eq!(contents_by_name("core::marker::PhantomPinned"), Some(Contents::BEHIND));
        assert!(is_by_arguments("alloc::vec::Vec<app::Job>") && !is_by_arguments("app::Jobs"));
    }
}
