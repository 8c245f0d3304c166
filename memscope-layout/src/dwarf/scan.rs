//! Passes over a unit once and notes its coroutines, their poll functions, and the vtables of
//! futures.

use gimli::{AttributeValue, Operation, constants as dw};

use super::units::{EntryRef, NamedEntry, Unit, Units};
use crate::{elf::Value, error::Kind};

/// The entries that the passes found.
#[derive(Debug, Default)]
pub(crate) struct ScanResult {
    /// The state machines. A machine that several units define occurs several times.
    pub(crate) coroutines: Vec<EntryRef>,
    /// The functions that poll them.
    pub(crate) poll_functions: Vec<PollFunction>,
    /// The functions that poll the closures of `tokio::select!`.
    pub(crate) selects: Vec<PollFunction>,
    /// The generic functions with the name of those that poll Tokio's tasks.
    pub(crate) task_polls: Vec<PollFunction>,
    /// All functions whose names begin as those of functions that poll do.
    pub(crate) polls: Vec<PollFunction>,
    /// The outermost namespaces of functions that were inlined: crates that were optimised. A crate
    /// may occur several times.
    pub(crate) optimized: Vec<EntryRef>,
    /// The types with the name of the blocks that such tasks are in.
    pub(crate) task_cells: Vec<PollFunction>,
    /// The vtables of `dyn Future`: link-time address, and entry of the vtable's type.
    pub(crate) vtables: Vec<(u64, EntryRef)>,
    /// The number of units that describe types with variants, or vtables.
    pub(crate) units_with_types: usize,
}

/// The function that polls a coroutine, or a generic item whose module is not known yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PollFunction {
    pub(crate) at: EntryRef,
    /// The enclosing entry: an index into its unit's `named`.
    pub(crate) parent: u32,
}

/// How the compiler names the types of state machines.
const COROUTINES: [&[u8]; 7] = [
    b"{async_fn_env#",
    b"{async_block_env#",
    b"{async_closure_env#",
    b"{gen_",
    b"{async_gen_",
    b"{coroutine_env#",
    b"{coroutine_closure_env#",
];
/// How the compiler names the functions that poll them.
const BODIES: [&[u8]; 6] =
    [b"{async_fn#", b"{async_block#", b"{async_closure#", b"{gen_", b"{async_gen_", b"{coroutine#"];
const VTABLE: &[u8] = b"::{vtable}";
const POLLED: [&[u8]; 2] =
    [b" as core::future::future::Future", b" as futures_core::stream::Stream"];
/// Parts of the names of types that `tokio::select!` and `futures::select!` define at their call
/// sites: the return types of their closures.
const SELECTS: [&[u8]; 2] = [b"::__tokio_select_util::Out<", b"::__PrivResult<"];
/// How the names of functions that poll begin, where they are generic.
const POLL: &[u8] = b"poll<";
/// How the names of all functions that poll begin.
const POLLS: &[u8] = b"poll";
/// How the names of the types of Tokio's blocks begin.
const CELL: &[u8] = b"Cell<";
/// Stands for "no enclosing entry" in place of an index.
pub(crate) const NO_PARENT: u32 = u32::MAX;

/// Iterates over a unit's abbreviations, each of which describes one kind of entry. Compilers
/// number them from 1 on.
pub(crate) fn abbreviations(
    unit: &gimli::Abbreviations,
) -> impl Iterator<Item = &gimli::Abbreviation> {
    (1..).map_while(|code| unit.get(code))
}

/// Returns `true` if the unit contains types with variants, or vtables.
///
/// PERF: a few abbreviations tell this before any entry is read. So the units of the standard
/// library and of C code are skipped.
pub(crate) fn has_types(unit: &gimli::Abbreviations) -> bool {
    abbreviations(unit).any(|it| {
        it.tag() == dw::DW_TAG_variant_part
            || it.attributes().iter().any(|it| it.name() == dw::DW_AT_containing_type)
    })
}

/// Returns `true` if the unit contains types that another unit may refer to. Their paths are then
/// needed.
fn has_structures(unit: &gimli::Abbreviations) -> bool {
    abbreviations(unit).any(|it| is_type(it.tag()))
}

fn is_type(tag: gimli::DwTag) -> bool {
    matches!(tag, dw::DW_TAG_structure_type | dw::DW_TAG_union_type | dw::DW_TAG_enumeration_type)
}

