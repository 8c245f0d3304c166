//! Cross-task frees: which site frees what another site allocated, counted for each pair of sites.
//!
//! A report calls such a block a hand-over.

use std::cell::Cell;

use super::site::UNTRACKED;
use crate::primitives::{
    HasLinks, Links, Slab, Zeroed,
    sync::{AtomicU64, Ordering, add, bump},
    this_thread,
};

/// The most pairs that one thread counts by itself.
const PAIRS: usize = 16;
/// How many entries a search for a pair looks at.
const PROBES: usize = 8;

/// Blocks that one site allocated and another site freed.
#[derive(Debug)]
struct Pair {
    /// The [`key`] of the pair; 0 if the entry is empty.
    key: AtomicU64,
    blocks: AtomicU64,
    bytes: AtomicU64,
}

impl Pair {
    /// Counts a block. Only the pair's single writer calls this.
    #[inline]
    fn add(&self, bytes: usize) {
        bump(&self.blocks, 1);
        bump(&self.bytes, bytes as u64);
    }
}

/// The counts of one thread, with one writer. When the thread ends, another thread goes on with
/// them, so that no count ever moves.
#[derive(Debug)]
struct Counts {
    pairs: [Pair; PAIRS],
    links: Links,
}

// SAFETY: only atomics, which are valid when zeroed and need no drop.
unsafe impl Zeroed for Counts {}

impl HasLinks for Counts {
    fn links(&self) -> &Links {
        &self.links
    }
}

static COUNTS: Slab<Counts> = Slab::new();

/// Pairs that found no entry in their thread's counts; all threads add to them.
static CROWD: [Pair; 1_024] = [const {
    Pair { key: AtomicU64::new(0), blocks: AtomicU64::new(0), bytes: AtomicU64::new(0) }
}; 1_024];
/// Blocks that found no entry there either.
static LOST: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static MINE: Cell<Option<&'static Counts>> = const { Cell::new(None) };
}

/// The pair of a thread's own counts that was counted last.
#[derive(Debug)]
pub(crate) struct LastPair(Cell<Option<&'static Pair>>);

/// Blocks that site `to` freed and site `from` had allocated. Both are indices of sites.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CrossFree {
    pub(crate) from: u32,
    pub(crate) to: u32,
    pub(crate) blocks: u64,
    pub(crate) bytes: u64,
}

impl LastPair {
    pub(crate) const fn new() -> Self {
        Self(Cell::new(None))
    }

    /// Counts a block that site `to` frees and site `from` allocated. Must be called on its own
    /// thread.
    ///
    /// PERF: two plain additions if the pair is the last one, as it mostly is; else a search among
    /// a few pairs.
    #[inline]
    pub(crate) fn note(&self, from: u32, to: u32, bytes: usize) {
        let key = key(from, to);
        match self.0.get() {
            Some(pair) if pair.key.load(Ordering::Relaxed) == key => pair.add(bytes),
            _ => self.note_another(key, bytes),
        }
    }

    /// [`note`](Self::note) for a pair that is not the last one.
    #[inline(never)]
    fn note_another(&self, key: u64, bytes: usize) {
        if key == BETWEEN_THREADS {
            return;
        }
        let Some(pair) = mine().and_then(|counts| find(&counts.pairs, key)) else {
            return note_in_crowd(key, bytes as u64);
        };
        if pair.key.load(Ordering::Relaxed) == 0 {
            // Keys stay for ever, and counts start at zero, so a reader can mistake nothing.
            pair.key.store(key, Ordering::Relaxed);
        }
        pair.add(bytes);
        self.0.set(Some(pair));
    }

    /// Gives the thread's counts to the next thread; from here on this thread counts in `CROWD`.
    pub(crate) fn retire(&self) {
        self.0.set(None);
        if let Some(counts) = MINE.take() {
            COUNTS.put(counts);
        }
    }
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

/// The key of blocks that threads pass on outside of tasks. They are not counted.
const BETWEEN_THREADS: u64 = key(UNTRACKED, UNTRACKED);

/// The key of a pair of sites. It is never 0, because no site has the highest index.
const fn key(from: u32, to: u32) -> u64 {
    !((from as u64) << 32 | to as u64)
}

/// The entry with this key, or an empty one for it.
fn find(pairs: &[Pair], key: u64) -> Option<&Pair> {
    let start = (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize;
    (0..PROBES).map(|step| &pairs[start.wrapping_add(step) % pairs.len()]).find(|pair| {
        let there = pair.key.load(Ordering::Relaxed);
        there == key || there == 0
    })
}

/// This thread's counts. `None` while the thread ends, or if there is no memory.
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

/// Lets other threads go on with the counts of threads that a fork has left behind. Must be called
/// in the child.
pub(crate) fn forked() {
    COUNTS.take_back(MINE.get(), |_| ());
}

/// All counts of all threads. A pair may occur several times.
pub(crate) fn read() -> impl Iterator<Item = CrossFree> {
    COUNTS.iter().flat_map(|counts| &counts.pairs).chain(&CROWD).filter_map(|pair| {
        let key = !pair.key.load(Ordering::Relaxed);
        (key != u64::MAX).then(|| CrossFree {
            from: u32::try_from(key >> 32).unwrap_or(UNTRACKED),
            to: u32::try_from(key & u64::from(u32::MAX)).unwrap_or(UNTRACKED),
            blocks: pair.blocks.load(Ordering::Relaxed),
            bytes: pair.bytes.load(Ordering::Relaxed),
        })
    })
}

/// Blocks that were not counted because there were too many pairs of sites.
pub(crate) fn lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}
