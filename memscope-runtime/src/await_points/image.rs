//! The running program: which file it is, and where it was loaded.

use serde::{Deserialize, Serialize};

use crate::{
    alloc::current::exempt,
    primitives::{Once, arena},
};

/// The file of a program.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Program {
    /// Its path, as the system reports it.
    pub path: String,
    /// The linker's name for exactly this build, in hexadecimal digits. `None` if the linker gave
    /// none, and on systems whose programs are not ELF.
    pub build_id: Option<String>,
}

/// What is known of the program; read once.
#[derive(Debug, Default)]
struct Known {
    path: Option<&'static str>,
    build_id: Option<&'static str>,
    /// The address range that the file is mapped to: its first byte, and the end.
    image: Option<(u64, u64)>,
}

fn known() -> &'static Known {
    static KNOWN: Once<Known> = Once::new();
    KNOWN.get_or_init(|| {
        exempt(|| Known {
            path: std::env::current_exe()
                .ok()
                .and_then(|path| arena::keep_str(&path.to_string_lossy())),
            build_id: file::build_id().and_then(|id| arena::keep_str(&id)),
            image: file::image(),
        })
    })
}

/// This program; `None` if its file is not known.
pub(crate) fn here() -> Option<Program> {
    let known = known();
    Some(Program { path: known.path?.to_owned(), build_id: known.build_id.map(str::to_owned) })
}

/// The offset of an address from the first byte of the program's image. Returns `None` if the
/// address lies outside of the image, or the image is not known.
pub(crate) fn offset_of(address: usize) -> Option<u64> {
    let (first, end) = known().image?;
    let address = address as u64;
    (first..end).contains(&address).then(|| address - first)
}

/// The address range of the program's image: its first byte, and the end.
#[allow(dead_code, reason = "for dumps of tasks, which are made on Linux alone")]
pub(crate) fn range() -> Option<(u64, u64)> {
    known().image
}

#[cfg(target_os = "linux")]
mod file {
    use std::{
        fmt::Write,
        fs::{self, File},
        os::unix::fs::FileExt,
    };

    use crate::symbols::notes::find_build_id;

    /// The most segments of a program, and the most bytes of its notes: only a damaged file has
    /// more.
    const MOST_SEGMENTS: u16 = 256;
    const MOST_NOTE_BYTES: u64 = 1 << 16;

    const PT_NOTE: u32 = 4;

    /// The address range that the program's file is mapped to, from its first byte on. Returns
    /// `None` if this code is in a library.
    pub(super) fn image() -> Option<(u64, u64)> {
        let maps = fs::read_to_string("/proc/self/maps").ok()?;
        let program = fs::read_link("/proc/self/exe").ok()?;
        find_image(&maps, &program.to_string_lossy(), (image as fn() -> _) as usize as u64)
    }

    /// The range of the mappings of the program's file, if `address` lies in one of them.
    ///
    /// The file may be mapped a second time, as data: by a reader of its symbols. A mapping of its
    /// first byte that does not follow the one before begins another range.
    pub(super) fn find_image(maps: &str, program: &str, address: u64) -> Option<(u64, u64)> {
        let mappings = || maps.lines().filter_map(Mapping::read);
        let own = mappings().find(|it| (it.start..it.end).contains(&address))?;
        let mut image: Option<(u64, u64)> = None;
        for it in mappings().filter(|it| it.file == own.file) {
            match &mut image {
                Some((_, end)) if it.offset != 0 || it.start == *end => *end = it.end,
                Some((start, end)) if (*start..*end).contains(&address) => break,
                _ => image = (it.offset == 0 && it.path == program).then_some((it.start, it.end)),
            }
        }
        image.filter(|(start, end)| (*start..*end).contains(&address))
    }

