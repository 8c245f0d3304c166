//! The tables of a profile: strings, functions, locations and the mapping, each entry once.

use std::{collections::HashMap, path::Path};

use memscope_runtime::async_memory::Program;

use super::proto::{Function, Line, Location, Mapping, Profile};
use crate::calls::{Call, CodePlace};

/// Ends of mappings are multiples of it.
const PAGE: u64 = 4096;

#[derive(Debug)]
pub(super) struct Tables {
    strings: HashMap<String, i64>,
    functions: HashMap<(i64, i64), u64>,
    locations: HashMap<(u64, u64, i64, u64), u64>,
    pub(super) profile: Profile,
}

impl Tables {
    /// With the mapping of the program.
    pub(super) fn new(program: Option<&Program>) -> Self {
        let (strings, functions, locations) = (HashMap::new(), HashMap::new(), HashMap::new());
        let mut tables = Self { strings, functions, locations, profile: Profile::default() };
        // The first entry of the table is the empty string.
        tables.string("");
        if let Some(program) = program {
            let filename = tables.string(&program.path);
            let build_id = tables.string(program.build_id.as_deref().unwrap_or_default());
            tables.profile.mapping.push(Mapping {
                id: 1,
                filename,
                build_id,
                // NOTE: a reader that believes one of these to be missing looks the addresses up
                // itself. It would need the executable segment's own mapping for that, and without
                // it finds wrong names.
                has_functions: true,
                has_filenames: true,
                has_line_numbers: true,
                has_inline_frames: true,
                ..Mapping::default()
            });
        }
        tables
    }

    /// The index of a text.
    pub(super) fn string(&mut self, text: &str) -> i64 {
        if let Some(index) = self.strings.get(text) {
            return *index;
        }
        let index = index(self.profile.string_table.len());
        self.profile.string_table.push(text.to_owned());
        self.strings.insert(text.to_owned(), index);
        index
    }

    /// The id of a call's location.
    pub(super) fn location(&mut self, call: &Call<'_>) -> u64 {
        let (address, mapping_id) = call.place.map_or((0, 0), |place| self.place(place));
        let function_id = self.function(&call.name, call.file);
        let line = i64::from(call.line);
        let key = (function_id, address, line, mapping_id);
        if let Some(id) = self.locations.get(&key) {
            return *id;
        }
        let locations = &mut self.profile.location;
        let id = locations.len() as u64 + 1;
        locations.push(Location {
            id,
            mapping_id,
            address,
            line: vec![Line { function_id, line }],
        });
        self.locations.insert(key, id);
        id
    }

    /// The address of a call and the id of its mapping: 1 if the call is in the program, else 0.
    fn place(&mut self, place: CodePlace) -> (u64, u64) {
        let address = place.address;
        let (Some(start), Some(mapping)) = (place.program_start, self.profile.mapping.first_mut())
        else {
            return (address, 0);
        };
        if mapping.memory_limit == 0 {
            mapping.memory_start = start;
        }
        if mapping.memory_start != start {
            return (address, 0);
        }
        let end = (address / PAGE).saturating_add(1).saturating_mul(PAGE);
        mapping.memory_limit = mapping.memory_limit.max(end);
        (address, mapping.id)
    }

    fn function(&mut self, name: &str, file: &str) -> u64 {
        let (name, filename) = (self.string(name), self.string(file));
        if let Some(id) = self.functions.get(&(name, filename)) {
            return *id;
        }
        let id = self.profile.function.len() as u64 + 1;
        // NOTE: without a system name, readers do not take the name for a mangled one of C++.
        self.profile.function.push(Function { id, name, system_name: 0, filename });
        self.functions.insert((name, filename), id);
        id
    }
}

/// The name of the program's file.
pub(super) fn file_name(program: &Program) -> &str {
    let name = Path::new(&program.path).file_name().and_then(|name| name.to_str());
    name.unwrap_or(&program.path)
}

pub(super) fn index(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
