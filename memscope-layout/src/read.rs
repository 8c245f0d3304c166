//! Reads a program's file: opens it, scans its units, reads the coroutines, and sorts them.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use gimli::constants as dw;

use crate::{
    coroutine::Coroutine,
    dwarf::{
        EntryRef, FutureTypes, PollFunctions, ScanResult, StateMachine, Types, UnitHead, Units,
        abbreviations, has_types, impls, is_same, select_closures, tasks,
    },
    elf::{
        DebugFile, Dwarf, Flavour, Identity, MappedFile, Sections, SplitFiles, hex, no_program,
        path_of_build,
    },
    error::{Error, Kind},
    layouts::Layouts,
    pages::Pages,
    shape::FutureType,
    source_location::Place,
    type_id::TypeId,
    work_limit::WorkLimit,
};

/// The number of abbreviations that any file may have, however small it is.
const LEAST_ABBREVIATIONS: u64 = 1 << 18;

impl Layouts {
    /// Reads an executable or a library.
    ///
    /// Split debug information is found where the compiler left it, and as `PATH.dwp`. Debug
    /// information that was moved to another file is found beside the program, in `.debug` there,
    /// and below `/usr/lib/debug`. A file of another build is rejected.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read, is not ELF, is truncated or damaged, or has no debug
    /// information about types. Also fails if the file with the debug information belongs to
    /// another build. The error says what to do.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::read_with(path, &[])
    }

    /// Like [`read`](Self::read); debug information that was moved is searched at these places
    /// first. A place is a file, or a folder with such files: named like the program, with or
    /// without `.debug`, or by the build id, as `.build-id/ab/cdef….debug`. A file of another build
    /// is passed over.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    pub fn read_with(path: impl AsRef<Path>, places: &[PathBuf]) -> Result<Self, Error> {
        let path = path.as_ref();
        let read = || {
            let file = MappedFile::open(path)?;
            read_program(&file, Some(path), places, &|| file.forget_pages())
        };
        read().map_err(|kind| Error::new(path, kind))
    }

    /// Reads the file with this build id, in hexadecimal digits: at one of these places, which are
    /// files or folders with files named by build id, or where a Linux distribution has installed
    /// its debug information. Returns `None` if there is none with the layouts of types.
    pub fn of_build(build_id: &str, places: &[PathBuf]) -> Option<Self> {
        let path = path_of_build(build_id, places)?;
        Self::read_with(path, places).ok()
    }

    /// Like [`read`](Self::read), for bytes in memory. Files beside the program are not searched.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    ///
    /// ```
    /// use memscope_layout::Layouts;
    ///
    /// let error = Layouts::from_bytes(b"MZ").unwrap_err();
    /// assert!(error.to_string().contains("a PE file (Windows)"), "{error}");
    /// ```
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        read_program(bytes, None, &[], &|| {})
            .map_err(|kind| Error::new(Path::new("the file"), kind))
    }
}

/// Reads a program. Files of split and of moved debug information are searched relative to `path`.
/// `forget` gives back the pages of the program that were read.
fn read_program(
    data: &[u8],
    path: Option<&Path>,
    places: &[PathBuf],
    forget: &dyn Fn(),
) -> Result<Layouts, Kind> {
    if let Some(what) = no_program(data, path) {
        return Err(Kind::NoProgram(what));
    }
    let program = Sections::read(data, Flavour::Whole)?;
    let identity = &program.identity;
    let debug_file =
        path.filter(|_| program.entry_bytes() == 0).map(|path| {
            match DebugFile::find_at(path, identity, places) {
                Some(named) => Ok(Some(named)),
                None => DebugFile::find(path, identity),
            }
        });
    let debug_file = debug_file.transpose()?.flatten();
    match debug_file {
        Some(debug_file) => Sections::read(&debug_file.file, Flavour::Whole)
            .and_then(|sections| {
                read_sections(&sections, identity, path, &|| debug_file.file.forget_pages())
            })
            .map_err(|kind| debug_file.with_path(kind)),
        None => read_sections(&program, identity, path, forget),
    }
}

