//! The cells of Tokio's tasks: which blocks they are, and what is in them.
//!
//! Tokio puts each task into one block, its *cell*, with an alignment that few other blocks have. A
//! table has all live blocks of that alignment, without those that `Tracked::spawn` has spawned a
//! task into. The allocator enters a block when it is made, and removes it when it is freed. The
//! block has the number of its entry, as a mark in its header or slot, so that no search is needed.
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
#[cfg(feature = "symbols")]
mod spawned;
#[cfg(all(feature = "symbols", target_os = "linux", target_pointer_width = "64"))]
mod still;
mod types;

use std::{alloc::Layout, ptr};

use super::unannotated;
use crate::{
    accounting::{Owner, Place, registry},
    primitives::{
        HasLinks, HeldBlock, Links, Magazine, PAGE, Slab, SlabItem, StaticRef, Zeroed,
        sync::{AtomicU64, Ordering},
    },
};

pub(crate) use free::free;
#[cfg(all(feature = "symbols", target_os = "linux", target_pointer_width = "64"))]
pub(crate) use header::HeaderWords;
pub(crate) use header::{CellHeader, learned, note_tracked, state};
#[cfg(feature = "symbols")]
#[allow(unused_imports, reason = "for dumps of tasks, which are made on Linux alone")]
pub(crate) use header::{each_vtable, object_size};
#[allow(unused_imports, reason = "for pictures of the heap, which are taken on Linux alone")]
pub(crate) use header::{peek, scheduler};
#[cfg(all(target_os = "linux", any(target_env = "gnu", target_env = "musl")))]
pub(crate) use samples::learn;
#[cfg(feature = "symbols")]
#[allow(
    unused_imports,
    reason = "for pictures of the process, which are taken on Linux alone"
)]
pub(crate) use spawned::{note_first_spawned, note_spawned, spawned_cell};
#[cfg(all(feature = "symbols", target_os = "linux", target_pointer_width = "64"))]
pub(crate) use still::for_each_still;
#[cfg(feature = "symbols")]
pub(crate) use types::without_symbol;
pub(crate) use types::{CellType, type_at};

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

/// The number of blocks that are not in the table, for lack of memory or room.
static REFUSED: AtomicU64 = AtomicU64::new(0);

/// Gives a block with this alignment back to the inner allocator.
type GiveBack = unsafe fn(*mut u8, usize);

/// How the blocks in the table are given back.
static GIVE_BACK: StaticRef<GiveBack> = StaticRef::none();

/// The number of blocks that could not be entered.
pub(crate) fn refused() -> u64 {
    REFUSED.load(Ordering::Relaxed)
}

/// Enters a new block that [may be a cell](may_be_cell).
///
/// # Safety
///
/// `A` must just have allocated the block, with this layout, and its word must lie at this place.
/// No other thread may have seen the block.
#[inline(never)]
pub(crate) unsafe fn enter<A: std::alloc::GlobalAlloc>(
    block: *mut u8,
    layout: Layout,
    place: Place,
    owner: Owner,
) {
    if owner == Owner::memscope() {
        #[cfg(all(target_os = "linux", any(target_env = "gnu", target_env = "musl")))]
        if size_of::<A>() == 0 {
            samples::note(block, layout);
        }
        return;
    }
    unannotated::note_block();
    // An allocator whose blocks readers could not give back notes no samples either, so that
    // nothing is learned.
    if size_of::<A>() != 0 || !header::fits(layout) {
        return;
    }
    let entry = if gives_back::<A>() {
        SPARE_ENTRIES.with(Magazine::pop).or_else(|| ENTRIES.take())
    } else {
        None
    };
    let Some(entry) = entry else {
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

/// Whether blocks of `A` can be given back by a thread that holds them. Those of the first
/// allocator that makes such a block can.
#[inline]
fn gives_back<A: std::alloc::GlobalAlloc>() -> bool {
    let own: &'static GiveBack = const { &(free::give_back::<A> as GiveBack) };
    let first = match GIVE_BACK.get() {
        Some(first) => first,
        None => GIVE_BACK.set_if_none(own).map_or_else(|first| first, |()| own),
    };
    ptr::eq(first, own) || ptr::fn_addr_eq(*first, *own)
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

/// The entry that a block's mark names; `None` if the program has overwritten the mark.
fn entry(mark: u32, block: *const u8) -> Option<&'static Entry> {
    let entry = ENTRIES.get(mark.checked_sub(1)?)?;
    let low = LEAST_ALIGN as u64 - 1;
    (entry.held.block() & !low == block.addr() as u64).then_some(entry)
}

/// Removes the entry of a block that is freed, and ends the unannotated task whose cell the block
/// is, if any. Returns `false` if a reader holds the block: then the reader gives it back, perhaps
/// before this returns.
///
/// # Safety
///
/// The block must be live and of this owner and size; no other thread uses it.
#[inline]
unsafe fn leave(mark: u32, block: *mut u8, owner: Owner, bytes: usize) -> bool {
    // SAFETY: the caller's contract.
    let end = unsafe { header::read(block, bytes) }.and_then(unannotated::CellEnd::of);
    // Readers that come now find the task, if at all, by its record.
    let is_free = withdraw(mark, block);
    if let Some(end) = end {
        end.finish(owner);
    }
    is_free
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
#[derive(Debug)]
struct Held {
    entry: &'static Entry,
    block: *mut u8,
    align: usize,
}

/// A living cell that this thread holds.
#[derive(Debug)]
pub(crate) struct LivingCell<'h> {
    held: &'h Held,
    bytes: usize,
    pub(crate) header: CellHeader,
    /// The owner of its block: the task or thread that spawned the task.
    pub(crate) owner: Owner,
}

impl LivingCell<'_> {
    /// Whether the cell was freed meanwhile. What was read of its owner may then be wrong.
    pub(crate) fn was_left(&self) -> bool {
        self.held.entry.held.was_left()
    }

    /// Whether the words of the cell's future lead to the record of a tracked task.
    pub(crate) fn has_record(&self) -> bool {
        // SAFETY: this thread holds the block, which is of this size.
        let mut words =
            unsafe { header::future_words(self.held.block, self.bytes, self.header.kind) };
        words.any(|word| usize::try_from(word).is_ok_and(registry::is_record))
    }
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
            // SAFETY: the block was freed and left to this thread. The allocator to which this
            // function belongs made the block with this alignment.
            unsafe { give_back(self.block, self.align) };
            ENTRIES.put(self.entry);
        }
    }
}

