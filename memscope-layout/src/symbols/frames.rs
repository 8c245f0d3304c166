//! Functions that debug information has at an address: those that were inlined there, and the
//! function itself with its type parameters; and their lines. Only the units that contain the
//! addresses are read.

use std::{collections::BTreeMap, mem, path::Path};

use gimli::{AttributeValue, DwAt, UnitOffset, constants as dw};

use super::{
    Symbols, in_common,
    lines::{Line, lines},
    readable,
    units::{Bytes, Unit, Units, number},
};
use crate::{
    error::{Error, Kind},
    frame::Frame,
};

/// The most functions at one address.
const MOST_INLINED: usize = 64;
/// How often an entry may refer to another one for its name.
const MOST_REFERENCES: u32 = 4;

impl Symbols {
    /// Calls `found` with each address whose unit was read, as an index into `addresses`, and with
    /// the functions that the debug information has there, the innermost first. The last one is the
    /// function itself, and has the type parameters that it was compiled for; line tables have them
    /// without its path, or a line without the function. There are none if this file has no debug
    /// information of the address.
    ///
    /// `addresses` must be sorted; they are addresses that the linker assigned. Units of at most
    /// `most_bytes` in all are read; for addresses in others `found` is not called, unless their
    /// unit alone is larger. Inlined functions without a path are left out, as line tables name
    /// them. Code that is of several functions has a line only if these agree.
    ///
    /// # Errors
    ///
    /// Fails if the file is damaged.
    pub fn find_frames(
        &self,
        addresses: &[u64],
        most_bytes: u64,
        found: impl FnMut(usize, &[Frame]),
    ) -> Result<(), Error> {
        debug_assert!(addresses.is_sorted(), "the caller sorts them");
        let forget = || self.file.forget_pages();
        find(&self.file, addresses, most_bytes, found, forget)
            .map_err(|kind| Error::new(Path::new("the file"), kind))
    }

    /// Like [`find_frames`](Self::find_frames), for the bytes of a file in memory.
    ///
    /// # Errors
    ///
    /// Fails if the bytes are no ELF file, or a damaged one.
    pub fn find_frames_in(
        bytes: &[u8],
        addresses: &[u64],
        most_bytes: u64,
        found: impl FnMut(usize, &[Frame]),
    ) -> Result<(), Error> {
        debug_assert!(addresses.is_sorted(), "the caller sorts them");
        find(bytes, addresses, most_bytes, found, || {})
            .map_err(|kind| Error::new(Path::new("the file"), kind))
    }
}

fn find(
    bytes: &[u8],
    addresses: &[u64],
    most_bytes: u64,
    mut found: impl FnMut(usize, &[Frame]),
    between_units: impl Fn(),
) -> Result<(), Kind> {
    let units = Units::of(bytes, addresses)?;
    let mut functions: BTreeMap<usize, Vec<Frame>> = BTreeMap::new();
    let waiting = units.each(most_bytes, |unit, inside| {
        let lines = lines(unit, addresses, inside)?;
        ReadUnit { units: &units, unit, lines }.read(addresses, inside, &mut functions)?;
        // PERF: for memory. One unit at a time is resident.
        between_units();
        Ok(())
    })?;
    for index in (0..addresses.len()).filter(|it| !waiting.contains(it)) {
        found(index, functions.get(&index).map_or(&[], Vec::as_slice));
    }
    Ok(())
}

/// What an entry says of code.
#[derive(Debug, Default)]
struct Ranges<'d> {
    low: Option<AttributeValue<Bytes<'d>>>,
    high: Option<AttributeValue<Bytes<'d>>>,
    list: Option<AttributeValue<Bytes<'d>>>,
}

/// The functions at an address so far, as entries of the unit, the outermost first.
#[derive(Debug)]
struct Chain {
    /// The address, as an index.
    index: usize,
    entries: Vec<UnitOffset>,
    /// Whether there are more functions, inside of the last one.
    is_cut: bool,
}

/// The name of a function.
#[derive(Debug)]
struct Name {
    text: String,
    has_path: bool,
}

struct ReadUnit<'u, 'd> {
    units: &'u Units<'d>,
    unit: &'u Unit<'d>,
    /// The line of each address.
    lines: BTreeMap<usize, Option<Line>>,
}

