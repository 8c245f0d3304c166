//! Where variables are declared, from debug information. Only the units that contain them are read.

use std::{collections::BTreeMap, path::Path};

use gimli::{AttributeValue, Operation, constants as dw};

use super::{
    Symbols,
    units::{Bytes, Unit, Units, number},
};
use crate::error::{Error, Kind};

impl Symbols {
    /// Calls `found` with each address at which a variable begins whose declaration is known, as an
    /// index into `addresses`, and with the file and the line, from 1, of the declaration.
    ///
    /// `addresses` must be sorted; they are addresses of statics that the linker assigned. Units of
    /// at most `most_bytes` in all are read. Only full debug information has variables. If two
    /// declarations claim one address, none is passed on.
    ///
    /// # Errors
    ///
    /// Fails if the file is damaged.
    pub fn find_declared(
        &self,
        addresses: &[u64],
        most_bytes: u64,
        found: impl FnMut(usize, &str, u32),
    ) -> Result<(), Error> {
        debug_assert!(addresses.is_sorted(), "the caller sorts them");
        let forget = || self.file.forget_pages();
        find(&self.file, addresses, most_bytes, found, forget)
            .map_err(|kind| Error::new(Path::new("the file"), kind))
    }

    /// Like [`find_declared`](Self::find_declared), for the bytes of a file in memory.
    ///
    /// # Errors
    ///
    /// Fails if the bytes are no ELF file, or a damaged one.
    pub fn find_declared_in(
        bytes: &[u8],
        addresses: &[u64],
        most_bytes: u64,
        found: impl FnMut(usize, &str, u32),
    ) -> Result<(), Error> {
        debug_assert!(addresses.is_sorted(), "the caller sorts them");
        find(bytes, addresses, most_bytes, found, || {})
            .map_err(|kind| Error::new(Path::new("the file"), kind))
    }
}

/// Where something is declared; `None` if it is told in two ways.
type Declared = Option<(String, u32)>;

fn find(
    bytes: &[u8],
    addresses: &[u64],
    most_bytes: u64,
    mut found: impl FnMut(usize, &str, u32),
    between_units: impl Fn(),
) -> Result<(), Kind> {
    let units = Units::of(bytes, addresses)?;
    let mut all: BTreeMap<usize, Declared> = BTreeMap::new();
    units.each(most_bytes, |unit, _| {
        read(&units, unit, addresses, &mut all)?;
        // PERF: for memory. One unit at a time is resident.
        between_units();
        Ok(())
    })?;
    for (index, declared) in all {
        if let Some((file, line)) = declared {
            found(index, &file, line);
        }
    }
    Ok(())
}

/// Reads the variables of a unit that begin at these addresses.
fn read<'d>(
    units: &Units<'d>,
    unit: &Unit<'d>,
    addresses: &[u64],
    into: &mut BTreeMap<usize, Declared>,
) -> Result<(), Kind> {
    let mut entries = unit.entries_raw(None)?;
    while !entries.is_empty() {
        let Some(abbreviation) = entries.read_abbreviation()? else { continue };
        if abbreviation.tag() != dw::DW_TAG_variable {
            entries.skip_attributes(abbreviation.attributes())?;
            continue;
        }
        let (mut address, mut file, mut line) = (None, None, None);
        for attribute in abbreviation.attributes() {
            let attribute = entries.read_attribute(*attribute)?;
            match attribute.name() {
                dw::DW_AT_location => address = address_in(units, unit, attribute.value()),
                dw::DW_AT_decl_file => file = number(attribute.value()),
                dw::DW_AT_decl_line => line = number(attribute.value()),
                _ => {}
            }
        }
        let Some(index) = address.and_then(|it| addresses.binary_search(&it).ok()) else {
            continue;
        };
        let place = units.place(unit, file, line);
        into.entry(index)
            .and_modify(|known| {
                if *known != place {
                    *known = None;
                }
            })
            .or_insert(place);
    }
    Ok(())
}

/// The address that is all of a location.
fn address_in<'d>(
    units: &Units<'d>,
    unit: &Unit<'d>,
    location: AttributeValue<Bytes<'d>>,
) -> Option<u64> {
    let mut operations = location.exprloc_value()?.operations(unit.encoding());
    let address = match operations.next().ok()?? {
        Operation::Address { address } => address,
        Operation::AddressIndex { index } => units.dwarf.address(unit, index).ok()?,
        _ => return None,
    };
    matches!(operations.next(), Ok(None)).then_some(address)
}
