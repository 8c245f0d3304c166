//! An arena: values at stable addresses, reachable by index and never freed.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    ptr,
    sync::atomic::AtomicPtr,
};

use super::{
    atomic_ref::StaticRef,
    sync::{AtomicU32, AtomicU64, Ordering},
    zeroes::{self, Zeroes},
};

/// Types for which all-zero bytes are a valid value that threads may share.
///
/// # Safety
///
/// Zeroed memory must be a valid `Self`, `Self` must not need dropping, and its size must not be
/// zero.
pub(crate) unsafe trait Zeroed: Sync + 'static {
    /// Whether values may have the only pointer to an allocated block. Leak checkers do not look
    /// into fresh pages.
    const LEADS_TO_BLOCKS: bool = false;
}

/// A growing array of `T` in chunks that double in size. No value ever moves or is unmapped.
///
/// The memory comes from `System`, not from the program's allocator. So an arena may grow inside
/// the allocator, as it does at a thread's first allocation, without entering it again.
///
/// Invariant: `chunks[k]` is null or points to `first_places() << k` values that live for ever.
/// Their addresses are below 2^48, because an owner word has 48 bits for its owner's address.
#[derive(Debug)]
pub(crate) struct Arena<T: 'static> {
    chunks: [AtomicPtr<T>; CHUNKS],
    /// Slots handed out by `grow` so far.
    len: AtomicU32,
}

const CHUNKS: usize = 24;
/// Chunks of this many bytes and more are fresh pages, as on average half of the last chunk is
/// unused.
const LEAST_PAGES: usize = 16 << 10;
/// No system hands out higher addresses unless a program asks for them.
const MOST_ADDRESS: u64 = 1 << 48;

/// Bytes that all arenas, `keep`, `keep_pages` and `keep_str` have taken from the system.
static BYTES: AtomicU64 = AtomicU64::new(0);

/// Bytes that memscope's arenas and kept values have taken from the system.
pub(crate) fn bytes() -> u64 {
    BYTES.load(Ordering::Relaxed)
}

/// The number of slots in the first `chunks` chunks of an arena of `T`.
pub(crate) const fn places_of<T>(chunks: u32) -> usize {
    first_places::<T>() as usize * ((1 << chunks) - 1)
}

/// The number of slots in the first chunk: a page of them, 4 at least and 64 at most.
///
/// A small program needs few of each kind, and the system writes zeroes to the whole chunk.
const fn first_places<T>() -> u32 {
    match size_of::<T>() {
        0..=64 => 64,
        65..=128 => 32,
        129..=256 => 16,
        257..=512 => 8,
        _ => 4,
    }
}

impl<T: Zeroed> Arena<T> {
    pub(crate) const fn new() -> Self {
        Self { chunks: [const { AtomicPtr::new(ptr::null_mut()) }; CHUNKS], len: AtomicU32::new(0) }
    }

    /// An arena whose first chunks are a static array, which needs no memory from the system. Its
    /// first slot counts as handed out by `grow`.
    pub(crate) const fn beginning_with<const N: usize>(first: &'static [T; N]) -> Self {
        let mut chunks = [const { AtomicPtr::new(ptr::null_mut()) }; CHUNKS];
        let mut places = first.as_slice();
        let mut chunk = 0;
        while !places.is_empty() {
            let (own, rest) = places.split_at((first_places::<T>() as usize) << chunk);
            chunks[chunk] = AtomicPtr::new(own.as_ptr().cast_mut());
            places = rest;
            chunk += 1;
        }
        Self { chunks, len: AtomicU32::new(1) }
    }

    /// Hands out a slot that was never used. Returns `None` if the system has no memory or all
    /// slots are taken.
    pub(crate) fn grow(&self) -> Option<(u32, &'static T)> {
        let mut index = self.len.load(Ordering::Relaxed);
        loop {
            // NOTE: the chunk is made before `len` grows, so `len` never counts a slot without
            // memory.
            let place = self.get_or_make(index)?;
            match self.len.compare_exchange_weak(
                index,
                index + 1,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some((index, place)),
                Err(now) => index = now,
            }
        }
    }

    /// The number of slots that `grow` has handed out.
    pub(crate) fn len(&self) -> u32 {
        self.len.load(Ordering::Acquire)
    }

