//! The lines of addresses, from the line table of a unit.

use std::{collections::BTreeMap, num::NonZeroU64};

use super::units::Unit;
use crate::error::Kind;

/// The number of a file of the unit, and a line in it.
pub(super) type Line = (u64, u64);

/// The lines of these addresses, by their index. `addresses` is sorted, and so is `inside`, which
/// has the indices of those in the unit. An address of which the table has two lines has none.
pub(super) fn lines(
    unit: &Unit<'_>,
    addresses: &[u64],
    inside: &[usize],
) -> Result<BTreeMap<usize, Option<Line>>, Kind> {
    let mut found: BTreeMap<usize, Option<Line>> = BTreeMap::new();
    let Some(program) = unit.line_program.clone() else { return Ok(found) };
    let mut rows = program.rows();
    // The row before this one, and whether the linker has left out the code that it is in.
    let mut before: Option<(u64, Line)> = None;
    let mut is_left_out = None;
    while let Some((_, row)) = rows.next_row()? {
        let address = row.address();
        // Linkers set the addresses of what they leave out to zero.
        let is_left_out_here = *is_left_out.get_or_insert(address == 0);
        if let Some((start, line)) = before.filter(|_| !is_left_out_here) {
            let first = inside.partition_point(|it| addresses[*it] < start);
            for index in inside[first..].iter().take_while(|it| addresses[**it] < address) {
                let known = found.entry(*index).or_insert(Some(line));
                *known = known.filter(|known| *known == line);
            }
        }
        let line = (row.file_index(), row.line().map_or(0, NonZeroU64::get));
        before = Some((address, line));
        if row.end_sequence() {
            (before, is_left_out) = (None, None);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use gimli::{
        EndianSlice, Format, LineEncoding, RunTimeEndian,
        write::{Address, DwarfUnit, EndianVec, LineProgram, LineString, Sections},
    };

    use super::*;

    /// The lines at these addresses, by a table of these sequences: start, length, line.
    fn of(sequences: &[(u64, u64, u64)], addresses: &[u64]) -> Vec<(usize, Option<u64>)> {
        let encoding = gimli::Encoding { format: Format::Dwarf32, version: 4, address_size: 8 };
        let text = |text: &str| LineString::String(text.as_bytes().to_vec());
        let (folder, name) = (text("/app"), text("a.rs"));
        let mut program =
            LineProgram::new(encoding, LineEncoding::default(), folder, None, name.clone(), None);
        let file = program.add_file(name, program.default_directory(), None);
        for &(start, length, line) in sequences {
            program.begin_sequence(Some(Address::Constant(start)));
            (program.row().file, program.row().line) = (file, line);
            program.generate_row();
            program.end_sequence(length);
        }
        let mut dwarf = DwarfUnit::new(encoding);
        dwarf.unit.line_program = program;
        let mut sections = Sections::new(EndianVec::new(RunTimeEndian::Little));
        dwarf.write(&mut sections).unwrap();
        let read = gimli::Dwarf::load(|id| {
            let bytes = sections.get(id).map_or(&[][..], |it| it.slice());
            Ok::<_, gimli::Error>(EndianSlice::new(bytes, RunTimeEndian::Little))
        });
        let read = read.unwrap();
        let unit = read.unit(read.units().next().unwrap().unwrap()).unwrap();
        let all: Vec<usize> = (0..addresses.len()).collect();
        let found = lines(&unit, addresses, &all).unwrap();
        found.into_iter().map(|(index, line)| (index, line.map(|it| it.1))).collect()
    }

    #[test]
    fn a_line_holds_from_its_row_to_the_next() {
        let table = [(0x1000, 0x10, 7), (0x1010, 0x10, 9)];
        let addresses = [0xfff, 0x1000, 0x100f, 0x1010, 0x101f, 0x1020];
        let expected = [(1, Some(7)), (2, Some(7)), (3, Some(9)), (4, Some(9))];
        assert_eq!(of(&table, &addresses), expected);
    }

    #[test]
    fn code_that_the_linker_has_left_out_has_no_lines() {
        let table = [(0, 0x2000, 3), (0x1000, 0x10, 7)];
        assert_eq!(of(&table, &[0x10, 0x1008, 0x1010]), [(1, Some(7))]);
    }

    #[test]
    fn an_address_of_two_lines_has_none() {
        let table = [(0x1000, 0x10, 7), (0x1000, 0x10, 9), (0x1000, 0x10, 7)];
        assert_eq!(of(&table, &[0x1008]), [(0, None)]);
        assert_eq!(of(&[table[0], table[2]], &[0x1008]), [(0, Some(7))]);
    }
}
