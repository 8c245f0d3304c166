//! Who frees what others allocated: counts for each pair of sites.

use std::cell::Cell;

use super::site::UNTRACKED;
use crate::primitives::{
    HasLinks, Links, Slab, Zeroed,
    sync::{AtomicU64, Ordering, add, bump},
    this_thread,
};

/// Pairs that one thread counts by itself.
const PAIRS: usize = 16;
/// Places looked at for a pair.
const PROBES: usize = 8;

/// Blocks that one site allocated and another freed.
#[derive(Debug)]
struct Pair {
    /// [`key`]; 0: empty.
    key: AtomicU64,
    blocks: AtomicU64,
    bytes: AtomicU64,
}

impl Pair {
    /// Counts a block; by its only writer.
    #[inline]
    fn add(&self, bytes: usize) {
        bump(&self.blocks, 1);
        bump(&self.bytes, bytes as u64);
    }
}

/// One thread's counts, with one writer. Handed on to another thread when it ends, so that nothing
/// counted ever moves.
#[derive(Debug)]
struct Counts {
    pairs: [Pair; PAIRS],
    links: Links,
}

// SAFETY: atomics only.
unsafe impl Zeroed for Counts {}

impl HasLinks for Counts {
    fn links(&self) -> &Links {
        &self.links
    }
}

static COUNTS: Slab<Counts> = Slab::new();

/// What did not find a place in its thread's counts, added to by all.
static CROWD: [Pair; 1_024] = [const {
    Pair { key: AtomicU64::new(0), blocks: AtomicU64::new(0), bytes: AtomicU64::new(0) }
}; 1_024];
/// Hand-overs that found no place there either.
static LOST: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static MINE: Cell<Option<&'static Counts>> = const { Cell::new(None) };
    /// The pair of `MINE` that was counted last.
    static LAST: Cell<Option<&'static Pair>> = const { Cell::new(None) };
}

/// Blocks that `to` freed for `from`: indices of sites.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HandedOver {
    pub(crate) from: u32,
    pub(crate) to: u32,
    pub(crate) blocks: u64,
    pub(crate) bytes: u64,
}

/// Counts a block that `to` frees for `from`.
///
/// PERF: two plain additions, as blocks that are handed over mostly come one after another; else a
/// search among a few pairs.
#[inline]
pub(crate) fn note(from: u32, to: u32, bytes: usize) {
    if from == UNTRACKED && to == UNTRACKED {
        return;
    }
    let key = key(from, to);
    match LAST.get() {
        Some(pair) if pair.key.load(Ordering::Relaxed) == key => pair.add(bytes),
        _ => note_another(key, bytes),
    }
}

/// [`note`] for another pair than the last one.
#[inline(never)]
fn note_another(key: u64, bytes: usize) {
    let Some(pair) = mine().and_then(|counts| find(&counts.pairs, key)) else {
        return note_in_crowd(key, bytes as u64);
    };
    if pair.key.load(Ordering::Relaxed) == 0 {
        // Keys stay for ever, and counts start at zero: there is nothing that a reader could
        // mistake.
        pair.key.store(key, Ordering::Relaxed);
    }
    pair.add(bytes);
    LAST.set(Some(pair));
}

#[cold]
fn note_in_crowd(key: u64, bytes: u64) {
    while let Some(pair) = find(&CROWD, key) {
        let claimed = pair.key.compare_exchange(0, key, Ordering::Relaxed, Ordering::Relaxed);
        if claimed.is_ok() || claimed == Err(key) {
            add(&pair.blocks, 1);
            add(&pair.bytes, bytes);
            return;
        }
    }
    LOST.fetch_add(1, Ordering::Relaxed);
}

/// Never 0: no site has the highest index.
fn key(from: u32, to: u32) -> u64 {
    !(u64::from(from) << 32 | u64::from(to))
}

/// The place of this key, or an empty one for it.
fn find(pairs: &[Pair], key: u64) -> Option<&Pair> {
    let start = (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize;
    (0..PROBES).map(|step| &pairs[start.wrapping_add(step) % pairs.len()]).find(|pair| {
        let there = pair.key.load(Ordering::Relaxed);
        there == key || there == 0
    })
}

/// This thread's counts. `None` while it ends, or where there is no memory.
fn mine() -> Option<&'static Counts> {
    MINE.get().or_else(take)
}

#[cold]
fn take() -> Option<&'static Counts> {
    if !this_thread::is_registered() {
        return None;
    }
    let counts = COUNTS.take_for_thread(u32::MAX)?;
    MINE.set(Some(counts));
    Some(counts)
}

/// Hands the thread's counts on; it counts in the crowd from here on.
pub(crate) fn retire() {
    LAST.set(None);
    if let Some(counts) = MINE.take() {
        COUNTS.put(counts);
    }
}

/// In a forked child: other threads go on with the counts of those that are not there.
pub(crate) fn forked() {
    COUNTS.take_back(MINE.get(), |_| ());
}

/// All counts, of all threads: a pair may come several times.
pub(crate) fn read() -> impl Iterator<Item = HandedOver> {
    COUNTS.iter().flat_map(|counts| &counts.pairs).chain(&CROWD).filter_map(|pair| {
        let key = !pair.key.load(Ordering::Relaxed);
        (key != u64::MAX).then(|| HandedOver {
            from: u32::try_from(key >> 32).unwrap_or(UNTRACKED),
            to: u32::try_from(key & u64::from(u32::MAX)).unwrap_or(UNTRACKED),
            blocks: pair.blocks.load(Ordering::Relaxed),
            bytes: pair.bytes.load(Ordering::Relaxed),
        })
    })
}

/// Hand-overs that were not counted because there were too many pairs of sites.
pub(crate) fn lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}
