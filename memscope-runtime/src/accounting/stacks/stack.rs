//! Call stacks, each kept once, and places: a stack in a site, with what was allocated there.

use crate::{
    accounting::site::Level,
    primitives::{
        Hash, InternTable,
        arena::{keep, keep_copy},
        sync::{AtomicU64, Ordering, add},
    },
};

/// The most frames of a stack that are kept, counted from the innermost.
pub(super) const MOST_FRAMES: usize = 96;
/// The most stacks that are kept; about 0.5 kB each.
const MOST_STACKS: u64 = 4_096;
/// The most places that are kept.
const MOST_PLACES: u64 = 8_192;
/// Sums count parts of a byte, this many in each, so that small weights are not rounded away.
pub(super) const PARTS: f64 = 256.0;

/// A call stack.
#[derive(Debug)]
pub(super) struct Stack {
    index: u32,
    /// Whether the stack has more frames than are kept.
    pub(super) is_cut: bool,
    /// Return addresses, innermost first.
    pub(super) frames: &'static [usize],
}

/// A stack in which a site has allocated.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) index: u32,
    /// The index of the stack.
    pub(super) stack: u32,
    /// The index of the site.
    pub(super) site: u32,
    samples: AtomicU64,
    /// An estimate, in [`PARTS`] of a byte.
    allocated: AtomicU64,
    /// What the collector has found in its last sample.
    pub(super) level: Level,
}

// The tables fill eight and nine chunks of an arena exactly.
static STACKS: InternTable<Stack> = InternTable::with_slots(64 * 255);
static PLACES: InternTable<Place> = InternTable::with_slots(64 * 511);

/// Bytes of stacks and places that are kept.
static KEPT: AtomicU64 = AtomicU64::new(0);

/// [`keep`], and counts the bytes.
fn kept<T: Sync>(value: T) -> Option<&'static T> {
    let kept = keep(value)?;
    KEPT.fetch_add(size_of::<T>() as u64, Ordering::Relaxed);
    Some(kept)
}

/// Bytes that stacks and places have taken from the system.
pub(super) fn held_bytes() -> u64 {
    STACKS.held_bytes() + PLACES.held_bytes() + KEPT.load(Ordering::Relaxed)
}

impl Stack {
    /// Finds or keeps the stack with these frames. Returns `None` at the limit, or if there is no
    /// memory.
    pub(super) fn intern(frames: &[usize], is_cut: bool) -> Option<&'static Self> {
        let hash = frames.iter().fold(Hash::new(), |hash, frame| hash.number(*frame as u64));
        STACKS.get_or_insert(
            hash.number(u64::from(is_cut)).get(),
            |there| there.frames == frames && there.is_cut == is_cut,
            || STACKS.made() < MOST_STACKS,
            |index| {
                let frames = keep_copy(frames)?;
                KEPT.fetch_add(size_of_val(frames) as u64, Ordering::Relaxed);
                kept(Self { index, is_cut, frames })
            },
        )
    }

    pub(super) fn get(index: u32) -> Option<&'static Self> {
        STACKS.get(index)
    }

    /// How many stacks are kept.
    #[cfg(feature = "symbols")]
    pub(super) fn made() -> u32 {
        u32::try_from(STACKS.made()).unwrap_or(u32::MAX)
    }
}

impl Place {
    /// Finds or makes the place of a stack in a site. Returns `None` at the limit, or if there is
    /// no memory.
    pub(super) fn of(stack: &Stack, site: u32) -> Option<&'static Self> {
        Self::at(stack.index, site)
    }

    /// [`of`](Self::of) by the stack's index.
    pub(super) fn at(stack: u32, site: u32) -> Option<&'static Self> {
        PLACES.get_or_insert(
            Hash::new().number(u64::from(stack)).number(u64::from(site)).get(),
            |there| there.stack == stack && there.site == site,
            || PLACES.made() < MOST_PLACES,
            |index| {
                let (samples, allocated) = (AtomicU64::new(0), AtomicU64::new(0));
                kept(Self { index, stack, site, samples, allocated, level: Level::new() })
            },
        )
    }

    pub(super) fn get(index: u32) -> Option<&'static Self> {
        PLACES.get(index)
    }

    /// Counts a sample that stands for this many parts of bytes.
    pub(super) fn note(&self, parts: u64) {
        add(&self.samples, 1);
        add(&self.allocated, parts);
    }

    pub(super) fn samples(&self) -> u64 {
        self.samples.load(Ordering::Relaxed)
    }

    /// The bytes that were allocated here, by estimate.
    pub(super) fn allocated_bytes(&self) -> u64 {
        bytes(self.allocated.load(Ordering::Relaxed))
    }

    /// All places, in the order of their indices.
    pub(super) fn all() -> impl Iterator<Item = &'static Self> {
        PLACES.iter()
    }
}

/// The parts that `bytes` bytes stand for if each stands for `weight` bytes.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "estimates are not exact; the cast saturates"
)]
pub(super) fn parts(bytes: u64, weight: f64) -> u64 {
    (bytes as f64 * weight * PARTS + 0.5) as u64
}

/// Converts parts into whole bytes.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small constant")]
pub(super) fn bytes(parts: u64) -> u64 {
    const HALF: u64 = PARTS as u64 / 2;
    parts.saturating_add(HALF) / PARTS as u64
}
