//! Finds debug information in a separate file, as made by `objcopy --only-keep-debug` and by Linux
//! distributions.

use std::{
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
};

use super::{
    mmap::MappedFile,
    sections::{Identity, hex},
};
use crate::error::Kind;

/// The system's folder of such files.
const SYSTEM: &str = "/usr/lib/debug";

/// The separate file with the debug information of a program.
#[derive(Debug)]
pub(crate) struct DebugFile {
    path: PathBuf,
    pub(crate) file: MappedFile,
}

impl DebugFile {
    /// Searches the file by the name in the program's debug link, and by its build id.
    pub(crate) fn find(program: &Path, identity: &Identity) -> Result<Option<Self>, Kind> {
        Self::find_in(program, identity, Path::new(SYSTEM))
    }

    /// Searches the file with the debug information of exactly this build at these places. A place
    /// is a file, or a folder: with files named by build id, as the system's, or beside each other.
    pub(crate) fn find_at(program: &Path, identity: &Identity, places: &[PathBuf]) -> Option<Self> {
        let names = [program.file_name(), identity.debug_link.as_ref().map(|it| it.0.as_os_str())];
        let names = names.into_iter().flatten();
        let names: Vec<OsString> = names.flat_map(|it| [it.to_owned(), with_suffix(it)]).collect();
        let candidates = places.iter().flat_map(|place| {
            let by_name = names.iter().map(|name| place.join(name));
            let by_id = identity.build_id.iter().map(|id| path_by_id(place, id));
            if place.is_dir() { by_id.chain(by_name).collect() } else { vec![place.clone()] }
        });
        for path in candidates {
            if let Ok(file) = MappedFile::open(&path)
                && mismatch(identity, &file).is_none()
            {
                return Some(Self { path, file });
            }
        }
        None
    }

    fn find_in(program: &Path, identity: &Identity, system: &Path) -> Result<Option<Self>, Kind> {
        // The file is beside the program itself, not beside a link such as `/proc/self/exe`.
        let program = program.canonicalize().unwrap_or_else(|_| program.to_owned());
        let folder = program.parent().unwrap_or(Path::new(""));
        let mut places: Vec<PathBuf> =
            identity.build_id.iter().map(|it| path_by_id(system, it)).collect();
        if let Some((name, _)) = &identity.debug_link {
            places.extend([folder.join(name), folder.join(".debug").join(name)]);
            // For example `/usr/lib/debug/usr/bin/app.debug`.
            let inner = folder.strip_prefix("/").unwrap_or(folder);
            places.push(system.join(inner).join(name));
        }
        let mut other = None;
        for path in places {
            // The debug link may contain the program's own name.
            if fs::canonicalize(&path).is_ok_and(|it| it == program) {
                continue;
            }
            let Ok(file) = MappedFile::open(&path) else { continue };
            match mismatch(identity, &file) {
                None => return Ok(Some(Self { path, file })),
                Some(what) => other = other.or(Some(Kind::DebugFileOther { file: path, what })),
            }
        }
        match (other, &identity.debug_link) {
            (Some(other), _) => Err(other),
            (None, Some((name, _))) => {
                Err(Kind::DebugFileMissing { name: name.clone(), system: system.to_owned() })
            }
            (None, None) => Ok(None),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds this file's path to an error about its content.
    pub(crate) fn with_path(&self, kind: Kind) -> Kind {
        match kind {
            Kind::Corrupt(what) => Kind::Corrupt(format!("in {}: {what}", self.path.display())),
            other => other,
        }
    }
}

/// Returns the file with this build id, in hexadecimal digits, at one of these places or where the
/// system has debug information.
pub(crate) fn path_of_build(build_id: &str, places: &[PathBuf]) -> Option<PathBuf> {
    let installed = installed(build_id, places);
    let mut candidates = places.iter().chain(&installed);
    let is_it = |path: &&PathBuf| {
        let file = MappedFile::open(path).ok();
        // The build id alone is read from a file of another build.
        let id = file.and_then(|file| Identity::read(&file).ok()?.build_id);
        id.is_some_and(|id| hex(&id) == build_id)
    };
    candidates.find(is_it).cloned()
}

/// Returns where the system has the debug information of this build id, in hexadecimal digits, and
/// where folders like the system's have it.
fn installed(build_id: &str, folders: &[PathBuf]) -> Vec<PathBuf> {
    let is_id = build_id.len() > 2 && build_id.bytes().all(|it| it.is_ascii_hexdigit());
    let Some((first, rest)) = build_id.split_at_checked(2).filter(|_| is_id) else {
        return Vec::new();
    };
    let inner = Path::new(".build-id").join(first).join(format!("{rest}.debug"));
    let folders = folders.iter().map(PathBuf::as_path).chain([Path::new(SYSTEM)]);
    folders.map(|it| it.join(&inner)).collect()
}

/// Returns the name `NAME.debug`.
fn with_suffix(name: &OsStr) -> OsString {
    let mut name = name.to_owned();
    name.push(".debug");
    name
}

/// Returns the path `.build-id/ab/cdef….debug`.
fn path_by_id(system: &Path, id: &[u8]) -> PathBuf {
    let (first, rest) = id.split_at(id.len().min(1));
    system.join(".build-id").join(hex(first)).join(hex(rest) + ".debug")
}

/// Returns what shows that the file belongs to another build; `None` if it belongs to this build.
///
/// PERF: nearly all files have a build id, which is enough. The checksum covers every byte of the
/// file.
fn mismatch(identity: &Identity, file: &[u8]) -> Option<&'static str> {
    let id = Identity::read(file).ok().and_then(|it| it.build_id);
    match (&identity.build_id, id, &identity.debug_link) {
        (Some(own), Some(id), _) => (*own != id).then_some("its build id"),
        (_, _, Some((_, sum))) => (crc32fast::hash(file) != *sum).then_some("the sum of its bytes"),
        (_, None, None) | (None, _, None) => Some("its build id"),
    }
}

#[cfg(test)]
#[path = "../../tests/elf/mod.rs"]
mod elf;

#[cfg(test)]
mod tests {
    use std::process;

    use super::{elf::elf, *};

    /// A file that contains only a build id.
    fn file(id: [u8; 4]) -> Vec<u8> {
        let mut note: Vec<u8> = [4u32, 4, 3].into_iter().flat_map(u32::to_le_bytes).collect();
        note.extend(*b"GNU\0");
        note.extend(id);
        elf(&[(".note.gnu.build-id", 7, &note)], 0..4096)
    }

    #[test]
    fn a_build_id_leads_to_the_systems_file_and_must_be_in_it() {
        let system = std::env::temp_dir().join(format!("memscope-detached-{}", process::id()));
        let folder = system.join(".build-id/ab");
        fs::create_dir_all(&folder).unwrap();
        let program = Identity::read(&file([0xab, 0xcd, 0xef, 1])).unwrap();
        let find = || DebugFile::find_in(Path::new("/nowhere/app"), &program, &system);

        assert!(find().unwrap().is_none(), "nothing was said to be anywhere");
        fs::write(folder.join("cdef01.debug"), file([0xab, 0xcd, 0xef, 1])).unwrap();
        assert_eq!(find().unwrap().unwrap().path, folder.join("cdef01.debug"));
        for other in [&file([0xab, 0xcd, 0xef, 2])[..], b"no ELF file"] {
            fs::write(folder.join("cdef01.debug"), other).unwrap();
            let Err(Kind::DebugFileOther { what, .. }) = find() else { panic!("of another build") };
            assert_eq!(what, "its build id");
        }
        fs::remove_dir_all(&system).unwrap();
    }
}
