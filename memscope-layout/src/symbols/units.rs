//! The units of debug information that contain some addresses. No others are read.

use std::collections::BTreeMap;

use gimli::{AttributeValue, DebugInfoOffset, EndianSlice, RunTimeEndian, SectionId, UnitOffset};
use object::{Object, ObjectSection, SectionFlags, elf::SHF_COMPRESSED};

use super::parse;
use crate::{error::Kind, source_path};

pub(super) type Bytes<'d> = EndianSlice<'d, RunTimeEndian>;
pub(super) type Unit<'d> = gimli::Unit<Bytes<'d>>;

/// The debug information of a file, and where its units begin.
#[derive(Debug)]
pub(super) struct Units<'d> {
    pub(super) dwarf: gimli::Dwarf<Bytes<'d>>,
    /// All with code or variables, sorted.
    starts: Vec<usize>,
    /// Those that contain addresses, as indices.
    concerned: BTreeMap<usize, Vec<usize>>,
}

impl<'d> Units<'d> {
    /// Reads the table of address ranges of an ELF file, without the units.
    pub(super) fn of(bytes: &'d [u8], addresses: &[u64]) -> Result<Self, Kind> {
        let file = parse(bytes)?;
        let endian =
            if file.is_little_endian() { RunTimeEndian::Little } else { RunTimeEndian::Big };
        let section = |id: SectionId| -> Result<_, Kind> {
            let section = file.section_by_name(id.name());
            // NOTE: a compressed section would be memory of its own.
            let section = section.filter(|it| match it.flags() {
                SectionFlags::Elf { sh_flags, .. } => sh_flags.0 & SHF_COMPRESSED.0 == 0,
                _ => false,
            });
            Ok(EndianSlice::new(section.and_then(|it| it.data().ok()).unwrap_or_default(), endian))
        };
        let dwarf = gimli::Dwarf::load(section)?;
        let mut units = Self { dwarf, starts: Vec::new(), concerned: BTreeMap::new() };
        let mut headers = units.dwarf.debug_aranges.headers();
        while let Some(header) = headers.next()? {
            let DebugInfoOffset(start) = header.debug_info_offset();
            units.starts.push(start);
            let mut ranges = header.entries();
            while let Some(range) = ranges.next()? {
                let first = addresses.partition_point(|it| *it < range.address());
                let is_inside = |it: &&u64| **it - range.address() < range.length();
                let count = addresses[first..].iter().take_while(is_inside).count();
                if count != 0 {
                    units.concerned.entry(start).or_default().extend(first..first + count);
                }
            }
        }
        units.starts.sort_unstable();
        for inside in units.concerned.values_mut() {
            inside.sort_unstable();
            inside.dedup();
        }
        Ok(units)
    }

    /// Calls `read` with each unit that contains addresses, and with these as indices. Units of at
    /// most `most_bytes` in all are read; their line tables count for those after them. Returns the
    /// addresses of those that are left for another time; a unit that alone is larger is never
    /// read.
    pub(super) fn each(
        &self,
        most_bytes: u64,
        mut read: impl FnMut(&Unit<'d>, &[usize]) -> Result<(), Kind>,
    ) -> Result<Vec<usize>, Kind> {
        let mut left = most_bytes;
        let mut waiting = Vec::new();
        for (start, inside) in &self.concerned {
            let header = self.dwarf.debug_info.header_from_offset(DebugInfoOffset(*start))?;
            let size = header.length_including_self() as u64;
            if size > left && size <= most_bytes {
                waiting.extend_from_slice(inside);
            }
            if size <= left {
                let unit = self.dwarf.unit(header)?;
                let lines =
                    unit.line_program.as_ref().map(|it| it.header().raw_program_buf().len());
                left = (left - size).saturating_sub(lines.unwrap_or(0) as u64);
                if unit.dwo_id.is_none() {
                    read(&unit, inside)?;
                }
            }
        }
        Ok(waiting)
    }

    /// The unit that has this entry, and the entry in it.
    pub(super) fn at(&self, entry: DebugInfoOffset) -> Option<(Unit<'d>, UnitOffset)> {
        let next = self.starts.partition_point(|start| *start <= entry.0);
        let start = *self.starts.get(next.checked_sub(1)?)?;
        let header = self.dwarf.debug_info.header_from_offset(DebugInfoOffset(start)).ok()?;
        let unit = self.dwarf.unit(header).ok()?;
        let entry = entry.to_unit_offset(&unit.header)?;
        Some((unit, entry))
    }
    /// The path of a file with this number in the unit, and the line. The path is absolute, unless
    /// the compiler was told to shorten it.
    pub(super) fn place(
        &self,
        unit: &Unit<'d>,
        file: Option<u64>,
        line: Option<u64>,
    ) -> Option<(String, u32)> {
        let line = line.and_then(|it| u32::try_from(it).ok()).filter(|it| *it != 0)?;
        let header = unit.line_program.as_ref()?.header();
        let file = header.file(file?)?;
        let text = |value| str::from_utf8(self.dwarf.attr_string(unit, value).ok()?.slice()).ok();
        let folder = match unit.comp_dir {
            Some(folder) => str::from_utf8(folder.slice()).ok()?,
            None => "",
        };
        // The first folder is that of the unit.
        let inner = match file.directory_index() {
            0 => "",
            _ => file.directory(header).and_then(text)?,
        };
        let name = text(file.path_name())?;
        Some((source_path::join([folder, inner, name]), line))
    }
}

/// The number of a file, or of a line.
pub(super) fn number(value: AttributeValue<Bytes<'_>>) -> Option<u64> {
    match value {
        AttributeValue::FileIndex(index) => Some(index),
        other => other.udata_value(),
    }
}
