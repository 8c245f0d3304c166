//! The layout of a block and its owner word: in front, in a header, or in a slot of the page map.
//!
//! The *inner block* is what the inner allocator has returned; the block that the program gets lies
//! in it.

use std::{alloc::Layout, hint};

use super::{
    owner_word::{FREE, Owner, OwnerWord},
    registry,
    stacks::Sample,
};
use crate::primitives::{
    PAGE, Slot, page_map,
    sync::{AtomicU64, Ordering},
};

/// The least alignment that the inner allocator is asked for.
pub(crate) const INNER_ALIGN: usize = 16;

/// The distance from the inner block to a block with its word in front.
pub(crate) const FRONT: usize = 8;

/// The largest alignment of blocks that have only their word in front.
pub(crate) const FRONT_ALIGN: usize = 8;

/// The largest size of blocks that have their word in front. Of larger blocks with an alignment of
/// 16, no two begin in the same page.
pub(crate) const MOST_FRONT: usize = PAGE - FRONT;

/// The least distance from the inner block to a padded block: room for the distance and the word.
pub(crate) const HEADER: usize = 16;

/// The inner layout of a block of this size, below a page, that has its word in front.
///
/// # Safety
///
/// `bytes` must be between 1 and [`MOST_FRONT`].
#[inline]
pub(crate) unsafe fn front_layout(bytes: usize) -> Layout {
    // PERF: `System` calls another function of the C library if the size is below the alignment.
    // These assertions tell the compiler that it is not. SAFETY: the caller's contract.
    unsafe { hint::assert_unchecked(bytes != 0) };
    // SAFETY: the caller's contract.
    unsafe { hint::assert_unchecked(bytes <= MOST_FRONT) };
    let size = (bytes + (2 * FRONT - 1)) & !(FRONT - 1);
    // SAFETY: the size is at least 16, because `bytes` is not 0 before it is rounded up.
    unsafe { hint::assert_unchecked(size / INNER_ALIGN != 0) };
    // SAFETY: the alignment is a power of two, and the size is far below the largest.
    unsafe { Layout::from_size_align_unchecked(size, INNER_ALIGN) }
}

/// Whether a block has its word directly in front.
#[inline]
pub(crate) fn is_fronted(block: *const u8) -> bool {
    // All blocks are aligned to 8.
    block.addr() & FRONT != 0
}

#[inline]
fn to_word(place: *mut u8) -> *mut u64 {
    place.cast()
}

/// The word that begins this many bytes in front of a block.
///
/// # Safety
///
/// These bytes must belong to the same inner block.
#[inline]
pub(super) unsafe fn in_front(block: *mut u8, bytes: usize) -> *mut u64 {
    // SAFETY: the caller's contract.
    to_word(unsafe { block.sub(bytes) })
}

/// Reads the word in front of a block.
///
/// # Safety
///
/// `block` must be live and [fronted](is_fronted), or padded.
#[inline]
pub(crate) unsafe fn front_word(block: *mut u8) -> OwnerWord {
    // SAFETY: the caller's contract: the inner block begins at least 8 bytes before the block.
    let place = unsafe { in_front(block, FRONT) };
    // SAFETY: the word is aligned, as the block is aligned to 8; it was written when the block was
    // made.
    OwnerWord(unsafe { place.read() })
}

/// Writes the word at `inner`, and returns the block behind it.
///
/// # Safety
///
/// `inner` must be aligned to 8, and must have room for the 8 bytes of the word and for the block.
#[inline]
pub(crate) unsafe fn write_front(inner: *mut u8, word: OwnerWord) -> *mut u8 {
    // SAFETY: the caller's contract.
    unsafe { to_word(inner).write(word.0) };
    // SAFETY: as above.
    unsafe { inner.add(FRONT) }
}

/// Where the word of a block lies.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    Front,
    Padded,
    Slot(&'static Slot),
    /// There was no memory for the block's slot: it is charged to the orphans.
    NoSlot,
}

/// The inner block: what the inner allocator has returned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inner {
    pub(crate) block: *mut u8,
    pub(crate) layout: Layout,
}

/// How to ask the inner allocator for a block of any layout.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    /// The inner layout.
    pub(crate) layout: Layout,
    align: usize,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Front,
    Padded,
    Slot,
}

impl Request {
    /// The request for a block of this layout; `None` if its size is too large to be aligned to 16.
    #[inline]
    pub(crate) fn of(user: Layout) -> Option<Self> {
        let align = user.align();
        let kind = Kind::of(user);
        let layout = match kind {
            // SAFETY: `possible` returns a size between 1 and `MOST_FRONT`.
            Kind::Front => unsafe { front_layout(possible(user.size())) },
            Kind::Padded => padded_layout(user)?,
            Kind::Slot => slot_layout(user.size(), align)?,
        };
        Some(Self { layout, align, kind })
    }

