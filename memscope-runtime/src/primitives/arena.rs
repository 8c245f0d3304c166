//! Records that stay where they are for ever, reachable by index.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    ptr,
    sync::atomic::AtomicPtr,
};

use super::{
    atomic_ref::StaticRef,
    sync::{AtomicU32, AtomicU64, Ordering},
};

/// Types whose all-zero bytes are a valid value that may be shared between threads.
///
/// # Safety
///
/// Zeroed memory must be a valid `Self`, `Self` must not need dropping, and its size must not be
/// zero.
pub(crate) unsafe trait Zeroed: Sync + 'static {}

/// A growing array of `T` in chunks that double, so that nothing in it ever moves or is unmapped.
///
/// The memory comes from `System`, not from the program's allocator: nothing in here recurses into
/// it, so an arena may grow inside the allocator (a thread's first allocation does that).
///
/// Invariant: `chunks[k]` is null or points to `FIRST << k` values that live for ever, at addresses
/// below 2^48: a block's word has its size above its owner's address.
#[derive(Debug)]
pub(crate) struct Arena<T: 'static> {
    chunks: [AtomicPtr<T>; CHUNKS],
    /// Places handed out by `grow` so far.
    len: AtomicU32,
}

const CHUNKS: usize = 24;
const FIRST: u32 = 64;
/// No system hands out higher addresses to a program that does not ask for them.
const MOST_ADDRESS: u64 = 1 << 48;

/// Bytes that all arenas have taken from the system, and `keep` and its siblings.
static BYTES: AtomicU64 = AtomicU64::new(0);

/// Bytes that all arenas have taken from the system.
pub(crate) fn bytes() -> u64 {
    BYTES.load(Ordering::Relaxed)
}

/// How many places so many first chunks have.
pub(crate) const fn places_of(chunks: u32) -> usize {
    FIRST as usize * ((1 << chunks) - 1)
}

impl<T: Zeroed> Arena<T> {
    pub(crate) const fn new() -> Self {
        Self { chunks: [const { AtomicPtr::new(ptr::null_mut()) }; CHUNKS], len: AtomicU32::new(0) }
    }

    /// An arena whose first chunks are there without memory from the system; `grow` has handed out
    /// the first of these places.
    pub(crate) const fn beginning_with<const N: usize>(first: &'static [T; N]) -> Self {
        let mut chunks = [const { AtomicPtr::new(ptr::null_mut()) }; CHUNKS];
        let mut places = first.as_slice();
        let mut chunk = 0;
        while !places.is_empty() {
            let (own, rest) = places.split_at((FIRST as usize) << chunk);
            chunks[chunk] = AtomicPtr::new(own.as_ptr().cast_mut());
            places = rest;
            chunk += 1;
        }
        Self { chunks, len: AtomicU32::new(1) }
    }

    /// A place never used before; `None` when the system has no memory or all places are taken.
    pub(crate) fn grow(&self) -> Option<(u32, &'static T)> {
        let mut index = self.len.load(Ordering::Relaxed);
        loop {
            // NOTE: the chunk comes first, so that `len` never counts a place that could not be
            // made.
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

    /// How many places `grow` has handed out.
    pub(crate) fn len(&self) -> u32 {
        self.len.load(Ordering::Acquire)
    }

    /// All places handed out by `grow`, in the order of their indices.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &'static T> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// The value at `index`, if its chunk exists.
    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&'static T> {
        let (chunk, offset) = split(index)?;
        let start = self.chunks[chunk].load(Ordering::Acquire);
        (!start.is_null()).then(|| at(start, offset))
    }

    /// The value that begins at this address; `None` where none does.
    // PERF: the largest chunk first, as it has half of all places.
    #[inline(never)]
    pub(crate) fn at_address(&self, address: usize) -> Option<&'static T> {
        let (mut chunk, _) = split(self.len().checked_sub(1)?)?;
        loop {
            let start = self.chunks[chunk].load(Ordering::Acquire);
            let distance = address.wrapping_sub(start.addr());
            let bytes = size_of::<T>() * ((FIRST as usize) << chunk);
            if distance < bytes && !start.is_null() {
                let is_a_place = distance.is_multiple_of(size_of::<T>());
                return is_a_place.then(|| at(start, distance / size_of::<T>()));
            }
            chunk = chunk.checked_sub(1)?;
        }
    }

    /// The value at `index`, in a new chunk if need be; `None` when the system has no memory.
    #[inline]
    pub(crate) fn get_or_make(&self, index: u32) -> Option<&'static T> {
        self.get(index).or_else(|| self.make(index))
    }

    #[cold]
    #[inline(never)]
    fn make(&self, index: u32) -> Option<&'static T> {
        let (chunk, offset) = split(index)?;
        let zeroes = Zeroes::take(Layout::array::<T>((FIRST as usize) << chunk).ok()?)?;
        let new = zeroes.start.cast::<T>();
        if (zeroes.start.addr() as u64).saturating_add(zeroes.bytes()) > MOST_ADDRESS {
            // SAFETY: nothing else has seen it.
            unsafe { zeroes.give_back() };
            return None;
        }
        // Release publishes the zeroes, and pairs with the Acquire in `get` and below.
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
                // SAFETY: nobody else has seen it.
                unsafe { zeroes.give_back() };
                Some(at(theirs, offset))
            }
        }
    }
}

/// Memory of the system's, zeroed and aligned.
///
/// PERF: with a small alignment fresh pages come as they are; for a larger one `System` would write
/// zeroes to all of them, so that each chunk, of which half may never be needed, would take real
/// memory at once. So it is aligned here.
#[derive(Debug)]
struct Zeroes {
    start: *mut u8,
    block: *mut u8,
    layout: Layout,
}

