//! Lists in memory of their own mappings, for a process that must not touch any allocator.

use std::{
    mem::size_of,
    ops::{Deref, DerefMut},
    ptr, slice,
};

/// Types for which all-zero bytes are a value.
///
/// # Safety
///
/// Zeroed memory must be a valid `Self`.
pub(crate) unsafe trait Plain: Copy {}

// SAFETY: zero is a number.
unsafe impl Plain for u8 {}
// SAFETY: as above.
unsafe impl Plain for u32 {}
// SAFETY: as above.
unsafe impl Plain for u64 {}

/// A list with a fixed capacity. The system provides only what is written.
///
/// Invariant: `start` is a mapping of `capacity` values, all of them valid, that this list alone
/// uses; `len <= capacity`.
#[derive(Debug)]
pub(crate) struct List<T: Plain> {
    start: *mut T,
    capacity: usize,
    len: usize,
}

const NO_DESCRIPTOR: libc::c_int = -1;

impl<T: Plain> List<T> {
    /// An empty list; `None` if the system has no memory.
    pub(crate) fn with_capacity(capacity: usize) -> Option<Self> {
        let capacity = capacity.max(1);
        let bytes = capacity.checked_mul(size_of::<T>())?;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: new memory, which nothing else uses.
        let start =
            unsafe { libc::mmap(ptr::null_mut(), bytes, protection, flags, NO_DESCRIPTOR, 0) };
        (start != libc::MAP_FAILED).then_some(Self { start: start.cast(), capacity, len: 0 })
    }

    /// A list of this many zeroes.
    pub(crate) fn zeroed(len: usize) -> Option<Self> {
        let mut list = Self::with_capacity(len)?;
        list.len = len;
        Some(list)
    }

    /// Appends a value. Returns false if there is no room.
    #[must_use]
    #[inline]
    pub(crate) fn push(&mut self, value: T) -> bool {
        if self.len == self.capacity {
            return false;
        }
        // SAFETY: below the capacity.
        let place = unsafe { self.start.add(self.len) };
        // SAFETY: in the mapping, which this list alone uses.
        unsafe { place.write(value) };
        self.len += 1;
        true
    }

    /// Appends a copy of what lies at an address. Returns false if there is no room.
    ///
    /// # Safety
    ///
    /// This many values can be read there, and nothing writes them meanwhile.
    #[must_use]
    pub(crate) unsafe fn copy(&mut self, address: usize, count: usize) -> bool {
        if self.capacity - self.len < count {
            return false;
        }
        // SAFETY: below the capacity.
        let place = unsafe { self.start.add(self.len) };
        let from = ptr::with_exposed_provenance::<T>(address);
        // SAFETY: the caller's contract; the mapping is this list's alone.
        unsafe { ptr::copy_nonoverlapping(from, place, count) };
        self.len += count;
        true
    }

    /// The addresses of its memory: the first, and the end.
    pub(crate) fn addresses(&self) -> (usize, usize) {
        let start = self.start.addr();
        (start, start + self.capacity * size_of::<T>())
    }

    /// Empties the list.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }
}

impl<T: Plain> Deref for List<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: by the invariant this many valid values are there.
        unsafe { slice::from_raw_parts(self.start, self.len) }
    }
}

impl<T: Plain> DerefMut for List<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above; this list alone uses them.
        unsafe { slice::from_raw_parts_mut(self.start, self.len) }
    }
}

impl<T: Plain> Drop for List<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping is this list's alone.
        unsafe { libc::munmap(self.start.cast(), self.capacity * size_of::<T>()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_takes_what_it_has_room_for() {
        let mut list = List::<u32>::with_capacity(3).expect("memory");
        assert!((1..=3).all(|number| list.push(number)));
        assert!(!list.push(4));
        assert_eq!(*list, [1, 2, 3]);
        list.clear();
        assert!(list.is_empty());
        assert_eq!(*List::<u64>::zeroed(2).expect("memory"), [0, 0]);
        assert!(List::<u64>::with_capacity(usize::MAX / 4).is_none());
    }
}
