//! Reads where tasks wait from the memory in a dump. The debug information is found as for a saved
//! report.

use std::path::{Path, PathBuf};

use memscope_layout::{Layouts, Symbols};
use memscope_runtime::{
    __terminal::visible_path,
    async_memory::{DumpedMemory, TaskDump},
};

use super::builds::{DUMP, another_build, build_id, not_in_folder, without_deleted_suffix};
use crate::{arguments::Tasks, error::Error};

/// Finds where the tasks of a dump wait from the memory in the dump, and returns the dump without
/// this memory. If no debug information was found, and the command line names none, returns the
/// dump unchanged with a note.
pub(crate) fn decoded(
    dump: TaskDump,
    options: &Tasks,
) -> Result<(TaskDump, Option<String>), Error> {
    let is_asked = options.program.is_some() || !options.debug_file.is_empty();
    let Some(memory) = &dump.memory else {
        if is_asked && dump.without_types != 0 {
            return Err(Error::new(
                "the dump has no memory to read places from: set `MEMSCOPE_DUMP_MEMORY=on` or \
                 `builder().dump_memory(true)` where the program runs",
            ));
        }
        return Ok((dump, None));
    };
    match layouts(memory, options.program.as_deref(), &options.debug_file) {
        Ok(layouts) => Ok((decode(dump, layouts)?, None)),
        Err(error) if is_asked => Err(error),
        Err(error) => {
            let note = format!(
                "where tasks wait: not shown, as {error}\n`--debug-file PATH` names the program with its debug information, or the file that it was moved to"
            );
            Ok((dump, Some(note)))
        }
    }
}

#[cfg(target_pointer_width = "64")]
fn decode(dump: TaskDump, layouts: Layouts) -> Result<TaskDump, Error> {
    use memscope_runtime::__decode::{decode, keep};

    keep(layouts)
        .and_then(|()| decode(dump))
        .map_err(|why| Error::new(format!("the dump cannot be decoded: {why}")))
}

#[cfg(not(target_pointer_width = "64"))]
fn decode(_: TaskDump, _: Layouts) -> Result<TaskDump, Error> {
    Err(Error::new("dumps have addresses of 64 bits, and are decoded on such a system alone"))
}

/// Returns the layouts of the program that made the dump.
fn layouts(
    memory: &DumpedMemory,
    program: Option<&Path>,
    places: &[PathBuf],
) -> Result<Layouts, Error> {
    let id = memory.build_id.as_deref().ok_or_else(|| {
        Error::new(
            "the program has no build id to find its debug information by: the linker's option \
             `--build-id` gives it one",
        )
    })?;
    if let Some(path) = program {
        return of_file(path, places, id);
    }
    // A file on the command line may be the whole program.
    let mut wrong = None;
    for path in places.iter().filter(|path| !path.is_dir()) {
        match of_file(path, places, id) {
            Ok(layouts) => return Ok(layouts),
            Err(error) => wrong = wrong.or(Some(error)),
        }
    }
    if let Some(error) = wrong {
        return Err(error);
    }
    let here = match &memory.program {
        Some(path) => of_file(&without_deleted_suffix(Path::new(path)), places, id),
        None => Err(Error::new("the dump does not say which program made it")),
    };
    // The file may be another program by now, and the debug information elsewhere.
    here.or_else(|error| {
        let nothing = || places.first().and_then(|folder| not_in_folder(folder, id));
        Layouts::of_build(id, places).ok_or_else(|| nothing().map_or(error, Error::new))
    })
}

/// Returns the layouts in this file or in its debug information, if the file is of this build.
fn of_file(path: &Path, places: &[PathBuf], id: &str) -> Result<Layouts, Error> {
    let layouts = Layouts::read_with(path, places);
    let its = match &layouts {
        Ok(layouts) => layouts.build_id().map(str::to_owned),
        // A file without types may also be of another build, and the error then says so.
        Err(error) if error.lacks_debug_info() => {
            Symbols::open(path).ok().and_then(|symbols| build_id(&symbols))
        }
        Err(_) => None,
    };
    match (layouts, its) {
        (_, Some(its)) if its != id => Err(another_build(path, &its, id, DUMP)),
        (Ok(_), None) => Err(Error::new(format!(
            "{} has no build id, and that of the dump is {id}; the linker's option `--build-id` gives programs one",
            visible_path(path)
        ))),
        (layouts, _) => Ok(layouts?),
    }
}
