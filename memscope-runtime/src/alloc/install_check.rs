//! Checks that the tracking allocator is installed, and that no other allocator wraps it.

use std::{
    alloc::{Layout, alloc, dealloc},
    hint::black_box,
};

use super::current::{self, HERE};
use crate::{config::ENABLED, model::Measured, primitives::Once};

/// What the tracking allocator saw of a probe block.
///
/// Invariant: an alignment below a word's is stored as a word's, because the allocator does not
/// keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    pub(crate) block: *const u8,
    pub(crate) layout: Layout,
}

impl Probe {
    /// What the allocator sees of a block of this layout.
    #[inline]
    pub(crate) fn of(block: *const u8, layout: Layout) -> Self {
        let layout = layout.align_to(align_of::<usize>()).unwrap_or(layout);
        Self { block, layout }
    }

    pub(super) fn note(self) {
        HERE.with(|here| here.probe.set(Some(self)));
    }

    /// Takes the last block that the allocator served inside `exempt` on this thread.
    pub(crate) fn take() -> Option<Self> {
        HERE.with(|here| here.probe.take())
    }
}

/// Checks once: blocks that are allocated as in any Rust program must reach the tracking allocator
/// unchanged.
pub(crate) fn measured() -> Measured {
    static MEASURED: Once<Measured> = Once::new();
    if !ENABLED {
        return Measured::Disabled;
    }
    if let Some(measured) = MEASURED.get() {
        return *measured;
    }
    match current::exempt(probe) {
        Some(measured) => *MEASURED.get_or_init(|| measured),
        // There was no memory for any block: the next call checks again.
        None => Measured::NotInstalled,
    }
}

/// Sizes and alignments of the probe blocks. A wrapping allocator may serve small, large or aligned
/// blocks by itself.
const LAYOUTS: [(usize, usize); 8] =
    [(40, 8), (1, 1), (16, 16), (256, 64), (1_000, 8), (4_096, 4_096), (100_000, 8), (1 << 21, 8)];

/// Returns `None` if there was no memory for any block.
fn probe() -> Option<Measured> {
    let (mut seen, mut unseen) = (false, false);
    for (size, align) in LAYOUTS {
        match Layout::from_size_align(size, align).ok().and_then(try_one) {
            Some(Seen::AsItWas) => seen = true,
            Some(Seen::Changed) => return Some(Measured::Wrapped),
            Some(Seen::NotAtAll) => unseen = true,
            None => {}
        }
    }
    match (seen, unseen) {
        (true, false) => Some(Measured::Yes),
        (true, true) => Some(Measured::Wrapped),
        (false, true) => Some(Measured::NotInstalled),
        (false, false) => None,
    }
}

/// What the tracking allocator saw of a block.
enum Seen {
    AsItWas,
    Changed,
    NotAtAll,
}

/// Returns `None` if there was no memory.
fn try_one(layout: Layout) -> Option<Seen> {
    Probe::take();
    // SAFETY: the layouts' sizes are not zero.
    let block = black_box(unsafe { alloc(black_box(layout)) });
    if block.is_null() {
        return None;
    }
    let seen = Probe::take();
    // SAFETY: just allocated with this layout.
    unsafe { dealloc(block, layout) };
    Some(match seen {
        None => Seen::NotAtAll,
        Some(seen) if seen == Probe::of(block, layout) => Seen::AsItWas,
        Some(_) => Seen::Changed,
    })
}
