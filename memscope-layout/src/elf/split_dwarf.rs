//! Finds split debug information: the files beside an executable that contain its entries.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::{
    mmap::MappedFile,
    sections::{Bytes, Dwarf, text},
};
use crate::error::Kind;

/// The files that `split-debuginfo` left beside an executable.
#[derive(Debug, Default)]
pub(crate) struct SplitFiles {
    /// The package, `NAME.dwp`.
    pub(crate) package: Option<MappedFile>,
    /// The files with single units. They are not searched if there is a package.
    pub(crate) singles: Vec<SplitUnit>,
    /// The paths of files that were expected and not found.
    pub(crate) missing: Vec<PathBuf>,
}

/// A file with one unit.
#[derive(Debug)]
pub(crate) struct SplitUnit {
    /// The skeleton unit: the unit in the executable that refers to this file.
    pub(crate) skeleton: usize,
    pub(crate) file: MappedFile,
}

impl SplitFiles {
    /// Searches the files that skeleton units of the executable refer to.
    pub(crate) fn find<'u, 'd: 'u>(
        executable: &Path,
        dwarf: &Dwarf<'d>,
        units: impl Iterator<Item = &'u gimli::Unit<Bytes<'d>>> + Clone,
    ) -> Result<Self, Kind> {
        let mut split_files = Self::default();
        if units.clone().all(|it| it.dwo_id.is_none()) {
            return Ok(split_files);
        }
        // The files are beside the program itself, not beside a link such as `/proc/self/exe`.
        let mut package: OsString = executable.canonicalize()?.into();
        package.push(".dwp");
        split_files.package = MappedFile::open(Path::new(&package)).ok();
        if split_files.package.is_some() {
            return Ok(split_files);
        }
        for (skeleton, unit) in units.enumerate().filter(|it| it.1.dwo_id.is_some()) {
            let name = unit.dwo_name()?.and_then(|name| text(dwarf, unit, name));
            let folder = unit.comp_dir.and_then(|it| str::from_utf8(it.slice()).ok());
            let path = Path::new(folder.unwrap_or("")).join(name.unwrap_or(""));
            match MappedFile::open(&path) {
                Ok(file) => split_files.singles.push(SplitUnit { skeleton, file }),
                Err(_) => split_files.missing.push(path),
            }
        }
        Ok(split_files)
    }
}