impl ScanResult {
    pub(crate) fn scan(&mut self, units: &Units<'_>, index: u32) -> Result<Vec<NamedEntry>, Kind> {
        let Some(unit) = units.unit(index) else { return Ok(Vec::new()) };
        if has_types(&unit.inner.abbreviations) {
            self.units_with_types += 1;
        } else if !has_structures(&unit.inner.abbreviations) {
            return Ok(Vec::new());
        }
        Pass { units, unit, index, found: self, named: Vec::new(), open: Vec::new() }.run()
    }
}

/// The state of one pass.
struct Pass<'a, 'd> {
    units: &'a Units<'d>,
    unit: &'a Unit<'d>,
    index: u32,
    found: &'a mut ScanResult,
    named: Vec<NamedEntry>,
    /// The enclosing entries of the next one, as far as they contribute to its path: depth, and
    /// index into `named`.
    open: Vec<(isize, u32)>,
}

/// The attributes that are used here.
#[derive(Default)]
struct Seen<'d> {
    name: Option<Value<'d>>,
    type_: Option<Value<'d>>,
    location: Option<Value<'d>>,
    is_declaration: bool,
    is_inlined: bool,
}

impl<'d> Pass<'_, 'd> {
    fn run(mut self) -> Result<Vec<NamedEntry>, Kind> {
        let unit = self.unit;
        let mut raw = unit.inner.entries_raw(None)?;
        // Entries inside a function are deeper than the function itself.
        let mut function = isize::MAX;
        while !raw.is_empty() {
            let (offset, depth) = (raw.next_offset(), raw.next_depth());
            let Some(abbreviation) = raw.read_abbreviation()? else { continue };
            let tag = abbreviation.tag();
            let names = tag == dw::DW_TAG_namespace || is_type(tag);
            if depth > function
                || !(names || matches!(tag, dw::DW_TAG_subprogram | dw::DW_TAG_variable))
            {
                raw.skip_attributes(abbreviation.attributes())?;
                continue;
            }
            let mut seen = Seen::default();
            for spec in abbreviation.attributes() {
                let attribute = raw.read_attribute_inline(*spec)?;
                match attribute.name() {
                    dw::DW_AT_name => seen.name = Some(attribute.value()),
                    dw::DW_AT_type => seen.type_ = Some(attribute.value()),
                    dw::DW_AT_location => seen.location = Some(attribute.value()),
                    dw::DW_AT_declaration => seen.is_declaration = true,
                    dw::DW_AT_inline => seen.is_inlined = true,
                    _ => {}
                }
            }
            let offset = u32::try_from(offset.0)
                .map_err(|_| Kind::Corrupt("a unit is larger than 4 GiB".to_owned()))?;
            let at = EntryRef { unit: self.index, offset };
            self.open.truncate(self.open.partition_point(|it| it.0 < depth));
            let parent = self.open.last().map_or(NO_PARENT, |it| it.1);
            function = isize::MAX;
            if tag == dw::DW_TAG_subprogram {
                if seen.is_inlined {
                    self.inlined();
                }
                self.body(at, parent, &seen);
                function = if abbreviation.has_children() { depth } else { isize::MAX };
            } else if tag == dw::DW_TAG_variable {
                self.vtable(&seen);
            } else {
                let index = self.name(at, tag, parent, &seen);
                if abbreviation.has_children() {
                    self.open.push((depth, index));
                }
            }
        }
        Ok(self.named)
    }

    fn text(&self, value: Option<Value<'d>>) -> Option<&'d [u8]> {
        self.units.bytes(self.index, value?)
    }

    fn name(&mut self, at: EntryRef, tag: gimli::DwTag, parent: u32, seen: &Seen<'d>) -> u32 {
        let is_definition = tag != dw::DW_TAG_namespace && !seen.is_declaration;
        if is_definition
            && tag == dw::DW_TAG_structure_type
            && self.begins_with_brace(seen)
            && let Some(name) = self.text(seen.name)
            && COROUTINES.iter().any(|it| name.starts_with(it))
        {
            self.found.coroutines.push(at);
        }
        if is_definition && self.is_task_cell(tag, parent, seen) {
            self.found.task_cells.push(PollFunction { at, parent });
        }
        self.named.push(NamedEntry { offset: at.offset, parent, is_definition });
        u32::try_from(self.named.len() - 1).unwrap_or(NO_PARENT)
    }

    /// Returns `true` if this may be the block of a Tokio task. PERF: as below.
    fn is_task_cell(&self, tag: gimli::DwTag, parent: u32, seen: &Seen<'d>) -> bool {
        let first = || seen.name.and_then(|it| self.units.first_byte(self.index, it));
        tag == dw::DW_TAG_structure_type
            && parent != NO_PARENT
            && first() == Some(b'C')
            && self.text(seen.name).is_some_and(|name| name.starts_with(CELL))
    }

    /// Returns `true` if the name begins with a brace. PERF: few names do, so few names are read.
    fn begins_with_brace(&self, seen: &Seen<'d>) -> bool {
        seen.name.and_then(|it| self.units.first_byte(self.index, it)) == Some(b'{')
    }

    /// Notes the outermost namespace of a function that was inlined.
    fn inlined(&mut self) {
        let crate_ = self.open.first().and_then(|it| self.named.get(it.1 as usize));
        let at = crate_.map(|it| EntryRef { unit: self.index, offset: it.offset });
        if let Some(at) = at.filter(|it| self.found.optimized.last() != Some(it)) {
            self.found.optimized.push(at);
        }
    }

    fn body(&mut self, at: EntryRef, parent: u32, seen: &Seen<'d>) {
        // PERF: few names begin with one of these bytes, so few names are read.
        let first = seen.name.and_then(|it| self.units.first_byte(self.index, it));
        if !matches!(first, Some(b'{' | b'p')) {
            return;
        }
        let name = self.text(seen.name).unwrap_or_default();
        if name.starts_with(POLLS) {
            self.found.polls.push(PollFunction { at, parent });
        }
        if BODIES.iter().any(|it| name.starts_with(it)) {
            self.found.poll_functions.push(PollFunction { at, parent });
        } else if name.starts_with(POLL) && SELECTS.iter().any(|it| has(name, it)) {
            self.found.selects.push(PollFunction { at, parent });
        } else if name.starts_with(POLL) && parent != NO_PARENT {
            self.found.task_polls.push(PollFunction { at, parent });
        }
    }

    fn vtable(&mut self, seen: &Seen<'d>) {
        let (Some(type_), Some(AttributeValue::Exprloc(location))) = (seen.type_, seen.location)
        else {
            return;
        };
        let name = self.text(seen.name).unwrap_or_default();
        if !is_vtable_of_future(name) {
            return;
        }
        let address = match location.operations(self.unit.inner.encoding()).next() {
            Ok(Some(Operation::Address { address })) => Some(address),
            Ok(Some(Operation::AddressIndex { index })) => self.units.address(self.index, index),
            _ => None,
        };
        if let (Some(address), Some(at)) = (address, self.units.reference(self.index, type_)) {
            self.found.vtables.push((address, at));
        }
    }
}