impl<'d> ReadUnit<'_, 'd> {
    fn read(
        &self,
        addresses: &[u64],
        inside: &[usize],
        functions: &mut BTreeMap<usize, Vec<Frame>>,
    ) -> Result<(), Kind> {
        // The chains of the function that is being read, and its depth.
        let (mut chains, mut depth): (Vec<Chain>, isize) = (Vec::new(), 0);
        let mut entries = self.unit.entries_raw(None)?;
        while !entries.is_empty() {
            let (at, own_depth) = (entries.next_offset(), entries.next_depth());
            if own_depth <= depth {
                self.finish(&mut chains, functions);
            }
            let Some(abbreviation) = entries.read_abbreviation()? else { continue };
            let is_function = abbreviation.tag() == dw::DW_TAG_subprogram;
            let is_inlined = abbreviation.tag() == dw::DW_TAG_inlined_subroutine;
            if !is_function && (!is_inlined || chains.is_empty()) {
                entries.skip_attributes(abbreviation.attributes())?;
                continue;
            }
            let mut ranges = Ranges::default();
            for attribute in abbreviation.attributes() {
                let attribute = entries.read_attribute(*attribute)?;
                match attribute.name() {
                    dw::DW_AT_low_pc => ranges.low = Some(attribute.value()),
                    dw::DW_AT_high_pc => ranges.high = Some(attribute.value()),
                    dw::DW_AT_ranges => ranges.list = Some(attribute.value()),
                    _ => {}
                }
            }
            if is_function {
                let there = inside.iter().copied();
                let there: Vec<usize> = self.containing(&ranges, addresses, &there)?;
                if !there.is_empty() {
                    self.finish(&mut chains, functions);
                    let chain = |index| Chain { index, entries: vec![at], is_cut: false };
                    chains.extend(there.into_iter().map(chain));
                    depth = own_depth;
                }
            } else {
                let there = chains.iter().map(|it| it.index);
                let there: Vec<usize> = self.containing(&ranges, addresses, &there)?;
                for chain in chains.iter_mut().filter(|it| there.contains(&it.index)) {
                    chain.is_cut = chain.entries.len() == MOST_INLINED;
                    if !chain.is_cut {
                        chain.entries.push(at);
                    }
                }
            }
        }
        self.finish(&mut chains, functions);
        // Line tables leave out functions without inlined ones.
        for (index, line) in &self.lines {
            if let Some((file, line)) = self.place(*line)
                && !functions.contains_key(index)
            {
                let (file, line) = (Some(file), Some(line));
                let frame = Frame { function: None, file, line, is_inlined: false };
                functions.insert(*index, vec![frame]);
            }
        }
        Ok(())
    }

    fn place(&self, line: Option<Line>) -> Option<(String, u32)> {
        let (file, line) = line?;
        self.units.place(self.unit, Some(file), Some(line))
    }

    /// Names the functions of the chains. If a chain of the same address is there already, the code
    /// is that of several functions.
    fn finish(&self, chains: &mut Vec<Chain>, into: &mut BTreeMap<usize, Vec<Frame>>) {
        for chain in chains.drain(..) {
            let mut frames = self.frames(&chain);
            match into.get_mut(&chain.index) {
                None => {
                    into.insert(chain.index, frames);
                }
                Some(others) => {
                    let common = others.pop().zip(frames.pop()).map(|it| in_both(it.0, &it.1));
                    *others = common.filter(|it| it.function.is_some()).into_iter().collect();
                }
            }
        }
    }

    /// The functions of a chain, the innermost first, each with the line of the call in it.
    fn frames(&self, chain: &Chain) -> Vec<Frame> {
        let line = self.lines.get(&chain.index).copied().flatten();
        let mut place = self.place(line).filter(|_| !chain.is_cut);
        let mut frames = Vec::new();
        for (depth, at) in chain.entries.iter().enumerate().rev() {
            let (file, line) = mem::replace(&mut place, self.call_site(*at)).unzip();
            let is_inlined = depth != 0;
            let name = self.name(self.unit, *at, MOST_REFERENCES);
            if let Some(name) = name.filter(|name| name.has_path || !is_inlined) {
                frames.push(Frame { function: Some(name.text), file, line, is_inlined });
            }
        }
        frames
    }

    /// Where the function that was inlined here was called.
    fn call_site(&self, at: UnitOffset) -> Option<(String, u32)> {
        let entry = self.unit.entry(at).ok()?;
        let number = |attribute| entry.attr_value(attribute).and_then(number);
        self.units.place(self.unit, number(dw::DW_AT_call_file), number(dw::DW_AT_call_line))
    }

    /// Which of these addresses lie in the ranges.
    fn containing(
        &self,
        ranges: &Ranges<'d>,
        addresses: &[u64],
        of: &(impl Iterator<Item = usize> + Clone),
    ) -> Result<Vec<usize>, Kind> {
        let mut inside = Vec::new();
        let mut add = |start: u64, end: u64| {
            let is_inside =
                |index: &usize| addresses.get(*index).is_some_and(|it| (start..end).contains(it));
            inside.extend(of.clone().filter(is_inside));
        };
        if let Some(list) = ranges.list {
            if let Some(offset) = self.units.dwarf.attr_ranges_offset(self.unit, list)? {
                let mut list = self.units.dwarf.ranges(self.unit, offset)?;
                while let Some(range) = list.next()? {
                    add(range.begin, range.end);
                }
            }
        } else if let Some(low) = ranges.low
            && let Some(start) = self.units.dwarf.attr_address(self.unit, low)?
            && let Some(high) = ranges.high
        {
            let end = match self.units.dwarf.attr_address(self.unit, high)? {
                Some(end) => Some(end),
                None => high.udata_value().and_then(|size| start.checked_add(size)),
            };
            // Linkers set the addresses of what they leave out to zero.
            add(start, end.filter(|_| start != 0).unwrap_or(start));
        }
        Ok(inside)
    }

    /// The name of a function, with type parameters.
    fn name(&self, unit: &Unit<'d>, at: UnitOffset, references: u32) -> Option<Name> {
        let entry = unit.entry(at).ok()?;
        let text = |attribute: DwAt| {
            let value = entry.attr_value(attribute)?;
            let text = self.units.dwarf.attr_string(unit, value).ok()?;
            readable(text.slice())
        };
        let plain = text(dw::DW_AT_name);
        let path = text(dw::DW_AT_linkage_name).or_else(|| text(dw::DW_AT_MIPS_linkage_name));
        let plain = plain.as_deref().unwrap_or("");
        let has_path = path.as_ref().is_some_and(|it| it.contains("::"));
        let short = || plain.split('<').next().filter(|it| !it.is_empty()).map(str::to_owned);
        if let Some(name) = path.or_else(short) {
            return Some(Name { text: with_arguments(name, plain), has_path });
        }
        let references = references.checked_sub(1)?;
        let origin = entry.attr_value(dw::DW_AT_abstract_origin);
        match origin.or_else(|| entry.attr_value(dw::DW_AT_specification))? {
            AttributeValue::UnitRef(at) => self.name(unit, at, references),
            AttributeValue::DebugInfoRef(at) => {
                let (other, at) = self.units.at(at)?;
                self.name(&other, at, references)
            }
            _ => None,
        }
    }
}