fn read_sections(
    sections: &Sections<'_>,
    identity: &Identity,
    path: Option<&Path>,
    forget: &dyn Fn(),
) -> Result<Layouts, Kind> {
    if sections.entry_bytes() == 0 {
        return Err(if identity.has_symbols { Kind::NoDebugInfo } else { Kind::Stripped });
    }
    let mut dwarf = sections.dwarf()?;
    dwarf.populate_abbreviations_cache(gimli::AbbreviationsCacheStrategy::Duplicates);
    let pages = Pages::new(forget);
    pages.forget();
    let own = units_of_executable(&dwarf, sections.entry_bytes(), &pages)?;
    pages.forget();
    let split_files = path
        .map(|path| SplitFiles::find(path, &dwarf, own.iter().map(|it| &it.inner)))
        .transpose()?
        .unwrap_or_default();
    let package =
        split_files.package.as_ref().map(|it| Sections::read(it, Flavour::Split)).transpose()?;
    let singles = split_files
        .singles
        .iter()
        .map(|it| Ok((it.skeleton, Sections::read(&it.file, Flavour::Split)?)));
    let singles = singles.collect::<Result<Vec<_>, Kind>>()?;

    let split = package.iter().chain(singles.iter().map(|it| &it.1));
    let bytes = split.map(Sections::entry_bytes).fold(sections.entry_bytes(), u64::saturating_add);
    let mut units = Units::new(WorkLimit::new(bytes), &pages);
    let mut missing = split_files.missing.len();
    missing += add_units(&mut units, dwarf, own, package.as_ref(), &singles)?;

    let mut found = ScanResult::default();
    for unit in 0..units.len() {
        let named = found.scan(&units, unit)?;
        units.set_named(unit, named);
        pages.note(units.unit(unit).map_or(0, |it| it.inner.header.length_including_self()));
    }
    pages.forget();
    if found.coroutines.is_empty() && missing > 0 {
        let first = split_files.missing.into_iter().next().unwrap_or_default();
        return Err(Kind::SplitFilesMissing { first, count: missing });
    }
    if found.units_with_types == 0 {
        return Err(why_no_types(&sections.dwarf()?)?);
    }
    let layouts = layouts(&units, &found, identity, missing);
    pages.forget();
    units.limit.check()?;
    Ok(layouts)
}

/// Reads the executable's units that contain types or stand for units in other files.
fn units_of_executable<'d>(
    dwarf: &Dwarf<'d>,
    entry_bytes: u64,
    pages: &Pages<'_>,
) -> Result<Vec<UnitHead<'d>>, Kind> {
    let mut all = Vec::new();
    // Healthy files have one abbreviation for hundreds of bytes. In a damaged file, each of many
    // units may claim all abbreviations.
    let mut left = LEAST_ABBREVIATIONS + entry_bytes / 16;
    let mut headers = dwarf.units();
    while let Some(header) = headers.next()? {
        let abbreviations = dwarf.abbreviations(&header)?;
        let count = self::abbreviations(&abbreviations).count() as u64;
        left = left.checked_sub(count).ok_or(Kind::TooMuch)?;
        pages.note(header.length_including_self());
        all.push((header, abbreviations));
    }
    let any = |it: &gimli::Abbreviations, test: fn(&gimli::AttributeSpecification) -> bool| {
        abbreviations(it).any(|it| it.attributes().iter().any(test))
    };
    // Link-time optimisation may keep a shared type in only one of several units, even in a unit
    // without types of its own.
    let shares_types = all.iter().any(|(_, it)| {
        has_types(it)
            && any(it, |it| it.name() == dw::DW_AT_type && it.form() == dw::DW_FORM_ref_addr)
    });
    let is_skeleton = |it: &gimli::Abbreviations| {
        any(it, |it| matches!(it.name(), dw::DW_AT_dwo_name | dw::DW_AT_GNU_dwo_name))
    };
    let mut units = Vec::new();
    for (header, abbreviations) in all {
        if shares_types || has_types(&abbreviations) || is_skeleton(&abbreviations) {
            pages.note(header.length_including_self());
            let unit = gimli::Unit::new_with_abbreviations(dwarf, header, abbreviations)?;
            units.push(UnitHead::new(unit));
        }
    }
    Ok(units)
}