    /// Bytes that the arena has taken from the system.
    pub(crate) fn held_bytes(&self) -> u64 {
        let room = align_of::<T>().saturating_sub(Zeroes::SMALL_ALIGN) as u64;
        let chunks = self.chunks.iter().enumerate();
        let made = chunks.filter(|(_, start)| !start.load(Ordering::Relaxed).is_null());
        made.map(|(chunk, _)| {
            ((size_of::<T>() as u64 * u64::from(first_places::<T>())) << chunk) + room
        })
        .sum()
    }

    /// All slots handed out by `grow`, in the order of their indices.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &'static T> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// The value at `index`, if its chunk exists.
    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&'static T> {
        let (chunk, offset) = split::<T>(index)?;
        let start = self.chunks[chunk].load(Ordering::Acquire);
        (!start.is_null()).then(|| at(start, offset))
    }

    /// The value that begins at this address, or `None` if none does.
    // PERF: begins with the last chunk, which has half of all slots.
    #[inline(never)]
    pub(crate) fn at_address(&self, address: usize) -> Option<&'static T> {
        let (mut chunk, _) = split::<T>(self.len().checked_sub(1)?)?;
        loop {
            let start = self.chunks[chunk].load(Ordering::Acquire);
            let distance = address.wrapping_sub(start.addr());
            let bytes = size_of::<T>() * ((first_places::<T>() as usize) << chunk);
            if distance < bytes && !start.is_null() {
                let is_a_place = distance.is_multiple_of(size_of::<T>());
                return is_a_place.then(|| at(start, distance / size_of::<T>()));
            }
            chunk = chunk.checked_sub(1)?;
        }
    }

    /// The value at `index`, in a new chunk if its chunk does not exist. Returns `None` if the
    /// system has no memory.
    #[inline]
    pub(crate) fn get_or_make(&self, index: u32) -> Option<&'static T> {
        self.get(index).or_else(|| self.make(index))
    }

    #[cold]
    #[inline(never)]
    fn make(&self, index: u32) -> Option<&'static T> {
        let (chunk, offset) = split::<T>(index)?;
        let layout = Layout::array::<T>((first_places::<T>() as usize) << chunk).ok()?;
        let is_of_pages = layout.size() >= LEAST_PAGES && !T::LEADS_TO_BLOCKS;
        let zeroes = if is_of_pages { Zeroes::map(layout) } else { Zeroes::take(layout) }?;
        let new = zeroes.start.cast::<T>();
        if (zeroes.start.addr() as u64).saturating_add(zeroes.bytes()) > MOST_ADDRESS {
            // SAFETY: the memory was not published, so no other thread has seen it.
            unsafe { zeroes.give_back() };
            return None;
        }
        // Release; pairs with the Acquire in `get`, in `at_address` and below: it publishes the
        // zeroes.
        match self.chunks[chunk].compare_exchange(
            ptr::null_mut(),
            new,
            Ordering::AcqRel,
            Ordering::Acquire,
        ) {
            Ok(_) => {
                BYTES.fetch_add(zeroes.bytes(), Ordering::Relaxed);
                Some(at(new, offset))
            }
            Err(theirs) => {
                // SAFETY: the exchange failed, so the memory was not published and no other thread
                // has seen it.
                unsafe { zeroes.give_back() };
                Some(at(theirs, offset))
            }
        }
    }
}

/// Keeps one value for ever, outside the program's allocator. Returns `None` if the system has no
/// memory.
pub(crate) fn keep<T: Sync>(value: T) -> Option<&'static T> {
    const { assert!(size_of::<T>() != 0, "nothing to keep") };
    let layout = Layout::new::<T>();
    // SAFETY: the size is not zero, by the assertion above.
    let place = unsafe { System.alloc(layout) }.cast::<T>();
    if place.is_null() {
        return None;
    }
    BYTES.fetch_add(layout.size() as u64, Ordering::Relaxed);
    // SAFETY: the memory is freshly allocated for a `T` and belongs to this thread alone.
    unsafe { place.write(value) };
    // SAFETY: it is initialised above, is never freed, and from here on is only shared.
    Some(unsafe { &*place })
}

