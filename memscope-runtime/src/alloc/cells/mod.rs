//! The cells of Tokio's tasks: which blocks they are, and what is in them.
//!
//! Tokio puts each task into one block, its *cell*, with an alignment that few other blocks have. A
//! table has all live blocks of that alignment. The allocator enters a block when it is made, and
//! removes it when it is freed. The block itself has the number of its entry, as a mark in its
//! header or slot, so that no search is needed.
//!
//! What is in a cell is *learned* from tasks of memscope's own (`samples`), and believed only if
//! all that Tokio says publicly agrees. A block is read as a cell only if its header fits
//! (`header`). A cell is read when it is freed, because then no other thread has it. A report reads
//! living cells: it [holds](HeldBlock) the block, so that a thread that frees it meanwhile leaves
//! it to the report.

mod free;
mod header;
mod infer;
#[cfg(all(target_os = "linux", any(target_env = "gnu", target_env = "musl")))]
mod module;
#[cfg(all(target_os = "linux", any(target_env = "gnu", target_env = "musl")))]
mod samples;
mod types;

use std::{alloc::Layout, ptr};

use super::unannotated;
use crate::{
    accounting::{Owner, Place},
    primitives::{
        HasLinks, HeldBlock, Links, Magazine, PAGE, Slab, SlabItem, StaticRef, Zeroed,
        sync::{AtomicU64, Ordering},
    },
};

pub(crate) use free::free;
pub(crate) use header::{CellHeader, learned, state};
#[cfg(all(target_os = "linux", any(target_env = "gnu", target_env = "musl")))]
pub(crate) use samples::learn;
pub(crate) use types::CellType;
#[cfg(feature = "symbols")]
pub(crate) use types::without_symbol;

/// The least alignment of Tokio's cells, above that of most blocks.
const LEAST_ALIGN: usize = if cfg!(target_pointer_width = "64") { 64 } else { 32 };

/// Whether a block of this alignment may be a cell.
#[inline]
pub(crate) fn may_be_cell(align: usize) -> bool {
    (LEAST_ALIGN..PAGE).contains(&align)
}

/// One entry of the table.
#[derive(Debug)]
struct Entry {
    held: HeldBlock,
    links: Links,
}

// SAFETY: atomics only.
unsafe impl Zeroed for Entry {}

impl HasLinks for Entry {
    fn links(&self) -> &Links {
        &self.links
    }
}

static ENTRIES: Slab<Entry> = Slab::new();

thread_local! {
    static SPARE_ENTRIES: Magazine<Entry> = const { Magazine::new() };
}

/// Blocks that are not in the table, for lack of memory or room.
static REFUSED: AtomicU64 = AtomicU64::new(0);

/// Gives a block with this alignment back to the inner allocator.
type GiveBack = unsafe fn(*mut u8, usize);

/// How the blocks in the table are given back.
static GIVE_BACK: StaticRef<GiveBack> = StaticRef::none();

/// Counts the blocks that could not be entered.
pub(crate) fn refused() -> u64 {
    REFUSED.load(Ordering::Relaxed)
}

/// Enters a new block that [may be a cell](may_be_cell).
///
/// # Safety
///
/// `A` has just allocated the block, with this layout, and its word lies at this place. No other
/// thread has seen it.
#[inline(never)]
pub(crate) unsafe fn enter<A: std::alloc::GlobalAlloc>(
    block: *mut u8,
    layout: Layout,
    place: Place,
    owner: Owner,
) {
    if owner == Owner::memscope() {
        #[cfg(all(target_os = "linux", any(target_env = "gnu", target_env = "musl")))]
        samples::note(block, layout);
        return;
    }
    unannotated::note_block();
    if size_of::<A>() != 0 || !header::fits(layout) {
        return;
    }
    let give_back: &'static GiveBack = const { &(free::give_back::<A> as GiveBack) };
    let first = match GIVE_BACK.get() {
        Some(first) => first,
        None => GIVE_BACK.set_if_none(give_back).map_or_else(|first| first, |()| give_back),
    };
    let entry = SPARE_ENTRIES.with(Magazine::pop).or_else(|| ENTRIES.take());
    let Some(entry) = entry.filter(|_| ptr::fn_addr_eq(*first, *give_back)) else {
        entry.into_iter().for_each(put);
        REFUSED.fetch_add(1, Ordering::Relaxed);
        return;
    };
    // SAFETY: the caller's contract.
    if unsafe { place.mark(block, entry.index().wrapping_add(1)) } {
        entry.held.enter(number(block, layout.align()));
    } else {
        put(entry);
        REFUSED.fetch_add(1, Ordering::Relaxed);
    }
}

