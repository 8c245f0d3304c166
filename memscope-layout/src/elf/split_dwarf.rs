//! Split debug information: the files beside an executable that hold its entries.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::{mmap::Mapped, sections::Dwarf};
use crate::{
    dwarf::{Head, text},
    error::Kind,
};

/// What `split-debuginfo` left beside an executable.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    /// The package, `NAME.dwp`.
    pub(crate) package: Option<Mapped>,
    /// The files of single units. Not looked for where there is a package.
    pub(crate) singles: Vec<Single>,
    /// Where files should be that are not.
    pub(crate) missing: Vec<PathBuf>,
}

/// A file that has one unit.
#[derive(Debug)]
pub(crate) struct Single {
    /// The unit in the executable that stands for it.
    pub(crate) skeleton: usize,
    pub(crate) file: Mapped,
}

impl Beside {
    /// Looks for the files that units of the executable stand for.
    pub(crate) fn find(
        executable: &Path,
        dwarf: &Dwarf<'_>,
        units: &[Head<'_>],
    ) -> Result<Self, Kind> {
        let mut beside = Self::default();
        if units.iter().all(|it| it.inner.dwo_id.is_none()) {
            return Ok(beside);
        }
        // A link, such as `/proc/self/exe`, is not where the files are.
        let mut package: OsString = executable.canonicalize()?.into();
        package.push(".dwp");
        beside.package = Mapped::open(Path::new(&package)).ok();
        if beside.package.is_some() {
            return Ok(beside);
        }
        let units = units.iter().map(|it| &it.inner).enumerate();
        for (skeleton, unit) in units.filter(|it| it.1.dwo_id.is_some()) {
            let name = unit.dwo_name()?.and_then(|name| text(dwarf, unit, name));
            let folder = unit.comp_dir.and_then(|it| str::from_utf8(it.slice()).ok());
            let path = Path::new(folder.unwrap_or("")).join(name.unwrap_or(""));
            match Mapped::open(&path) {
                Ok(file) => beside.singles.push(Single { skeleton, file }),
                Err(_) => beside.missing.push(path),
            }
        }
        Ok(beside)
    }
}