/// Keeps a zeroed value of some pages for ever, in fresh pages. The value must not hold the only
/// pointer to an allocated block, because leak checkers do not look there. Returns `None` if the
/// system has no memory.
pub(crate) fn keep_pages<T: Zeroed>() -> Option<&'static T> {
    let zeroes = Zeroes::map(Layout::new::<T>())?;
    BYTES.fetch_add(zeroes.bytes(), Ordering::Relaxed);
    Some(at(zeroes.start.cast(), 0))
}

/// Returns the value in `place`. If the cell is empty, fills it with a zeroed value, as
/// [`keep_pages`] does, and does not count it in [`bytes`]. Returns `None` if the system has no
/// memory.
#[inline]
pub(crate) fn get_or_keep_pages<T: Zeroed>(place: &StaticRef<T>) -> Option<&'static T> {
    place.get().or_else(|| fill(place))
}

/// [`get_or_keep_pages`] where the cell was empty.
#[cold]
#[inline(never)]
fn fill<T: Zeroed>(place: &StaticRef<T>) -> Option<&'static T> {
    let zeroes = Zeroes::map(Layout::new::<T>())?;
    let new = at(zeroes.start.cast(), 0);
    match place.set_if_none(new) {
        Ok(()) => Some(new),
        Err(theirs) => {
            // SAFETY: another thread filled the cell first, so no other thread has seen this
            // memory.
            unsafe { zeroes.give_back() };
            Some(theirs)
        }
    }
}

/// Returns how many bytes of a value made by [`get_or_keep_pages`] are in memory.
pub(crate) fn resident_bytes<T: Zeroed>(value: &'static T) -> u64 {
    zeroes::resident_bytes(ptr::from_ref(value).cast(), size_of::<T>())
}

/// Keeps a string for ever, outside the program's allocator. Returns `None` if the system has no
/// memory.
pub(crate) fn keep_str(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some("");
    }
    let layout = Layout::for_value(text);
    // SAFETY: the size is not zero, as `text` is not empty.
    let place = unsafe { System.alloc(layout) };
    if place.is_null() {
        return None;
    }
    BYTES.fetch_add(layout.size() as u64, Ordering::Relaxed);
    // SAFETY: both are `text.len()` bytes long, and the new memory is this thread's alone, so they
    // do not overlap.
    unsafe { ptr::copy_nonoverlapping(text.as_ptr(), place, text.len()) };
    // SAFETY: it is initialised above, is never freed, and from here on is only shared.
    let bytes = unsafe { std::slice::from_raw_parts(place, text.len()) };
    std::str::from_utf8(bytes).ok()
}

/// Keeps a copy of these values for ever, outside the program's allocator. Returns `None` if the
/// system has no memory.
pub(crate) fn keep_copy<T: Copy + Sync>(values: &[T]) -> Option<&'static [T]> {
    let layout = Layout::for_value(values);
    if layout.size() == 0 {
        return Some(&[]);
    }
    // SAFETY: the size is not zero.
    let place = unsafe { System.alloc(layout) }.cast::<T>();
    if place.is_null() {
        return None;
    }
    BYTES.fetch_add(layout.size() as u64, Ordering::Relaxed);
    // SAFETY: both have this length, and the new memory is this thread's alone, so they do not
    // overlap.
    unsafe { ptr::copy_nonoverlapping(values.as_ptr(), place, values.len()) };
    // SAFETY: it is initialised above, is never freed, and from here on is only shared.
    Some(unsafe { std::slice::from_raw_parts(place, values.len()) })
}

/// The value in the slot `offset` of the chunk that begins at `start`.
fn at<T: Zeroed>(start: *mut T, offset: usize) -> &'static T {
    // SAFETY: the caller's offset lies inside the chunk (`split` and `at_address` compute such
    // offsets), and by the arena's invariant a chunk has that many values.
    let place = unsafe { start.add(offset) };
    // SAFETY: by the arena's invariant the value lives for ever; `Zeroed` values are only shared,
    // never borrowed mutably.
    unsafe { &*place }
}

/// Splits an index into a chunk and an offset. Chunk `k` starts at index `first_places() * (2^k -
/// 1)`.
#[inline]
fn split<T>(index: u32) -> Option<(usize, usize)> {
    let first = const { first_places::<T>() };
    let shifted = index.checked_add(first)?;
    let chunk = (shifted.ilog2() - first.ilog2()) as usize;
    (chunk < CHUNKS).then(|| (chunk, (shifted - (first << chunk)) as usize))
}

