//! Split debug information: the files beside an executable that hold its entries.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::{
    mmap::MappedFile,
    sections::{Bytes, Dwarf, text},
};
use crate::error::Kind;

/// What `split-debuginfo` left beside an executable.
#[derive(Debug, Default)]
pub(crate) struct SplitFiles {
    /// The package, `NAME.dwp`.
    pub(crate) package: Option<MappedFile>,
    /// The files of single units. Not looked for where there is a package.
    pub(crate) singles: Vec<SplitUnit>,
    /// Where files should be that are not.
    pub(crate) missing: Vec<PathBuf>,
}

/// A file that has one unit.
#[derive(Debug)]
pub(crate) struct SplitUnit {
    /// The unit in the executable that stands for it.
    pub(crate) skeleton: usize,
    pub(crate) file: MappedFile,
}

impl SplitFiles {
    /// Looks for the files that units of the executable stand for.
    pub(crate) fn find<'u, 'd: 'u>(
        executable: &Path,
        dwarf: &Dwarf<'d>,
        units: impl Iterator<Item = &'u gimli::Unit<Bytes<'d>>> + Clone,
    ) -> Result<Self, Kind> {
        let mut split_files = Self::default();
        if units.clone().all(|it| it.dwo_id.is_none()) {
            return Ok(split_files);
        }
        // A link, such as `/proc/self/exe`, is not where the files are.
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