/// Adds the executable's units, and then those in other files. Returns how many of the latter are
/// missing.
fn add_units<'d>(
    units: &mut Units<'d>,
    dwarf: Dwarf<'d>,
    own: Vec<UnitHead<'d>>,
    package: Option<&'d Sections<'_>>,
    singles: &'d [(usize, Sections<'_>)],
) -> Result<usize, Kind> {
    let main = units.add_dwarf(dwarf);
    let mut skeletons = Vec::new();
    for unit in own {
        let id = unit.inner.dwo_id;
        let index = units.add(main, unit, None)?;
        skeletons.extend(id.map(|id| (index, id)));
    }
    let mut missing = 0;
    if let Some(package) = package {
        let package = package.package()?;
        for &(skeleton, id) in &skeletons {
            let parent = units.dwarf(main).map(|main| package.find_cu(id, main));
            match parent.transpose()?.flatten() {
                Some(dwarf) => add_split(units, dwarf, skeleton)?,
                None => missing += 1,
            }
        }
    }
    for (skeleton, sections) in singles {
        let mut dwarf = sections.dwarf()?;
        if let Some(main) = units.dwarf(main) {
            dwarf.make_dwo(main);
        }
        let skeleton = u32::try_from(*skeleton).unwrap_or(u32::MAX);
        add_split(units, dwarf, skeleton)?;
    }
    Ok(missing)
}

fn add_split<'d>(units: &mut Units<'d>, dwarf: Dwarf<'d>, skeleton: u32) -> Result<(), Kind> {
    let index = units.add_dwarf(dwarf);
    let mut all = Vec::new();
    if let (Some(dwarf), Some(skeleton)) = (units.dwarf(index), units.unit(skeleton)) {
        let mut headers = dwarf.units();
        while let Some(header) = headers.next()? {
            let mut unit = dwarf.unit(header)?;
            unit.copy_relocated_attributes(&skeleton.inner);
            // Skips a file that a later build has replaced.
            if unit.dwo_id.is_none_or(|id| Some(id) == skeleton.inner.dwo_id) {
                all.push(UnitHead::new(unit));
            }
        }
    }
    for unit in all {
        units.add(index, unit, Some(skeleton))?;
    }
    Ok(())
}

/// Returns why there are no types. The standard library comes with line tables, so units may exist
/// even without `debug`.
fn why_no_types(dwarf: &Dwarf<'_>) -> Result<Kind, Kind> {
    let mut headers = dwarf.units();
    while let Some(header) = headers.next()? {
        let unit = dwarf.unit(header)?;
        let is_rust = unit.entry(unit.header.root_offset())?.attr_value(dw::DW_AT_language)
            == Some(gimli::AttributeValue::Language(dw::DW_LANG_Rust));
        let is_std = unit.comp_dir.is_some_and(|it| it.slice().starts_with(b"/rustc/"));
        if is_rust && !is_std {
            return Ok(Kind::LineTablesOnly);
        }
    }
    Ok(Kind::NoDebugInfo)
}

fn layouts(units: &Units<'_>, found: &ScanResult, identity: &Identity, missing: usize) -> Layouts {
    let types = Types::new(units);
    let (machines, coroutines) = machines(&types, &found.coroutines);
    let poll_functions = PollFunctions::new(&types, &found.poll_functions);
    let selects = select_closures(&types, &found.selects, &found.task_polls);
    let mut future_types = FutureTypes::new(&types, coroutines, selects, found);
    let coroutines: Vec<Coroutine> = machines
        .into_iter()
        .map(|it| it.finish(&types, &poll_functions, &mut future_types))
        .collect();
    let impls = impls(&types, &found.poll_functions, &coroutines);
    let vtables = vtables(&types, found, identity, &mut future_types);
    let is_loaded = |address: u64| address != 0 && identity.is_loaded(address);
    let (polls, cells) = (&found.task_polls, &found.task_cells);
    let tasks = tasks(&types, polls, cells, is_loaded, &mut future_types);
    Layouts {
        build_id: identity.build_id.as_deref().map(hex),
        base_address: identity.base,
        coroutines,
        vtables: one_type_per_address(vtables, future_types.all()),
        tasks,
        future_types: future_types.into_all(),
        missing_files: missing,
        impls,
    }
}

