//! Which pages the system has given to the process: the others have only zeroes.
//!
//! An allocator may map a gigabyte at once and use little of it. To read the rest would take a page
//! fault for each page.

use std::ptr;

use super::memory::Range;

/// How many pages are asked for at a time.
const AT_ONCE: usize = 512;
/// Smaller ranges are read as they are.
const LEAST_BYTES: usize = 1 << 20;
/// In memory, or in the swap: bits 63 and 62 of an entry of `/proc/PID/pagemap`, by proc(5).
const IS_USED: u64 = 3 << 62;
const ENTRY: usize = size_of::<u64>();

/// The pages of this process.
#[derive(Debug)]
pub(crate) struct UsedPages {
    /// Negative if the system does not tell.
    file: libc::c_int,
    page: usize,
}

impl UsedPages {
    pub(crate) fn open() -> Self {
        // SAFETY: asks for a number.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(0);
        let flags = libc::O_RDONLY | libc::O_CLOEXEC;
        // SAFETY: a text that ends with a zero.
        let file = unsafe { libc::open(c"/proc/self/pagemap".as_ptr(), flags) };
        Self { file: if page == 0 { -1 } else { file }, page }
    }

    /// Calls `each` with the parts of a range of anonymous memory that may have other bytes than
    /// zeroes.
    pub(crate) fn each(&self, range: Range, mut each: impl FnMut(Range)) {
        if self.file < 0 || range.end - range.start < LEAST_BYTES {
            return each(range);
        }
        let mut used_from = None;
        let mut at = range.start - range.start % self.page;
        while at < range.end {
            let mut entries = [0; AT_ONCE];
            let count = (range.end - at).div_ceil(self.page).min(AT_ONCE);
            let is_told = self.read(at, &mut entries[..count]);
            for entry in &entries[..count] {
                match used_from {
                    None if !is_told || entry & IS_USED != 0 => used_from = Some(at),
                    Some(from) if is_told && entry & IS_USED == 0 => {
                        each(range.intersect(Range { start: from, end: at }));
                        used_from = None;
                    }
                    _ => {}
                }
                at += self.page;
            }
        }
        if let Some(from) = used_from {
            each(range.intersect(Range { start: from, end: at }));
        }
    }

    /// Reads the entries of the pages from this address on. Returns whether all were read.
    fn read(&self, address: usize, entries: &mut [u64]) -> bool {
        let Ok(place) = libc::off_t::try_from(address / self.page * ENTRY) else { return false };
        let bytes = size_of_val(entries);
        let into = ptr::from_mut(entries).cast();
        // SAFETY: an open file, and room for this many bytes, of which any are numbers.
        let read = unsafe { libc::pread(self.file, into, bytes, place) };
        usize::try_from(read) == Ok(bytes)
    }
}

impl Drop for UsedPages {
    fn drop(&mut self) {
        if self.file >= 0 {
            // SAFETY: `open` has opened it.
            unsafe { libc::close(self.file) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::List;

    fn used(pages: &UsedPages, range: Range) -> Vec<Range> {
        let mut found = Vec::new();
        pages.each(range, |part| found.push(part));
        found
    }

    #[test]
    fn pages_that_were_never_written_are_left_out() {
        const BYTES: usize = 64 << 20;
        let mut list = List::<u8>::zeroed(BYTES).expect("memory");
        let start = list.as_ptr().expose_provenance();
        let range = Range { start: start + 8, end: start + BYTES - 8 };
        let pages = UsedPages::open();
        let own = |at: usize| {
            let first = (start + at) / pages.page * pages.page;
            range.intersect(Range { start: first, end: first + pages.page })
        };
        // The system may give more pages at once than one, but not all of the list.
        for at in [0, 3 << 20, (5 << 20) + 4_000, BYTES - 1] {
            list[at] = 1;
            let found = used(&pages, range);
            let has = |it: &Range| own(at).start >= it.start && own(at).end <= it.end;
            assert!(found.iter().any(has), "{at}: {found:x?}");
        }
        let bytes: usize = used(&pages, range).iter().map(|it| it.end - it.start).sum();
        assert!(bytes < BYTES / 2, "{bytes}");
        let is_sorted = used(&pages, range).is_sorted_by(|a, b| a.end < b.start);
        assert!(is_sorted, "no part follows another without a gap");
    }

    #[test]
    fn where_the_system_does_not_tell_all_is_read() {
        let range = Range { start: 8, end: 64 << 20 };
        let pages = UsedPages { file: -1, page: 4096 };
        assert_eq!(used(&pages, range), [range]);
        // Nothing can be read of such a file.
        let folder = c"/proc";
        // SAFETY: a text that ends with a zero.
        let file = unsafe { libc::open(folder.as_ptr(), libc::O_RDONLY) };
        assert_eq!(used(&UsedPages { file, page: 4096 }, range), [range]);
        let small = Range { start: 8, end: 80 };
        assert_eq!(used(&UsedPages::open(), small), [small]);
    }
}