/// The number of a block in its entry: its address, and above two free bits its alignment.
fn number(block: *mut u8, align: usize) -> u64 {
    block.addr() as u64 | u64::from(align.trailing_zeros() - LEAST_ALIGN.trailing_zeros()) << 2
}

/// The block and its alignment.
fn block_of(number: u64) -> (*mut u8, usize) {
    let low = LEAST_ALIGN as u64 - 1;
    let align = LEAST_ALIGN << ((number & low) >> 2);
    let address = usize::try_from(number & !low).unwrap_or(0);
    (ptr::with_exposed_provenance_mut(address), align)
}

fn put(entry: &'static Entry) {
    ENTRIES.put_local(&SPARE_ENTRIES, entry);
}

/// The entry that a block has by its mark; `None` if the program has overwritten the mark.
fn entry(mark: u32, block: *const u8) -> Option<&'static Entry> {
    let entry = ENTRIES.get(mark.checked_sub(1)?)?;
    let low = LEAST_ALIGN as u64 - 1;
    (entry.held.block() & !low == block.addr() as u64).then_some(entry)
}

/// Ends the unannotated task of a block that is freed, if the block is a cell, and removes its
/// entry. Returns `false` if a reader holds the block: then the reader gives it back.
///
/// # Safety
///
/// The block must be live and of this owner and size; no other thread uses it.
#[inline]
unsafe fn leave(mark: u32, block: *mut u8, owner: Owner, bytes: usize) -> bool {
    // SAFETY: the caller's contract.
    if let Some(cell) = unsafe { header::read(block, bytes) } {
        unannotated::cell_is_freed(&cell, owner);
    }
    withdraw(mark, block)
}

/// Removes the entry of a block that is freed. Returns `false` if a reader holds the block: then
/// the reader gives it back.
#[inline]
pub(crate) fn withdraw(mark: u32, block: *const u8) -> bool {
    let Some(entry) = entry(mark, block) else { return true };
    let is_free = entry.held.leave();
    if is_free {
        put(entry);
    }
    is_free
}

/// A block that this thread holds.
struct Held {
    entry: &'static Entry,
    block: *mut u8,
    align: usize,
}

impl Held {
    fn of(entry: &'static Entry) -> Option<Self> {
        let (block, align) = block_of(entry.held.hold()?);
        Some(Self { entry, block, align })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.entry.held.let_go()
            && let Some(give_back) = GIVE_BACK.get()
        {
            // SAFETY: the block was freed and left to this thread. The allocator that this function
            // is of made it with this alignment.
            unsafe { give_back(self.block, self.align) };
            ENTRIES.put(self.entry);
        }
    }
}

/// Calls `each` with every living cell that is no tracked task's, and the owner of its block: what
/// spawned the task. Must not be called in the allocator.
pub(crate) fn for_each(mut each: impl FnMut(&CellHeader, Owner)) {
    if !learned() {
        return;
    }
    for held in ENTRIES.iter().filter_map(Held::of) {
        // SAFETY: this thread holds the block, so it is live, with its word.
        let place = unsafe { Place::of(held.block, held.align) };
        // SAFETY: as above.
        let (owner, bytes) = unsafe { place.read_marked(held.block) };
        if owner.cell().is_some() || held.entry.held.was_left() {
            continue;
        }
        // SAFETY: as above.
        if let Some(cell) = unsafe { header::read(held.block, bytes) } {
            #[cfg(all(target_os = "linux", any(target_env = "gnu", target_env = "musl")))]
            if cell.kind.site().is_none() && !cell.is_finished {
                // SAFETY: as above.
                let objects = unsafe { header::objects(held.block, bytes, cell.kind) };
                // SAFETY: as above.
                let after = unsafe { header::read(held.block, bytes) };
                // The future may have been replaced by its output meanwhile.
                match (objects, after.filter(|it| !it.is_finished)) {
                    (Some(objects), Some(after)) if cell.is_idle() && after.is_idle() => {
                        cell.kind.note_objects(objects);
                    }
                    (Some(objects), Some(_)) => cell.kind.note_running(objects != 0),
                    _ => {}
                }
            }
            each(&cell, owner);
        }
    }
}

/// Empties this thread's magazine, when the thread ends.
pub(crate) fn retire() {
    ENTRIES.empty(&SPARE_ENTRIES);
}

/// In a forked child, on its only thread: no other thread holds a block.
pub(crate) fn forked() {
    for entry in ENTRIES.iter().filter(|entry| entry.held.block() != 0) {
        if entry.held.forked() {
            ENTRIES.put(entry);
        }
    }
}
