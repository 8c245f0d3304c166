//! Reads memory by its address, and the list of what is mapped, without any allocator.

use std::{ffi::CStr, ptr};

use super::mapped::{List, Plain};

/// The bytes of a word.
pub(crate) const WORD: usize = size_of::<usize>();

/// A range of addresses that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

// SAFETY: numbers.
unsafe impl Plain for Range {}

impl Range {
    pub(crate) fn contains(self, address: usize) -> bool {
        (self.start..self.end).contains(&address)
    }

    /// What two ranges have in common.
    pub(crate) fn intersect(self, other: Self) -> Self {
        let start = self.start.max(other.start);
        Self { start, end: self.end.min(other.end).max(start) }
    }
}

/// What is mapped, readable and writable, in the order of addresses.
#[derive(Debug)]
pub(crate) struct Maps {
    pub(crate) all: List<Range>,
    /// Those that belong to a file or have a name like one.
    pub(crate) of_files: List<Range>,
    /// The stack of the main thread.
    pub(crate) main_stack: Option<Range>,
}

const MOST_MAPS: usize = 1 << 17;

impl Maps {
    /// Reads the list of this process; `None` if it cannot be read.
    pub(crate) fn read() -> Option<Self> {
        let mut text = List::<u8>::with_capacity(MOST_MAPS * 128)?;
        read_file(c"/proc/self/maps", &mut text)?;
        // The text is mapped as well, and is gone at the end of this function.
        let (start, end) = text.addresses();
        Self::of(&text, Range { start, end })
    }

    /// `without`: what will not be mapped any more.
    fn of(text: &[u8], without: Range) -> Option<Self> {
        let mut maps = Self {
            all: List::with_capacity(MOST_MAPS)?,
            of_files: List::with_capacity(MOST_MAPS)?,
            main_stack: None,
        };
        for line in text.split(|byte| *byte == b'\n') {
            let mut fields = line.split(|byte| *byte == b' ').filter(|it| !it.is_empty());
            let (Some(range), Some(rights)) = (fields.next(), fields.next()) else { continue };
            if !rights.starts_with(b"rw") {
                continue;
            }
            let name = fields.nth(3).unwrap_or_default();
            let mut ends = range.split(|byte| *byte == b'-');
            let (start, end) = (hexadecimal(ends.next()?)?, hexadecimal(ends.next()?)?);
            let range = Range { start, end };
            let before = Range { start, end: end.min(without.start) };
            let behind = Range { start: start.max(without.end), end };
            let is_apart = before == range || behind == range;
            let parts =
                if is_apart { [range, Range { end: start, ..range }] } else { [before, behind] };
            for part in parts.into_iter().filter(|part| part.start < part.end) {
                if !maps.all.push(part) {
                    return None;
                }
            }
            if name == b"[stack]" {
                maps.main_stack = Some(range);
            } else if name.starts_with(b"/") && !maps.of_files.push(range) {
                return None;
            }
        }
        Some(maps)
    }

    /// The mapping that an address lies in.
    pub(crate) fn at(&self, address: usize) -> Option<Range> {
        let after = self.all.partition_point(|it| it.start <= address);
        let range = *self.all.get(after.checked_sub(1)?)?;
        range.contains(address).then_some(range)
    }
}

impl Maps {
    /// The end of the mappings that follow this one without a gap.
    pub(crate) fn end_of_run(&self, range: Range) -> usize {
        let next = self.all.partition_point(|it| it.start <= range.start);
        let mut end = range.end;
        for next in self.all.iter().skip(next) {
            if next.start != end {
                break;
            }
            end = next.end;
        }
        end
    }
}

fn hexadecimal(digits: &[u8]) -> Option<usize> {
    usize::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}

/// Appends the whole file to the list; `None` if it cannot be read or has no room.
fn read_file(path: &CStr, into: &mut List<u8>) -> Option<()> {
    // SAFETY: a text that ends with a zero.
    let file = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if file < 0 {
        return None;
    }
    let mut whole = true;
    loop {
        let mut piece = [0u8; 4096];
        // SAFETY: an open file, and room for this many bytes.
        let count = unsafe { libc::read(file, piece.as_mut_ptr().cast(), piece.len()) };
        let Ok(count) = usize::try_from(count) else {
            whole = false;
            break;
        };
        if count == 0 {
            break;
        }
        whole &= piece.iter().take(count).all(|byte| into.push(*byte));
    }
    // SAFETY: opened above.
    unsafe { libc::close(file) };
    whole.then_some(())
}

/// Reads the word at an address, which may change meanwhile in a process with other threads.
///
/// # Safety
///
/// The address is aligned to a word, and its memory can be read.
#[inline]
pub(crate) unsafe fn word(address: usize) -> usize {
    // SAFETY: the caller's contract.
    unsafe { ptr::with_exposed_provenance::<usize>(address).read_volatile() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_mappings_has_the_stack_the_heap_and_files() {
        let text = b"55d0c0-55d0d0 r--p 0 08:01 1  /bin/a\n55d0d0-55d0e0 rw-p 0 08:01 1  /bin/a\n\
            7f00-7f10 rw-p 00000000 00:00 0 \n7ff0-7fff rw-p 00 00:00 0     [stack]\n";
        let range = |start, end| Range { start, end };
        let maps = Maps::of(text, range(0, 0)).expect("memory");
        let file = range(0x55_d0d0, 0x55_d0e0);
        assert_eq!(*maps.all, [file, range(0x7f00, 0x7f10), range(0x7ff0, 0x7fff)]);
        assert_eq!(*maps.of_files, [file]);
        assert_eq!(maps.main_stack, Some(range(0x7ff0, 0x7fff)));
        assert!(Maps::of(b"5-z rw-p\n", range(0, 0)).is_none());
        // What will be gone is not among them: the kernel shows it with what is beside it.
        let of = |without| Maps::of(text, without).expect("memory").all.to_vec();
        let [_, first, second, third] = of(range(0x7f04, 0x7f08))[..] else {
            panic!("in the middle")
        };
        assert_eq!([first, second], [range(0x7f00, 0x7f04), range(0x7f08, 0x7f10)]);
        assert_eq!(of(range(0x7f00, 0x7f10))[1..], [third]);
        assert_eq!(of(range(0x7f00, 0x7f08))[1], range(0x7f08, 0x7f10));
        assert_eq!(of(range(0x7f08, 0x7f20))[1], range(0x7f00, 0x7f08));
    }

    #[test]
    fn the_mappings_of_this_process_contain_its_variables() {
        let maps = Maps::read().expect("/proc");
        let on_heap = Box::new(7usize);
        let address = ptr::from_ref(&*on_heap).addr();
        let range = maps.at(address).expect("mapped");
        assert!(range.contains(address));
        assert_eq!(maps.at(0x10), None);
        // SAFETY: the variable lives.
        assert_eq!(unsafe { word(ptr::from_ref(&*on_heap).expose_provenance()) }, 7);
    }
}