/// Returns `true` for `<F as core::future::future::Future>::{vtable}`, with or without `<Output=…>`
/// after the trait's name, and for the same of a stream.
fn is_vtable_of_future(name: &[u8]) -> bool {
    let Some(head) = name.strip_suffix(VTABLE).and_then(|it| it.strip_suffix(b">")) else {
        return false;
    };
    // The trait may occur anywhere in the name, since `Output` may be any type.
    POLLED.iter().any(|polled| {
        let mut ends = head.windows(polled.len()).enumerate().filter(|it| it.1 == *polled);
        ends.any(|(at, _)| matches!(head.get(at + polled.len()), None | Some(b'<')))
    })
}

fn has(name: &[u8], part: &[u8]) -> bool {
    name.windows(part.len()).any(|it| it == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vtable_of_another_trait_is_none_of_a_future() {
        let yes: [&[u8]; 3] = [
            b"<a::S as futures_core::stream::Stream<Item=u8>>::{vtable}",
            b"<a::two::{async_fn_env#0} as core::future::future::Future>::{vtable}",
            b"<F as core::future::future::Future<Output=alloc::vec::Vec<u8>>>::{vtable}",
        ];
        let no: [&[u8]; 3] = [
            b"<a::two::{async_fn_env#0} as core::future::future::Future>::{vtable_type}",
            b"<a::S as core::future::future::FutureExt>::{vtable}",
            b"<std::rt::lang_start::{closure_env#0}<()> as core::ops::function::Fn<()>>::{vtable}",
        ];
        assert!(yes.iter().all(|it| is_vtable_of_future(it)));
        assert!(!no.iter().any(|it| is_vtable_of_future(it)));
    }
}