    /// [`of`](Self::of) for a padded block; `None` if this is another one.
    #[inline]
    pub(crate) fn padded(user: Layout) -> Option<Self> {
        if !matches!(Kind::of(user), Kind::Padded) {
            return None;
        }
        Some(Self { layout: padded_layout(user)?, align: user.align(), kind: Kind::Padded })
    }

    /// [`of`](Self::of) for a block of more than [`MOST_FRONT`] bytes and an alignment of at most
    /// [`FRONT_ALIGN`].
    #[inline]
    pub(crate) fn large(bytes: usize) -> Option<Self> {
        let layout = Layout::from_size_align(bytes, INNER_ALIGN).ok()?;
        Some(Self { layout, align: FRONT_ALIGN, kind: Kind::Slot })
    }

    /// The alignment that the user asks for, or a larger one that has the same place.
    #[cfg(feature = "tokio")]
    #[inline]
    pub(crate) fn align(&self) -> usize {
        self.align
    }

    /// Whether the inner allocator can reallocate a block whose word lies at this place, so that
    /// the result fits the request.
    ///
    /// Returns `false` for the alignments of padded blocks. If the reallocated block got no slot,
    /// it would be taken for a padded one, and a finished `realloc` cannot be undone.
    pub(crate) fn keeps(self, place: Place) -> bool {
        match place {
            Place::Front => matches!(self.kind, Kind::Front),
            Place::Slot(_) | Place::NoSlot => {
                matches!(self.kind, Kind::Slot) && !is_padded(self.align)
            }
            Place::Padded => false,
        }
    }

    /// Where the user's block begins in the inner block, and where its word lies. Returns `None` if
    /// there is no memory for its slot, and the block without it would be taken for a padded one.
    ///
    /// # Safety
    ///
    /// `inner` must have been allocated with this layout, and must not be null.
    #[inline]
    pub(crate) unsafe fn place(self, inner: *mut u8) -> Option<(*mut u8, Place)> {
        match self.kind {
            Kind::Front => {
                // SAFETY: the layout has room for the word in front.
                Some((unsafe { inner.add(FRONT) }, Place::Front))
            }
            Kind::Padded => {
                // At most the alignment, since both are multiples of 16. The layout is larger than
                // the block by that much.
                let front = HEADER + ((inner.addr() + HEADER).wrapping_neg() & (self.align - 1));
                // SAFETY: the layout has room for that.
                let block = unsafe { inner.add(front) };
                // SAFETY: the header is in front of the block.
                let distance = unsafe { in_front(block, HEADER) };
                // SAFETY: aligned to 16, and inside the inner block.
                unsafe { distance.write(front as u64) };
                Some((block, Place::Padded))
            }
            Kind::Slot => match page_map::make_slot(inner) {
                Some(slot) => Some((inner, Place::Slot(slot))),
                None if is_padded(self.align) => None,
                None => Some((inner, Place::NoSlot)),
            },
        }
    }
}

impl Kind {
    #[inline]
    fn of(user: Layout) -> Self {
        if user.size() > MOST_FRONT || user.align() >= PAGE {
            Self::Slot
        } else if user.align() <= FRONT_ALIGN {
            Self::Front
        } else {
            Self::Padded
        }
    }
}

/// Clamps the size of a block that has its word in front. A size outside of these limits comes only
/// from the program's layout, when the word is not credible.
#[inline]
fn possible(bytes: usize) -> usize {
    bytes.clamp(1, MOST_FRONT)
}

/// Whether small blocks of this alignment are padded.
#[inline]
fn is_padded(align: usize) -> bool {
    (FRONT_ALIGN + 1..PAGE).contains(&align)
}

/// The inner layout of a padded block.
#[inline]
fn padded_layout(user: Layout) -> Option<Layout> {
    Layout::from_size_align(user.size() + user.align(), INNER_ALIGN).ok()
}

/// The inner layout of a block with a slot.
///
/// A small block that is aligned to a page gets the whole page, so that no other block with a slot
/// begins there.
#[inline]
fn slot_layout(bytes: usize, align: usize) -> Option<Layout> {
    Layout::from_size_align(bytes.max(MOST_FRONT + 1), align.max(INNER_ALIGN)).ok()
}

impl Place {
    /// Where the word of a live block lies. `align` is the alignment in its layout.
    ///
    /// # Safety
    ///
    /// The block must have been allocated by `TrackingAllocator` with this alignment.
    #[inline]
    pub(crate) unsafe fn of(block: *mut u8, align: usize) -> Self {
        if is_fronted(block) {
            Self::Front
        } else if let Some(slot) = page_map::slot(block) {
            Self::Slot(slot)
        } else if is_padded(align) {
            Self::Padded
        } else {
            Self::NoSlot
        }
    }