/// For tests: simulates, on one thread, a system that has no memory for memscope.
#[cfg(test)]
pub(crate) mod shortage {
    use std::cell::Cell;

    thread_local! {
        static IS_HERE: Cell<bool> = const { Cell::new(false) };
    }

    pub(crate) fn is_here() -> bool {
        IS_HERE.get()
    }

    /// Runs `work` while memscope gets no memory on this thread.
    pub(crate) fn during<T>(work: impl FnOnce() -> T) -> T {
        IS_HERE.set(true);
        let value = work();
        IS_HERE.set(false);
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // SAFETY: an atomic integer is valid when zeroed and needs no drop.
    unsafe impl Zeroed for AtomicU32 {}

    #[test]
    fn every_index_has_its_own_place_that_stays() {
        let arena = Arena::<AtomicU32>::new();
        for expected in 0..1_000 {
            let (index, place) = arena.grow().expect("memory");
            assert_eq!(index, expected);
            place.store(index, Ordering::Relaxed);
        }
        let seen: Vec<u32> = arena.iter().map(|place| place.load(Ordering::Relaxed)).collect();
        assert_eq!(seen, (0..1_000).collect::<Vec<_>>());
        assert!(arena.get(u32::MAX).is_none(), "past the last chunk there is nothing");
    }

    #[test]
    fn a_value_is_found_by_its_address_and_by_no_other() {
        static FIRST_CHUNKS: [AtomicU32; places_of::<AtomicU32>(2)] =
            [const { AtomicU32::new(0) }; places_of::<AtomicU32>(2)];
        let arena = Arena::<AtomicU32>::new();
        assert!(arena.at_address(0).is_none() && arena.at_address(4).is_none());
        let static_one = Arena::beginning_with(&FIRST_CHUNKS);
        assert_eq!(static_one.len(), 1);
        for arena in [&arena, &static_one] {
            for _ in 0..1_000 {
                arena.grow().expect("memory");
            }
            for place in arena.iter() {
                let address = ptr::from_ref(place).addr();
                assert!(arena.at_address(address).is_some_and(|found| ptr::eq(found, place)));
                assert!((1..4).all(|byte| arena.at_address(address + byte).is_none()));
            }
            let elsewhere = [0, 4, usize::MAX, ptr::from_ref(arena).addr()];
            assert!(elsewhere.iter().all(|address| arena.at_address(*address).is_none()));
        }
        assert!(FIRST_CHUNKS.iter().zip(static_one.iter()).all(|(own, place)| ptr::eq(own, place)));
        let begin = ptr::from_ref(&FIRST_CHUNKS[0]).addr();
        assert!(static_one.at_address(begin - 4).is_none());
    }

    #[test]
    fn places_are_aligned_and_zeroed() {
        #[repr(align(256))]
        struct Wide([AtomicU64; 32]);
        // SAFETY: an array of atomic integers is valid when zeroed and needs no drop.
        unsafe impl Zeroed for Wide {}

        let check = |place: &Wide| {
            assert_eq!(ptr::from_ref(place).addr() % 256, 0);
            assert!(place.0.iter().all(|word| word.swap(u64::MAX, Ordering::Relaxed) == 0));
        };
        let arena = Arena::<Wide>::new();
        (0..1_000).for_each(|_| check(arena.grow().expect("memory").1));
        (0..10).for_each(|_| check(keep_pages().expect("memory")));
    }

    #[test]
    fn chunks_meet_without_gap_or_overlap() {
        fn check<T>(first: usize) {
            let mut expected = (0, 0);
            for index in 0..10_000 {
                assert_eq!(split::<T>(index), Some(expected));
                expected.1 += 1;
                if expected.1 == first << expected.0 {
                    expected = (expected.0 + 1, 0);
                }
            }
            assert_eq!(places_of::<T>(3), 7 * first);
        }
        check::<u64>(64);
        check::<[u64; 8]>(64);
        check::<[u64; 9]>(32);
        check::<[u64; 24]>(16);
        check::<[u64; 64]>(8);
        check::<[u64; 500]>(4);
    }
}
