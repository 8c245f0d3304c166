//! One pass over a unit: where its coroutines, their bodies and the vtables of its futures are.

use gimli::{AttributeValue, Operation, constants as dw};

use super::units::{EntryRef, NamedEntry, Unit, Units};
use crate::{elf::Value, error::Kind};

/// What the passes found.
#[derive(Debug, Default)]
pub(crate) struct ScanResult {
    /// State machines, as often as units define them.
    pub(crate) coroutines: Vec<EntryRef>,
    /// The functions that poll them.
    pub(crate) poll_functions: Vec<PollFunction>,
    /// The functions that poll what `tokio::select!` polls.
    pub(crate) selects: Vec<PollFunction>,
    /// Vtables of `dyn Future`: the link-time address, and the entry of the vtable's type.
    pub(crate) vtables: Vec<(u64, EntryRef)>,
    /// Units that tell of types with variants, or of vtables.
    pub(crate) units_with_types: usize,
}

/// The function that polls a coroutine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PollFunction {
    pub(crate) at: EntryRef,
    /// What it is in: an index into its unit's `named`.
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
/// … and the functions that poll them.
const BODIES: [&[u8]; 6] =
    [b"{async_fn#", b"{async_block#", b"{async_closure#", b"{gen_", b"{async_gen_", b"{coroutine#"];
const VTABLE: &[u8] = b"::{vtable}";
const FUTURE: &[u8] = b" as core::future::future::Future";
/// What `tokio::select!` defines where it stands: the type that its closure returns.
const SELECT: &[u8] = b"::__tokio_select_util::Out<";
/// In place of `Named`'s index.
pub(crate) const NO_PARENT: u32 = u32::MAX;

/// A unit's abbreviations, each a kind of entry. Compilers number them from 1 on.
pub(crate) fn abbreviations(
    unit: &gimli::Abbreviations,
) -> impl Iterator<Item = &gimli::Abbreviation> {
    (1..).map_while(|code| unit.get(code))
}

/// Whether the unit says anything about types with variants, or about vtables.
///
/// PERF: a handful of abbreviations tell, before any entry is read. The standard library's units
/// and those of C are passed over so.
pub(crate) fn has_types(unit: &gimli::Abbreviations) -> bool {
    abbreviations(unit).any(|it| {
        it.tag() == dw::DW_TAG_variant_part
            || it.attributes().iter().any(|it| it.name() == dw::DW_AT_containing_type)
    })
}

/// Whether the unit has types that another one may refer to: these need their paths.
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

/// A pass under way.
struct Pass<'a, 'd> {
    units: &'a Units<'d>,
    unit: &'a Unit<'d>,
    index: u32,
    found: &'a mut ScanResult,
    named: Vec<NamedEntry>,
    /// The entries that the next one is in, as far as they name it: depth, and index into `named`.
    open: Vec<(isize, u32)>,
}

/// The attributes that matter here.
#[derive(Default)]
struct Seen<'d> {
    name: Option<Value<'d>>,
    type_: Option<Value<'d>>,
    location: Option<Value<'d>>,
    is_declaration: bool,
}

impl<'d> Pass<'_, 'd> {
    fn run(mut self) -> Result<Vec<NamedEntry>, Kind> {
        let unit = self.unit;
        let mut raw = unit.inner.entries_raw(None)?;
        // Entries inside a function are deeper than its own depth.
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
        self.named.push(NamedEntry { offset: at.offset, parent, is_definition });
        u32::try_from(self.named.len() - 1).unwrap_or(NO_PARENT)
    }

    /// Nearly no name does, so nearly none needs to be read.
    fn begins_with_brace(&self, seen: &Seen<'d>) -> bool {
        seen.name.and_then(|it| self.units.first_byte(self.index, it)) == Some(b'{')
    }

    fn body(&mut self, at: EntryRef, parent: u32, seen: &Seen<'d>) {
        // Nearly no name begins with one of these, so nearly none needs to be read.
        let first = seen.name.and_then(|it| self.units.first_byte(self.index, it));
        if !matches!(first, Some(b'{' | b'p')) {
            return;
        }
        let name = self.text(seen.name).unwrap_or_default();
        if BODIES.iter().any(|it| name.starts_with(it)) {
            self.found.poll_functions.push(PollFunction { at, parent });
        } else if name.starts_with(b"poll<") && name.windows(SELECT.len()).any(|it| it == SELECT) {
            self.found.selects.push(PollFunction { at, parent });
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

/// `<F as core::future::future::Future>::{vtable}`, with or without `<Output=…>` behind the trait's
/// name.
fn is_vtable_of_future(name: &[u8]) -> bool {
    let Some(head) = name.strip_suffix(VTABLE).and_then(|it| it.strip_suffix(b">")) else {
        return false;
    };
    // Anywhere: `Output` may be of any type.
    let mut ends = head.windows(FUTURE.len()).enumerate().filter(|it| it.1 == FUTURE);
    ends.any(|(at, _)| matches!(head.get(at + FUTURE.len()), None | Some(b'<')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vtable_of_another_trait_is_none_of_a_future() {
        let yes: [&[u8]; 2] = [
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
