//! The tables of a profile: strings, functions, locations and mappings, each entry once.

use std::{collections::HashMap, path::Path};

use memscope_runtime::async_memory::{Library, Program};

use super::proto::{Function, Line, Location, Mapping, Profile};
use crate::calls::{Call, CodePlace, LoadedFile};

/// The size of a page of memory. The ends of mappings are multiples of it.
const PAGE: u64 = 4096;

#[derive(Debug)]
pub(super) struct Tables<'s> {
    strings: HashMap<String, i64>,
    functions: HashMap<(i64, i64), u64>,
    locations: HashMap<(u64, u64, i64, u64), u64>,
    /// The ids of the libraries' mappings.
    mappings: HashMap<LoadedFile<'s>, u64>,
    libraries: &'s [Library],
    has_program: bool,
    pub(super) profile: Profile,
}

impl<'s> Tables<'s> {
    /// Makes tables that have the mapping of the program. Each library's mapping is added with its
    /// first location.
    pub(super) fn new(program: Option<&Program>, libraries: &'s [Library]) -> Self {
        let mut tables = Self {
            strings: HashMap::new(),
            functions: HashMap::new(),
            locations: HashMap::new(),
            mappings: HashMap::new(),
            libraries,
            has_program: program.is_some(),
            profile: Profile::default(),
        };
        // The first entry of the table is the empty string.
        tables.string("");
        if let Some(program) = program {
            // Readers take the first mapping for the program's.
            tables.push_mapping(&program.path, program.build_id.as_deref());
        }
        tables
    }

    /// Adds the mapping of a file, and returns its id. The caller then sets where the file was
    /// loaded.
    fn push_mapping(&mut self, path: &str, build_id: Option<&str>) -> u64 {
        let filename = self.string(path);
        let build_id = self.string(build_id.unwrap_or_default());
        let id = self.profile.mapping.len() as u64 + 1;
        self.profile.mapping.push(Mapping {
            id,
            filename,
            build_id,
            // NOTE: if one of these were false, a reader would look the addresses up itself. For
            // that it needs the mapping of the executable segment, and without this finds wrong
            // names.
            has_functions: true,
            has_filenames: true,
            has_line_numbers: true,
            has_inline_frames: true,
            ..Mapping::default()
        });
        id
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
    pub(super) fn location(&mut self, call: &Call<'s>) -> u64 {
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

    /// The address of a call and the id of its mapping; 0 if it has none.
    fn place(&mut self, place: CodePlace<'s>) -> (u64, u64) {
        let address = place.address;
        let Some(id) = place.file.and_then(|file| self.mapping(file)) else { return (address, 0) };
        let mapping = usize::try_from(id - 1).ok().and_then(|at| self.profile.mapping.get_mut(at));
        let (Some(mapping), Some(file)) = (mapping, place.file) else { return (address, 0) };
        if mapping.memory_limit == 0 {
            mapping.memory_start = file.start;
        }
        // The program is loaded once, so a second start address is a mistake of the report.
        if mapping.memory_start != file.start {
            return (address, 0);
        }
        let end = (address / PAGE).saturating_add(1).saturating_mul(PAGE);
        mapping.memory_limit = mapping.memory_limit.max(end);
        (address, id)
    }

    /// The id of a file's mapping. A library that was loaded at two places has two.
    fn mapping(&mut self, file: LoadedFile<'s>) -> Option<u64> {
        let Some(path) = file.library else { return self.has_program.then_some(1) };
        if let Some(id) = self.mappings.get(&file) {
            return Some(*id);
        }
        let library = self.libraries.iter().find(|library| library.path == path);
        let id = self.push_mapping(path, library.and_then(|it| it.build_id.as_deref()));
        self.mappings.insert(file, id);
        Some(id)
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