/// What is the same of two functions that have the same code.
fn in_both(mut one: Frame, other: &Frame) -> Frame {
    if (&one.file, one.line) != (&other.file, other.line) {
        (one.file, one.line) = (None, None);
    }
    let mut common = one.function.unwrap_or_default();
    in_common::keep(&mut common, other.function.as_deref().unwrap_or_default());
    Frame { function: Some(common).filter(|it| !it.is_empty()), ..one }
}

/// Adds the arguments of `plain`, as `poll<app::serve::{async_fn_env#0}>` has them, to a path
/// without any. Closures are written as in symbols.
fn with_arguments(path: String, plain: &str) -> String {
    let arguments = plain.find('<').filter(|at| *at != 0 && !path.contains('<'));
    let Some(arguments) = arguments.and_then(|at| plain.get(at..)) else { return path };
    let mut name = path + "::";
    let mut rest = arguments;
    while let Some(end) = rest.find("_env#") {
        let (before, after) = rest.split_at(end);
        // `{async_fn_env#0}` is `{closure#0}`.
        match before.rfind('{') {
            Some(start) if before[start + 1..].chars().all(is_of_word) => {
                name.extend([&before[..start], "{closure#"]);
            }
            _ => name.extend([before, "_env#"]),
        }
        rest = &after["_env#".len()..];
    }
    name + rest
}

fn is_of_word(it: char) -> bool {
    it.is_alphanumeric() || it == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_parameters_are_written_as_in_symbols() {
        for (path, plain, expected) in [
            (
                "tokio::runtime::task::raw::poll",
                "poll<app::serve::{async_fn_env#0}, alloc::sync::Arc<app::S, alloc::alloc::Global>>",
                "tokio::runtime::task::raw::poll::<app::serve::{closure#0}, alloc::sync::Arc<app::S, alloc::alloc::Global>>",
            ),
            (
                "a::f",
                "f<core::pin::Pin<&mut a::g::{async_block_env#1}>>",
                "a::f::<core::pin::Pin<&mut a::g::{closure#1}>>",
            ),
            ("a::f", "f<a::g::{closure_env#2}<u8>>", "a::f::<a::g::{closure#2}<u8>>"),
            ("a::f", "f", "a::f"),
            ("a::f::<u8>", "f<u8>", "a::f::<u8>"),
            ("<a::A as b::B>::f", "f<a::A>", "<a::A as b::B>::f"),
            ("a::f", "f<a_env#>", "a::f::<a_env#>"),
            ("a::f", "<", "a::f"),
        ] {
            assert_eq!(with_arguments(path.to_owned(), plain), expected);
        }
    }
}
