//! Files that belong to a program but are none: what they are, and which file to name instead.

use std::path::{Path, PathBuf};

use object::{
    Object, ObjectSection,
    elf::{FileHeader32, FileHeader64, NT_AUXV, NT_FILE, NT_PRPSINFO},
    endian::Endianness,
    read::elf::{FileHeader, ProgramHeader},
};

/// The kinds of ELF files, and the mark of those of 32 bits.
const OBJECT_FILE: u16 = 1;
const CORE_FILE: u16 = 4;
const OF_32_BITS: u8 = 1;
/// The key of the auxiliary vector's entry with the address of the program's first instruction.
const AT_ENTRY: u64 = 9;
/// Where the program's name and command line are in `NT_PRPSINFO`, of 64 and of 32 bits.
const NAMES: [(usize, usize); 2] = [(40, 56), (28, 44)];
const LENGTH_OF_NAME: usize = 16;
const LENGTH_OF_COMMAND: usize = 80;

/// What a file is that is no program, and what to do. `None` for a program or a library.
pub(crate) fn no_program(data: &[u8], path: Option<&Path>) -> Option<String> {
    if data.starts_with(b"!<arch>\n") || data.starts_with(b"!<thin>\n") {
        return Some(archive(data, path));
    }
    if data.starts_with(b"rust\0\0\0") {
        return Some(
            "is the metadata of a crate, without code: name a program that has the crate in it"
                .to_owned(),
        );
    }
    let file = object::File::parse(data).ok()?;
    if data.starts_with(b"\x7fELF") && kind_of(data)? == CORE_FILE {
        return Some(core_file(data));
    }
    let has = |name: &str| file.section_by_name(name).is_some_and(|it| it.size() != 0);
    if has(".debug_cu_index") || has(".debug_tu_index") {
        let program = path.and_then(package_of).map_or_else(
            || "the program beside it, which has its name without `.dwp`".to_owned(),
            |program| shown(&program),
        );
        return Some(format!(
            "is a package of split debug information (.dwp), not a program: name {program}"
        ));
    }
    if kind_of(data)? != OBJECT_FILE {
        return None;
    }
    if has(".debug_info.dwo") {
        let program = path.and_then(unit_of).map_or_else(
            || "the program that was built with it, which finds it by itself".to_owned(),
            |program| format!("{}, which finds it by itself", shown(&program)),
        );
        return Some(format!(
            "is split debug information (.dwo) of one part of a program: name {program}"
        ));
    }
    Some(
        "is an object file, a part of a program that is not linked yet: name the program"
            .to_owned(),
    )
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().escape_debug().to_string()
}

/// What an archive is. An `.rlib` is what Rust makes of a library.
fn archive(data: &[u8], path: Option<&Path>) -> String {
    let is_rust = path.is_some_and(|it| it.extension().is_some_and(|it| it == "rlib"))
        || data.windows(10).take(64 << 10).any(|it| it == b"lib.rmeta/");
    let what = if is_rust { "a Rust library (.rlib)" } else { "a static library (.a)" };
    format!(
        "is {what}, an archive of parts that are not linked yet: name a program that has it in it, \
         or a test of it, or have `cargo memscope futures --lib` build it as a shared library"
    )
}

fn kind_of(data: &[u8]) -> Option<u16> {
    // Both sizes have the field at the same place.
    let bytes: [u8; 2] = data.get(16..18)?.try_into().ok()?;
    Some(if data.get(5) == Some(&2) {
        u16::from_be_bytes(bytes)
    } else {
        u16::from_le_bytes(bytes)
    })
}

/// Returns the program of `NAME.dwp`, if it is there.
fn package_of(path: &Path) -> Option<PathBuf> {
    let program = path.with_extension("");
    (path.extension()? == "dwp" && program.is_file()).then_some(program)
}

/// Returns the program of `NAME.unit.rcgu.dwo`, if it is there: cargo leaves it beside the file.
fn unit_of(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?.split('.').next()?;
    Some(path.with_file_name(name)).filter(|it| it.is_file())
}

/// What a core file is of.
fn core_file(data: &[u8]) -> String {
    let notes = match data.get(4) {
        Some(&OF_32_BITS) => notes::<FileHeader32<Endianness>>(data),
        _ => notes::<FileHeader64<Endianness>>(data),
    };
    let what = "is a core file, the memory of a process";
    match notes.and_then(|it| it.program()) {
        Some(Program::Path(path)) => format!(
            "{what} that ran {}: name that program, whose debug information has the futures",
            shown(Path::new(&path))
        ),
        Some(Program::Name(name)) => format!(
            "{what} named `{}`: name that program, whose debug information has the futures",
            name.escape_debug()
        ),
        None => format!(
            "{what}: name the program that it is of, whose debug information has the futures"
        ),
    }
}

