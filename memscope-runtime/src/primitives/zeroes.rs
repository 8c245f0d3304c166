//! Zeroed memory from the system, from its allocator or as fresh pages.

use std::alloc::{GlobalAlloc, Layout, System};

/// Zeroed and aligned memory from the system.
#[derive(Debug)]
pub(super) struct Zeroes {
    pub(super) start: *mut u8,
    block: *mut u8,
    layout: Layout,
    #[cfg(all(unix, feature = "enabled", not(miri)))]
    is_mapped: bool,
}

impl Zeroes {
    /// The alignment that every system's allocator gives by itself.
    pub(super) const SMALL_ALIGN: usize = 8;

    /// Takes memory from the system's allocator. Returns `None` if that has none.
    ///
    /// PERF: it is aligned here and not by `System`. With a small alignment the system returns
    /// fresh, untouched pages. With a larger one `System` writes the zeroes itself, which would
    /// make a whole chunk resident at once although half of it may never be used.
    pub(super) fn take(wanted: Layout) -> Option<Self> {
        debug_assert!(wanted.size() != 0, "`Zeroed` forbids it");
        #[cfg(test)]
        if super::arena::shortage::is_here() {
            return None;
        }
        let room = wanted.align().saturating_sub(Self::SMALL_ALIGN);
        let size = wanted.size().checked_add(room)?;
        let layout = Layout::from_size_align(size, wanted.align().min(Self::SMALL_ALIGN)).ok()?;
        // SAFETY: the size is not zero, by the contract of `Zeroed`.
        let block = unsafe { System.alloc_zeroed(layout) };
        if block.is_null() {
            return None;
        }
        // The block is larger by `room`, so the aligned start still leaves `wanted.size()` bytes.
        let start = block.wrapping_add(block.addr().wrapping_neg() % wanted.align());
        Some(Self {
            start,
            block,
            layout,
            #[cfg(all(unix, feature = "enabled", not(miri)))]
            is_mapped: false,
        })
    }

    /// Takes fresh pages, for a value of some pages of which few are ever used. Returns `None` if
    /// the system has none.
    ///
    /// The system's allocator would write zeroes to all of a block that is too small to be mapped
    /// by itself.
    #[cfg(all(unix, feature = "enabled", not(miri)))]
    pub(super) fn map(wanted: Layout) -> Option<Self> {
        use std::ptr;

        const NO_DESCRIPTOR: libc::c_int = -1;
        #[cfg(test)]
        if super::arena::shortage::is_here() {
            return None;
        }
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANON;
        // SAFETY: new memory, which nothing else uses.
        let start = unsafe {
            libc::mmap(ptr::null_mut(), wanted.size(), protection, flags, NO_DESCRIPTOR, 0)
        };
        let block: *mut u8 = start.cast();
        let is_there = start != libc::MAP_FAILED && block.addr().is_multiple_of(wanted.align());
        is_there.then_some(Self { start: block, block, layout: wanted, is_mapped: true })
    }

    /// Takes the memory from the system's allocator.
    #[cfg(not(all(unix, feature = "enabled", not(miri))))]
    pub(super) fn map(wanted: Layout) -> Option<Self> {
        Self::take(wanted)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.layout.size() as u64
    }

    /// # Safety
    ///
    /// No thread may use the memory any more.
    pub(super) unsafe fn give_back(self) {
        #[cfg(all(unix, feature = "enabled", not(miri)))]
        if self.is_mapped {
            // SAFETY: a mapping of this size, and by the caller's contract no thread uses it.
            unsafe { libc::munmap(self.block.cast(), self.layout.size()) };
            return;
        }
        // SAFETY: the block came from `System` with this layout, and by the caller's contract no
        // thread uses it.
        unsafe { System.dealloc(self.block, self.layout) };
    }
}

/// How many bytes of these fresh pages the system holds in memory: those that were written or read.
/// Returns `bytes` if the system does not say.
#[cfg(all(target_os = "linux", feature = "enabled", not(miri)))]
pub(super) fn resident_bytes(start: *const u8, bytes: usize) -> u64 {
    const AT_ONCE: usize = 64;
    // SAFETY: asks for a number.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(0);
    if page == 0 || !start.addr().is_multiple_of(page) {
        return bytes as u64;
    }
    let mut resident = 0;
    for at in (0..bytes).step_by(AT_ONCE * page) {
        let part = (bytes - at).min(AT_ONCE * page);
        let mut pages = [0; AT_ONCE];
        let begin = start.wrapping_add(at).cast_mut().cast();
        // SAFETY: it writes a byte for each page of the part: at most as many as there are.
        let said = unsafe { libc::mincore(begin, part, pages.as_mut_ptr()) };
        resident += match said {
            0 => pages.iter().filter(|page| **page & 1 != 0).count() * page,
            _ => part,
        };
    }
    resident.min(bytes) as u64
}

/// All of these pages: the system does not say which it holds in memory.
#[cfg(not(all(target_os = "linux", feature = "enabled", not(miri))))]
pub(super) fn resident_bytes(_: *const u8, bytes: usize) -> u64 {
    bytes as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(all(target_os = "linux", feature = "enabled", not(miri)))]
    #[test]
    fn pages_count_once_they_are_written() {
        let layout = Layout::from_size_align(1 << 20, 64).expect("a layout");
        let zeroes = Zeroes::map(layout).expect("memory");
        assert_eq!(resident_bytes(zeroes.start, 1 << 20), 0);
        let mut page = 0;
        for (at, pages) in [(0, 1), (100, 1), (0x1_0000, 2), (0xf_ffff, 3), (0x5_0000, 4)] {
            // SAFETY: inside of the mapping.
            let byte = unsafe { zeroes.start.add(at) };
            // SAFETY: this thread alone uses it.
            unsafe { byte.write(1) };
            let resident = resident_bytes(zeroes.start, 1 << 20);
            page = if page == 0 { resident } else { page };
            assert_eq!(resident, pages * page, "pages of {page} bytes");
        }
        assert!(page != 0);
        assert_eq!(resident_bytes(zeroes.start.wrapping_add(8), 4096), 4096, "not whole pages");
        // SAFETY: this thread alone used it.
        unsafe { zeroes.give_back() };
    }

    #[test]
    fn fresh_pages_are_zeroed_and_go_back() {
        let layout = Layout::from_size_align(64 << 10, 64).expect("a layout");
        for take in [Zeroes::take, Zeroes::map] {
            let zeroes = take(layout).expect("memory");
            assert!(zeroes.start.addr().is_multiple_of(64));
            assert!(zeroes.bytes() >= 64 << 10);
            // SAFETY: this many bytes are there, which nothing else uses.
            let bytes = unsafe { std::slice::from_raw_parts(zeroes.start, 64 << 10) };
            assert!(bytes.iter().all(|byte| *byte == 0));
            // SAFETY: this thread alone used it.
            unsafe { zeroes.give_back() };
        }
        let nothing = super::super::arena::shortage::during(|| Zeroes::map(layout).is_none());
        assert!(nothing);
    }
}