    /// The owner of the block, and the size that it was made with. `bytes` is the size in the
    /// program's layout; it is returned if the word knows nothing better.
    ///
    /// # Safety
    ///
    /// The block must be live, and its word must lie at this place.
    #[inline]
    pub(crate) unsafe fn read(self, block: *mut u8, bytes: usize) -> (Owner, usize) {
        match self {
            Self::Front | Self::Padded => {
                // SAFETY: the caller's contract.
                let word = unsafe { front_word(block) };
                let is_as_said = word.bytes() == bytes;
                let known = if is_as_said { None } else { word.believed() };
                (word.owner(), known.unwrap_or(bytes))
            }
            Self::Slot(slot) => (Owner(slot.owner()), slot.bytes()),
            Self::NoSlot => (Owner::account(registry::orphans_account()), bytes),
        }
    }

    /// Writes the owner and the size of a block.
    ///
    /// # Safety
    ///
    /// The block must be live, and must have room for its word at this place.
    #[inline]
    pub(crate) unsafe fn write(self, block: *mut u8, owner: Owner, bytes: usize) {
        match self {
            Self::Front | Self::Padded => {
                // SAFETY: the caller's contract.
                let place = unsafe { block.sub(FRONT) };
                // SAFETY: as above.
                unsafe { write_front(place, OwnerWord::new(owner, bytes)) };
            }
            Self::Slot(slot) => slot.fill(block, owner.0, bytes),
            Self::NoSlot => {}
        }
    }

    /// Forgets the block. Must be called before the block goes back to the inner allocator:
    /// afterwards another block may begin in its page.
    #[inline]
    pub(crate) fn clear(self) {
        if let Self::Slot(slot) = self {
            slot.clear();
        }
    }

    /// The inner block, given the size that the block was made with. `None` if the block is
    /// marked, or the program has overwritten the distance to it.
    ///
    /// # Safety
    ///
    /// The block must be live, must have this alignment, and its word must lie at this place.
    #[inline]
    pub(crate) unsafe fn inner(self, block: *mut u8, bytes: usize, align: usize) -> Option<Inner> {
        match self {
            Self::Front => {
                // SAFETY: the caller's contract.
                let block = unsafe { block.sub(FRONT) };
                // SAFETY: `possible` returns a size between 1 and `MOST_FRONT`.
                let layout = unsafe { front_layout(possible(bytes)) };
                Some(Inner { block, layout })
            }
            Self::Padded => {
                // SAFETY: the caller's contract.
                let distance = unsafe { in_front(block, HEADER) };
                // SAFETY: aligned to 16, and written when the block was made.
                let distance = usize::try_from(unsafe { distance.read() }).ok()?;
                let is_possible =
                    (HEADER..=align).contains(&distance) && distance.is_multiple_of(INNER_ALIGN);
                let layout = Layout::from_size_align(bytes + align, INNER_ALIGN).ok()?;
                // SAFETY: the caller's contract: such a distance leads to the start of the inner
                // block.
                is_possible.then(|| Inner { block: unsafe { block.sub(distance) }, layout })
            }
            Self::Slot(_) | Self::NoSlot => {
                Some(Inner { block, layout: slot_layout(bytes, align)? })
            }
        }
    }
}

/// Lets `name` replace the owner of a block, which other threads may name at the same moment.
/// Repeats until the exchange succeeds or `name` returns `None`. Of a sampled block, this is the
/// owner that its record covers: the record stays the block's until that is freed or reallocated.
///
/// # Safety
///
/// `block` must be live until this returns. `TrackingAllocator` must have allocated it with this
/// layout.
pub(crate) unsafe fn rename(
    block: *mut u8,
    layout: Layout,
    mut name: impl FnMut(Owner) -> Option<Owner>,
) {
    // SAFETY: the caller's contract.
    let word = match unsafe { Place::of(block, layout.align()) } {
        Place::Front | Place::Padded => {
            // SAFETY: the word is in front.
            let place = unsafe { in_front(block, FRONT) };
            // SAFETY: the word is aligned and initialised. While the block lives, only this
            // function writes it.
            unsafe { AtomicU64::from_ptr(place) }
        }
        Place::Slot(slot) => slot.word(),
        Place::NoSlot => return,
    };
    let sample = Owner(word.load(Ordering::Acquire) & !FREE).sample();
    let word = sample.map_or(word, Sample::covered_word);
    let mut there = word.load(Ordering::Acquire);
    while let Some(Owner(new)) = name(Owner(there & !FREE)) {
        let new = new | there & FREE;
        // Release publishes the new name. Acquire sees the name that another thread gave meanwhile.
        match word.compare_exchange(there, new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return,
            Err(now) => there = now,
        }
    }
}

/// Returns whether a block of this size has its owner word in front, at an alignment of at most 8.
#[inline]
pub(crate) fn is_small(bytes: usize) -> bool {
    bytes <= MOST_FRONT
}