/// The program of a core file.
#[derive(Debug, PartialEq, Eq)]
enum Program {
    Path(String),
    /// The name of the process, which may be cut off.
    Name(String),
}

/// The notes of a core file that say which program it is of.
#[derive(Debug, Default)]
struct Notes {
    word: usize,
    is_big_endian: bool,
    files: Vec<u8>,
    auxiliary: Vec<u8>,
    process: Vec<u8>,
}

fn notes<E: FileHeader<Endian = Endianness>>(data: &[u8]) -> Option<Notes> {
    let header = E::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let mut found = Notes {
        word: if header.is_type_64() { 8 } else { 4 },
        is_big_endian: endian == Endianness::Big,
        ..Notes::default()
    };
    for segment in header.program_headers(endian, data).ok()? {
        let Ok(Some(mut notes)) = segment.notes(endian, data) else { continue };
        while let Ok(Some(note)) = notes.next() {
            let place = match note.n_type(endian) {
                NT_FILE => &mut found.files,
                NT_AUXV => &mut found.auxiliary,
                NT_PRPSINFO => &mut found.process,
                _ => continue,
            };
            // The first thread's are the process's.
            if place.is_empty() {
                place.extend_from_slice(note.desc());
            }
        }
    }
    Some(found)
}

impl Notes {
    fn program(&self) -> Option<Program> {
        if let Some(path) = self.entry().and_then(|entry| self.file_at(entry)) {
            return Some(Program::Path(path));
        }
        let (name, command) = NAMES[usize::from(self.word == 4)];
        let text = |at: usize, length: usize| {
            let bytes = self.process.get(at..at + length)?;
            let end = bytes.iter().position(|it| *it == 0).unwrap_or(length);
            let text = String::from_utf8_lossy(&bytes[..end]).trim().to_owned();
            (!text.is_empty()).then_some(text)
        };
        let first = text(command, LENGTH_OF_COMMAND)
            .and_then(|it| it.split(' ').next().map(str::to_owned))
            .filter(|it| it.starts_with('/'));
        first.map(Program::Path).or_else(|| text(name, LENGTH_OF_NAME).map(Program::Name))
    }

    fn number(&self, bytes: &[u8]) -> u64 {
        let fold = |sum: u64, it: &u8| sum << 8 | u64::from(*it);
        if self.is_big_endian {
            bytes.iter().fold(0, fold)
        } else {
            bytes.iter().rev().fold(0, fold)
        }
    }

    /// The address of the program's first instruction.
    fn entry(&self) -> Option<u64> {
        let mut pairs = self.auxiliary.chunks_exact(2 * self.word);
        let pair = pairs.find(|it| self.number(&it[..self.word]) == AT_ENTRY)?;
        Some(self.number(&pair[self.word..]))
    }

    /// The file that is mapped at an address. The note has a count, the size of a page, then start,
    /// end and offset of each file, then all paths.
    fn file_at(&self, address: u64) -> Option<String> {
        let mut words = self.files.chunks_exact(self.word).map(|it| self.number(it));
        let count = usize::try_from(words.next()?).ok()?;
        let end = count.checked_mul(3)?.checked_add(2)?.checked_mul(self.word)?;
        let paths = self.files.get(end..)?;
        words.next()?;
        for path in paths.split(|it| *it == 0).take(count) {
            let (start, end, _) = (words.next()?, words.next()?, words.next()?);
            if (start..end).contains(&address) {
                return Some(String::from_utf8_lossy(path).into_owned());
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(all: &[u64]) -> Vec<u8> {
        all.iter().flat_map(|it| it.to_le_bytes()).collect()
    }

    #[test]
    fn a_core_file_is_of_the_file_that_is_mapped_where_the_program_began() {
        let mut files = words(&[2, 4096, 0x1000, 0x2000, 0, 0x7000, 0x9000, 0]);
        files.extend(*b"/lib/libc.so\0/srv/my app\0");
        let auxiliary = words(&[3, 0x7040, AT_ENTRY, 0x8000, 0, 0]);
        let mut process = vec![0; 136];
        process[40..43].copy_from_slice(b"app");
        process[56..71].copy_from_slice(b"/srv/named --it");
        let mut notes = Notes { word: 8, files, auxiliary, process, ..Notes::default() };
        assert_eq!(notes.program(), Some(Program::Path("/srv/my app".to_owned())));
        // Without the files, the command line; without a path there, the name.
        notes.files.truncate(40);
        assert_eq!(notes.program(), Some(Program::Path("/srv/named".to_owned())));
        notes.process[56] = b'.';
        assert_eq!(notes.program(), Some(Program::Name("app".to_owned())));
        notes.process.clear();
        assert_eq!(notes.program(), None);
        notes.files = words(&[u64::MAX, 4096]);
        assert_eq!(notes.program(), None, "a damaged count");
    }
}