impl Zeroes {
    /// What every system's allocator aligns to by itself.
    const SMALL_ALIGN: usize = 8;

    /// `None` when the system has no memory.
    fn take(wanted: Layout) -> Option<Self> {
        debug_assert!(wanted.size() != 0, "`Zeroed` forbids it");
        #[cfg(test)]
        if shortage::is_here() {
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
        // There is room for it.
        let start = block.wrapping_add(block.addr().wrapping_neg() % wanted.align());
        Some(Self { start, block, layout })
    }

    fn bytes(&self) -> u64 {
        self.layout.size() as u64
    }

    /// # Safety
    ///
    /// Nobody uses the memory.
    unsafe fn give_back(self) {
        // SAFETY: it came from this allocator with this layout, and the caller says that nobody
        // uses it.
        unsafe { System.dealloc(self.block, self.layout) };
    }
}

/// Keeps one value for ever, outside the program's allocator; `None` when the system has no memory.
pub(crate) fn keep<T: Sync>(value: T) -> Option<&'static T> {
    const { assert!(size_of::<T>() != 0, "nothing to keep") };
    let layout = Layout::new::<T>();
    // SAFETY: the size is not zero.
    let place = unsafe { System.alloc(layout) }.cast::<T>();
    if place.is_null() {
        return None;
    }
    BYTES.fetch_add(layout.size() as u64, Ordering::Relaxed);
    // SAFETY: freshly allocated for a `T`.
    unsafe { place.write(value) };
    // SAFETY: initialised above, never freed, only shared from here on.
    Some(unsafe { &*place })
}

/// Keeps a value made of zeroes for ever: for those too large to be made on the stack. `None` when
/// the system has no memory.
pub(crate) fn keep_zeroed<T: Zeroed>() -> Option<&'static T> {
    let zeroes = Zeroes::take(Layout::new::<T>())?;
    BYTES.fetch_add(zeroes.bytes(), Ordering::Relaxed);
    Some(at(zeroes.start.cast(), 0))
}

/// What stands in `place`, made of zeroes, and counted there, if nothing does; `None` when the
/// system has no memory.
pub(crate) fn get_or_keep<T: Zeroed>(
    place: &StaticRef<T>,
    bytes: &AtomicU64,
) -> Option<&'static T> {
    if let Some(there) = place.get() {
        return Some(there);
    }
    let zeroes = Zeroes::take(Layout::new::<T>())?;
    let new = at(zeroes.start.cast(), 0);
    match place.set_if_none(new) {
        Ok(()) => {
            bytes.fetch_add(zeroes.bytes(), Ordering::Relaxed);
            Some(new)
        }
        Err(theirs) => {
            // SAFETY: nobody else has seen it.
            unsafe { zeroes.give_back() };
            Some(theirs)
        }
    }
}

/// Keeps a string for ever, outside the program's allocator; `None` when the system has no memory.
pub(crate) fn keep_str(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some("");
    }
    let layout = Layout::for_value(text);
    // SAFETY: the size is not zero.
    let place = unsafe { System.alloc(layout) };
    if place.is_null() {
        return None;
    }
    BYTES.fetch_add(layout.size() as u64, Ordering::Relaxed);
    // SAFETY: both are `text.len()` bytes long, and the new one is nobody else's.
    unsafe { ptr::copy_nonoverlapping(text.as_ptr(), place, text.len()) };
    // SAFETY: initialised above, never freed, only shared from here on.
    let bytes = unsafe { std::slice::from_raw_parts(place, text.len()) };
    std::str::from_utf8(bytes).ok()
}

/// The value `offset` places behind the start of a chunk.
fn at<T: Zeroed>(start: *mut T, offset: usize) -> &'static T {
    // SAFETY: `split` gives offsets inside the chunk, and by the arena's invariant it has that many
    // values.
    let place = unsafe { start.add(offset) };
    // SAFETY: the arena's invariant: valid for ever, and `Zeroed` values are only shared, never
    // borrowed mutably.
    unsafe { &*place }
}

/// Chunk `k` starts at index `FIRST * (2^k - 1)`.
#[inline]
fn split(index: u32) -> Option<(usize, usize)> {
    let shifted = index.checked_add(FIRST)?;
    let chunk = (shifted.ilog2() - FIRST.ilog2()) as usize;
    (chunk < CHUNKS).then(|| (chunk, (shifted - (FIRST << chunk)) as usize))
}

/// For tests: a thread on which memscope finds no memory for what it would keep.
#[cfg(test)]
pub(crate) mod shortage {
    use std::cell::Cell;

    thread_local! {
        static IS_HERE: Cell<bool> = const { Cell::new(false) };
    }

    pub(crate) fn is_here() -> bool {
        IS_HERE.get()
    }

    /// Runs `work` without memory for memscope.
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
        static FIRST_CHUNKS: [AtomicU32; places_of(2)] =
            [const { AtomicU32::new(0) }; places_of(2)];
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
        // SAFETY: atomic integers.
        unsafe impl Zeroed for Wide {}

        let check = |place: &Wide| {
            assert_eq!(ptr::from_ref(place).addr() % 256, 0);
            assert!(place.0.iter().all(|word| word.swap(u64::MAX, Ordering::Relaxed) == 0));
        };
        let arena = Arena::<Wide>::new();
        (0..1_000).for_each(|_| check(arena.grow().expect("memory").1));
        (0..10).for_each(|_| check(keep_zeroed().expect("memory")));
    }

    #[test]
    fn chunks_meet_without_gap_or_overlap() {
        let mut expected = (0, 0);
        for index in 0..10_000 {
            assert_eq!(split(index), Some(expected));
            expected.1 += 1;
            if expected.1 == (FIRST as usize) << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
    }
}