/// Returns the coroutines, each once, the largest first; and the index of the coroutine at each
/// entry.
fn machines<'d>(
    types: &Types<'_, 'd>,
    found: &[EntryRef],
) -> (Vec<StateMachine<'d>>, HashMap<EntryRef, usize>) {
    let mut machines: Vec<StateMachine<'d>> = Vec::new();
    let mut places: HashMap<EntryRef, usize> = HashMap::new();
    let mut by_path: HashMap<Arc<str>, Vec<usize>> = HashMap::new();
    let several = paths_of_several(types, found);
    for &at in found {
        let Some(machine) = StateMachine::read(types, at) else { continue };
        let is_one_of_several = several.contains(&machine.path);
        // PERF: few paths are those of several machines.
        let awaited = |at| is_one_of_several.then(|| (types.name(at), lines_of_states(types, at)));
        let same = by_path.entry(Arc::clone(&machine.path)).or_default();
        let known = same.iter().copied().find(|&it| machines[it].is_same(&machine, awaited));
        let index = known.unwrap_or_else(|| {
            same.push(machines.len());
            machines.push(machine);
            machines.len() - 1
        });
        places.insert(at, index);
    }
    let mut order: Vec<usize> = (0..machines.len()).collect();
    order.sort_by_key(|&it| (Reverse(machines[it].size()), Arc::clone(&machines[it].path), it));
    let mut rank = vec![0; machines.len()];
    for (new, &old) in order.iter().enumerate() {
        rank[old] = new;
    }
    for index in places.values_mut() {
        *index = rank[*index];
    }
    let mut ranked: Vec<(usize, StateMachine<'d>)> =
        machines.into_iter().enumerate().map(|(old, it)| (rank[old], it)).collect();
    ranked.sort_by_key(|it| it.0);
    (ranked.into_iter().map(|it| it.1).collect(), places)
}

/// Returns the paths that several machines may have: a unit has several entries for one. After LTO
/// these may be one machine.
fn paths_of_several(types: &Types<'_, '_>, found: &[EntryRef]) -> HashSet<Arc<str>> {
    let (mut seen, mut several) = (HashSet::new(), HashSet::new());
    for &at in found {
        let Some(entry) = types.units.entry(at) else { continue };
        let path = types.path(at, &entry);
        if !seen.insert((Arc::clone(&path), at.unit)) {
            several.insert(path);
        }
    }
    several
}

/// Returns where the states of a machine stand; none for any other type.
fn lines_of_states(types: &Types<'_, '_>, at: EntryRef) -> Vec<Option<Place>> {
    let part = types.variants(at).unwrap_or_default();
    part.variants.into_iter().map(|it| it.place).collect()
}

/// Returns the types of the futures with vtables, ordered by the vtables' addresses.
fn vtables<'d>(
    types: &Types<'_, 'd>,
    found: &ScanResult,
    identity: &Identity,
    future_types: &mut FutureTypes<'_, '_, 'd>,
) -> Vec<(u64, TypeId)> {
    let mut vtables = Vec::new();
    for &(address, at) in &found.vtables {
        // For a vtable that was discarded, linkers leave 0 or an address near the end.
        if address == 0 || !identity.is_loaded(address) {
            continue;
        }
        let future = types
            .units
            .entry(at)
            .and_then(|entry| types.referred(at, &entry, dw::DW_AT_containing_type))
            .and_then(|it| future_types.find(it, true));
        vtables.extend(future.map(|it| (address, it)));
    }
    vtables.sort_unstable();
    vtables
}

/// Keeps one type for each address; `None` if several types share the address.
fn one_type_per_address(
    vtables: Vec<(u64, TypeId)>,
    types: &[FutureType],
) -> Vec<(u64, Option<TypeId>)> {
    let mut settled: Vec<(u64, Option<TypeId>)> = Vec::with_capacity(vtables.len());
    for (address, id) in vtables {
        match settled.last_mut() {
            Some((last, known)) if *last == address => {
                if known.is_some_and(|it| !is_same(types, it, id)) {
                    *known = None;
                }
            }
            _ => settled.push((address, Some(id))),
        }
    }
    settled
}