    /// One line of `/proc/self/maps`.
    struct Mapping<'m> {
        start: u64,
        end: u64,
        offset: u64,
        /// Device and inode.
        file: (&'m str, &'m str),
        path: &'m str,
    }

    impl<'m> Mapping<'m> {
        /// Returns `None` if no file is mapped.
        fn read(line: &'m str) -> Option<Self> {
            let mut words = line.split_ascii_whitespace();
            let (start, end) = words.next()?.split_once('-')?;
            let offset = words.nth(1)?;
            let file = (words.next()?, words.next()?);
            let number = |digits| u64::from_str_radix(digits, 16).ok();
            let (start, end, offset) = (number(start)?, number(end)?, number(offset)?);
            let path = line.find('/').and_then(|start| line.get(start..)).unwrap_or_default();
            (file.1 != "0").then_some(Self { start, end, offset, file, path })
        }
    }

    /// The build id among the notes of the program's file, in hexadecimal digits.
    pub(super) fn build_id() -> Option<String> {
        let file = File::open("/proc/self/exe").ok()?;
        let mut head = [0; 64];
        file.read_exact_at(&mut head, 0).ok()?;
        // The offsets below are those of 64-bit ELF.
        if head[..5] != *b"\x7fELF\x02" {
            return None;
        }
        let (table, size) = (long(&head, 32)?, u64::from(half(&head, 54)?));
        for segment in 0..u64::from(half(&head, 56)?.min(MOST_SEGMENTS)) {
            let mut header = [0; 56];
            file.read_exact_at(&mut header, table.checked_add(segment * size)?).ok()?;
            let (offset, length) = (long(&header, 8)?, long(&header, 32)?);
            if word(&header, 0)? == PT_NOTE && length <= MOST_NOTE_BYTES {
                let mut notes = vec![0; usize::try_from(length).ok()?];
                file.read_exact_at(&mut notes, offset).ok()?;
                if let Some(id) = find_build_id(&notes) {
                    return Some(id.iter().fold(String::new(), |mut digits, byte| {
                        let _ = write!(digits, "{byte:02x}");
                        digits
                    }));
                }
            }
        }
        None
    }

    fn half(bytes: &[u8], at: usize) -> Option<u16> {
        Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
    }

    fn word(bytes: &[u8], at: usize) -> Option<u32> {
        Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
    }

    fn long(bytes: &[u8], at: usize) -> Option<u64> {
        Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
    }
}

#[cfg(not(target_os = "linux"))]
mod file {
    pub(super) fn image() -> Option<(u64, u64)> {
        None
    }

    pub(super) fn build_id() -> Option<String> {
        None
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_program_is_known_and_its_statics_are_in_it() {
        static HERE: &[u8] = b"here";
        let program = here().expect("a program");
        let exe = std::fs::read_link("/proc/self/exe").expect("a link");
        assert_eq!(program.path, exe.to_string_lossy());
        let offset = offset_of(HERE.as_ptr().addr()).expect("in the image");
        let size = exe.metadata().expect("a file").len();
        assert!(offset < 2 * size, "{offset} of {size}");
        let heap = Box::new(1);
        assert_eq!(offset_of(std::ptr::from_ref(&*heap).addr()), None, "the heap is not in it");
    }

    #[test]
    fn the_image_is_what_is_mapped_of_the_same_file() {
        let maps = "\
55d0-55d4 r--p 00000000 08:01 42 /app/a b
55d4-55d8 r-xp 00004000 08:01 42 /app/a b
55d8-55da rw-p 00007000 08:01 42 /app/a b
55da-55f0 rw-p 00000000 00:00 0 [heap]
7f00-7f10 r-xp 00000000 08:01 43 /lib/c.so
";
        let found = |address| file::find_image(maps, "/app/a b", address);
        assert_eq!(found(0x55d5), Some((0x55d0, 0x55da)));
        assert_eq!(found(0x7f01), None, "a library");
        assert_eq!(found(0x55db), None, "no file");
        assert_eq!(found(0x1), None);
        // Another thread reads the file.
        let (below, above) =
            ("1000-1020 r--p 0 08:01 42 /app/a b\n", "7f20-7f40 r--p 0 08:01 42 /app/a b\n");
        let found = |maps: &str| file::find_image(maps, "/app/a b", 0x55d5);
        assert_eq!(found(&format!("{below}{maps}{above}")), Some((0x55d0, 0x55da)));
        let without_first_byte = "55d4-55d8 r-xp 4000 08:01 42 /app/a b";
        assert_eq!(file::find_image(without_first_byte, "/app/a b", 0x55d5), None);
    }
}