/// How many cells ahead are fetched while one is read.
const AHEAD: usize = 8;

/// Makes the processor fetch the words of a cell that are read.
// PERF: cells lie anywhere. With cold caches an update of the page of 10,000 tasks takes 0.88 of
// the time that it takes without (median of 24 pairs; quartiles 0.79 and 1.02).
fn fetch(entry: &Entry) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let block = block_of(entry.held.block()).0.cast_const().cast::<i8>();
        // SAFETY: a hint, for which any address will do: it reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(block) };
        // SAFETY: as above; the word in front of the block.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(block.wrapping_sub(1)) };
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = entry;
}

/// Calls `each` with every living cell. Those into which `Tracked::spawn` has spawned are not in
/// the table. Must not be called in the allocator.
pub(crate) fn for_each(mut each: impl FnMut(&LivingCell<'_>)) {
    if !learned() {
        return;
    }
    let mut ahead = ENTRIES.iter();
    ahead.by_ref().take(AHEAD).for_each(fetch);
    for entry in ENTRIES.iter() {
        ahead.next().into_iter().for_each(fetch);
        let Some(held) = Held::of(entry) else { continue };
        // SAFETY: this thread holds the block, so it is live, with its word.
        let place = unsafe { Place::of(held.block, held.align) };
        // SAFETY: as above.
        let (owner, bytes) = unsafe { place.read_marked(held.block) };
        if held.entry.held.was_left() {
            continue;
        }
        // SAFETY: as above.
        if let Some(header) = unsafe { header::read(held.block, bytes) } {
            #[cfg(all(target_os = "linux", any(target_env = "gnu", target_env = "musl")))]
            if header.kind.is_to_be_looked_at() && header.is_idle() {
                // SAFETY: as above.
                let objects = unsafe { header::objects(held.block, bytes, header.kind) };
                // SAFETY: as above.
                let after = unsafe { header::read(held.block, bytes) };
                // Otherwise the future may have been replaced by its output meanwhile.
                if let Some(objects) = objects.filter(|_| after.is_some_and(|it| it.is_idle())) {
                    header.kind.note_objects(objects);
                }
            }
            each(&LivingCell { held: &held, bytes, header, owner });
        }
    }
}

/// Empties this thread's magazine, when the thread ends.
pub(crate) fn retire() {
    ENTRIES.empty(&SPARE_ENTRIES);
}

/// Ends the holds of threads that a fork has left behind. Must be called in the child, on its only
/// thread.
pub(crate) fn forked() {
    for entry in ENTRIES.iter().filter(|entry| entry.held.block() != 0) {
        if entry.held.forked() {
            ENTRIES.put(entry);
        }
    }
}
