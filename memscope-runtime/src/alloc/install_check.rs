//! Whether the allocator is installed, and outermost.

use std::{
    alloc::{Layout, alloc, dealloc},
    hint::black_box,
};

use super::current::{self, HERE};
use crate::{config::ENABLED, model::Measured, primitives::Once};

/// What the allocator saw of a block made to find out whether it is installed.
///
/// Invariant: an alignment below a word's stands as a word's, since the allocator does not keep it.
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

    /// The last block that passed the allocator inside `exempt` on this thread.
    pub(crate) fn take() -> Option<Self> {
        HERE.with(|here| here.probe.take())
    }
}

/// Finds out once: blocks taken the way every Rust program does must reach our allocator unchanged.
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
        // There was no memory for any block: looked at again the next time.
        None => Measured::NotInstalled,
    }
}

/// Sizes and alignments that are tried: one that wraps ours may serve small blocks, large ones or
/// aligned ones by itself.
const LAYOUTS: [(usize, usize); 8] =
    [(40, 8), (1, 1), (16, 16), (256, 64), (1_000, 8), (4_096, 4_096), (100_000, 8), (1 << 21, 8)];

/// `None`: there was no memory for any block.
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

/// What our allocator saw of a block.
enum Seen {
    AsItWas,
    Changed,
    NotAtAll,
}

/// `None`: there was no memory.
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
