//! Types that keep a list of futures: where the futures are.

use gimli::constants as dw;

use super::{types::Types, units::EntryRef, variants::MemberEntry};
use crate::shape::ListPlaces;

/// The deepest nesting of types around an address.
const MOST_DEPTH: u32 = 16;

/// Types that have their futures in a `Vec`: the path, the field, and the field of each item that
/// is the future. Each was read in the source of the version named above it.
const IN_A_VEC: [(&str, &str, Option<&str>); 4] = [
    // futures-util 0.3.
    ("futures_util::future::select_all::SelectAll", "inner", None),
    ("futures_util::future::select_ok::SelectOk", "inner", None),
    // futures-concurrency 7.
    ("futures_concurrency::future::race::vec::Race", "futures", None),
    // tokio-stream 0.1: an item is a key and a stream.
    ("tokio_stream::stream_map::StreamMap", "entries", Some("__1")),
];

/// The futures of `join_all` and `try_join_all` of futures-util 0.3, up to thirty, which are in a
/// boxed slice.
const IN_A_BOX: [&str; 2] = [
    "futures_util::future::maybe_done::MaybeDone",
    "futures_util::future::try_maybe_done::TryMaybeDone",
];

/// A list of futures-util 0.3. All others of that crate are made of it.
const IN_NODES: &str = "futures_util::stream::futures_unordered::FuturesUnordered";

/// A list: the type of what is in it, and where that is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List {
    pub(crate) element: EntryRef,
    pub(crate) places: ListPlaces,
}

impl<'d> Types<'_, 'd> {
    /// Returns the list that a type of this name keeps its futures in.
    pub(crate) fn list(&self, at: EntryRef, name: &str) -> Option<List> {
        if let Some(element) = name.strip_prefix("alloc::boxed::Box<[") {
            return if IN_A_BOX.contains(&path(element)) { self.in_a_box(at) } else { None };
        }
        let path = path(name);
        if path == IN_NODES {
            return self.in_nodes(at);
        }
        let (_, field, part) = IN_A_VEC.iter().find(|it| it.0 == path)?;
        self.in_a_vec(at, field, *part)
    }

    fn in_a_box(&self, at: EntryRef) -> Option<List> {
        let (data, length) = (self.field(at, "data_ptr")?, self.field(at, "length")?);
        let element = self.target(data.type_?)?;
        let (data_offset, length_offset) = (data.offset, length.offset);
        let stride = self.size(element)?;
        let places = ListPlaces::Row { data_offset, length_offset, stride, value_offset: 0 };
        Some(List { element, places })
    }

    fn in_a_vec(&self, at: EntryRef, field: &str, part: Option<&str>) -> Option<List> {
        let field = self.field(at, field)?;
        let vec = field.type_?;
        let (data, _) = self.address(vec, 0)?;
        let length = self.field(vec, "len")?.offset;
        let item = self.argument(vec)?;
        let (value_offset, element) = match part {
            None => (0, item),
            Some(part) => {
                let part = self.field(item, part)?;
                (part.offset, part.type_?)
            }
        };
        let places = ListPlaces::Row {
            data_offset: field.offset.checked_add(data)?,
            length_offset: field.offset.checked_add(length)?,
            stride: self.size(item)?,
            value_offset,
        };
        Some(List { element, places })
    }

    fn in_nodes(&self, at: EntryRef) -> Option<List> {
        let head = self.field(at, "head_all")?;
        let (first, pointer) = self.address(head.type_?, 0)?;
        let node = self.target(pointer)?;
        let next = self.field(node, "next_all")?;
        let (in_next, _) = self.address(next.type_?, 0)?;
        let future = self.field(node, "future")?;
        let value = self.field(future.type_?, "value")?;
        let places = ListPlaces::Nodes {
            first_offset: head.offset.checked_add(first)?,
            next_offset: next.offset.checked_add(in_next)?,
            length_offset: self.field(node, "len_all")?.offset,
            value_offset: future.offset.checked_add(value.offset)?,
        };
        Some(List { element: value.type_?, places })
    }

    fn field(&self, at: EntryRef, name: &str) -> Option<MemberEntry<'d>> {
        self.members(at).into_iter().find(|it| it.name == name)
    }

    /// The only address in a type: its offset, and the type of the pointer.
    fn address(&self, at: EntryRef, depth: u32) -> Option<(u64, EntryRef)> {
        let entry = self.units.entry(at).filter(|_| depth < MOST_DEPTH)?;
        if entry.tag() == dw::DW_TAG_pointer_type {
            return Some((0, at));
        }
        let of_member = |it: MemberEntry<'d>| {
            let (offset, pointer) = self.address(it.type_?, depth + 1)?;
            Some((it.offset.checked_add(offset)?, pointer))
        };
        let mut found = self.members(at).into_iter().filter_map(of_member);
        let only = found.next()?;
        found.next().is_none().then_some(only)
    }

    /// The type that a pointer leads to.
    fn target(&self, pointer: EntryRef) -> Option<EntryRef> {
        let entry = self.units.entry(pointer)?;
        self.referred(pointer, &entry, dw::DW_AT_type)
    }

    /// The first argument of a type with parameters.
    fn argument(&self, at: EntryRef) -> Option<EntryRef> {
        let mut found = None;
        self.units.each_child(at, |at, child| {
            if child.tag() == dw::DW_TAG_template_type_parameter && found.is_none() {
                found = self.referred(at, child, dw::DW_AT_type);
            }
        });
        found
    }
}

/// The path of a type, without its arguments.
fn path(name: &str) -> &str {
    name.split('<').next().unwrap_or_default()
}
