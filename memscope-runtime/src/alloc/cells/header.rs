//! The header of a cell: the task's id, its type, and its state, as the learned layout finds them.

use std::{alloc::Layout, ptr, task::Waker};

#[cfg(all(target_os = "linux", any(target_env = "gnu", target_env = "musl")))]
use super::module::Module;
use super::{
    infer::Bits,
    types::{self, CellType},
};
use crate::{
    model::TaskCells,
    primitives::{
        StaticRef, arena,
        sync::{AtomicU8, AtomicUsize, Ordering},
    },
};

/// How many words of a cell are searched for the state and the vtable.
pub(super) const WORDS: usize = 8;
/// How many words of a vtable are searched.
pub(super) const VTABLE_WORDS: usize = 16;

/// The largest cell. Beside a larger size there is no room for a mark.
const MOST_BYTES: usize = u32::MAX as usize;

/// The learned layout of cells. Offsets of the header and of vtables are in words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CellLayout {
    /// The least alignment: a future may ask for more.
    pub(super) align: usize,
    pub(super) state: usize,
    pub(super) bits: Bits,
    pub(super) vtable: usize,
    /// How many functions a vtable begins with. The first one polls the task.
    pub(super) functions: usize,
    /// Where the vtable has the offset of the id, in bytes.
    pub(super) id_offset: usize,
    /// The vtable of the waker that Tokio gives to a task's polls, whose data is the cell. 0 if the
    /// samples did not show that.
    pub(super) waker: usize,
    /// The room in the cell of a boxed future with the smallest output.
    pub(super) smallest_room: usize,
    /// The index of the word in the vtable that has the offset behind the future. Then the bytes
    /// between that offset and the id's offset that are not the future's. Zeroes if this is not
    /// known.
    pub(super) behind: (usize, usize),
    /// The module that has the vtables.
    #[cfg(all(target_os = "linux", any(target_env = "gnu", target_env = "musl")))]
    pub(super) module: Module,
}

static LAYOUT: StaticRef<CellLayout> = StaticRef::none();
static STATE: AtomicU8 = AtomicU8::new(NOT_TRIED);

/// The least alignment of blocks that may be cells, as far as that is known.
// PERF: one number instead of the state and the layout.
static ALIGN: AtomicUsize = AtomicUsize::new(0);

const NOT_TRIED: u8 = 0;
const LEARNED: u8 = 1;
const REFUSED: u8 = 2;

/// Whether the layout is learned, so that the ends of tasks are exact.
#[inline]
pub(crate) fn learned() -> bool {
    STATE.load(Ordering::Relaxed) == LEARNED
}

/// What was learned, for reports.
pub(crate) fn state() -> TaskCells {
    match STATE.load(Ordering::Relaxed) {
        LEARNED => TaskCells::Learned,
        REFUSED => TaskCells::Refused,
        _ => TaskCells::NotTried,
    }
}

/// Keeps the layout that the samples have taught; `None` if they did not agree.
#[cfg(all(target_os = "linux", any(target_env = "gnu", target_env = "musl")))]
pub(super) fn keep(layout: Option<&CellLayout>) {
    let kept = layout.copied().and_then(arena::keep);
    if let Some(kept) = kept {
        LAYOUT.set(kept);
    }
    ALIGN.store(kept.map_or(usize::MAX, |layout| layout.align), Ordering::Relaxed);
    STATE.store(if kept.is_some() { LEARNED } else { REFUSED }, Ordering::Relaxed);
}

/// Whether a block of this layout may be a cell, as far as that is known.
#[inline]
pub(super) fn fits(layout: Layout) -> bool {
    (WORDS * size_of::<usize>()..=MOST_BYTES).contains(&layout.size())
        && ALIGN.load(Ordering::Relaxed) <= layout.align()
}

/// What a cell says of its task.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "facts that Tokio keeps as bits of one word")]
pub(crate) struct CellHeader {
    /// The number of the id that Tokio gave the task.
    pub(crate) id: u64,
    pub(crate) is_finished: bool,
    pub(crate) is_running: bool,
    /// Whether the task was aborted, or its runtime shut down. The task may have completed all the
    /// same.
    pub(crate) is_cancelled: bool,
    /// Whether a `JoinHandle` of the task is held.
    pub(crate) has_handle: bool,
    pub(crate) kind: &'static CellType,
}

impl CellHeader {
    /// Whether the cell has its future, and no thread polls that.
    #[cfg(all(target_os = "linux", any(target_env = "gnu", target_env = "musl")))]
    pub(super) fn is_idle(&self) -> bool {
        !self.is_finished && !self.is_running
    }
}

/// Reads a word of a block.
///
/// # Safety
///
/// The block must be live, and must have this word.
#[inline]
#[expect(clippy::cast_ptr_alignment, reason = "cells have an alignment of 32 and more")]
pub(super) unsafe fn word(block: *const u8, index: usize) -> u64 {
    // SAFETY: the caller's contract.
    let place = unsafe { block.cast::<usize>().add(index) };
    // SAFETY: as above. The block is aligned. Where another thread writes the word meanwhile, this
    // is the old or the new one; the caller believes it only if the whole header fits.
    unsafe { place.read_volatile() as u64 }
}

/// Finds the words of a living cell's future at which there are trait objects, one bit each. The
/// last bit is for all further words. If the future itself is such an object, the type may hold
/// different futures.
///
/// # Safety
///
/// The block must be live, and of this size.
#[cfg(all(target_os = "linux", any(target_env = "gnu", target_env = "musl")))]
pub(super) unsafe fn objects(block: *const u8, bytes: usize, kind: &CellType) -> Option<u64> {
    let layout = LAYOUT.get()?;
    // SAFETY: the caller's contract.
    let words = unsafe { future_words(block, bytes, kind) };
    let is_table = |word| usize::try_from(word).is_ok_and(|it| layout.module.is_object_table(it));
    let bits = words.enumerate().filter(|(_, word)| is_table(*word));
    let bits = bits.map(|(at, _)| if at < 62 { 1 << at } else { 1 << 63 });
    Some(bits.fold(0, |objects, bit: u64| objects | bit))
}

/// The words of a cell where it has its future or its output.
///
/// # Safety
///
/// As for [`read`], as long as the iterator is used.
pub(super) unsafe fn future_words(
    block: *const u8,
    bytes: usize,
    kind: &CellType,
) -> impl Iterator<Item = u64> {
    let rest = LAYOUT.get().map_or(0, |layout| layout.behind.1);
    let first = kind.id_offset / size_of::<usize>() + 1;
    let end = bytes.min(kind.id_offset + kind.room + rest) / size_of::<usize>();
    // SAFETY: the caller's contract; `end` is not behind the block.
    (first..end).map(move |index| unsafe { word(block, index) })
}

/// Notes that a tracked future is polled in a task of the type that this waker belongs to.
pub(crate) fn note_tracked(waker: &Waker) {
    let Some(layout) = LAYOUT.get() else { return };
    if layout.waker == 0 || ptr::from_ref(waker.vtable()).addr() != layout.waker {
        return;
    }
    // SAFETY: it was learned that Tokio's waker leads to the task's cell, which lives as long as
    // the waker. The first words of a cell always are its header.
    let vtable = unsafe { word(waker.data().cast(), layout.vtable) };
    if let Some(kind) = usize::try_from(vtable).ok().and_then(|vtable| types::of(layout, vtable)) {
        kind.note_tracked();
    }
}

/// Reads the header of a block that may be a cell. Returns `None` if it is none.
///
/// # Safety
///
/// The block must be live and of this size, and must have been entered into the table.
#[inline]
pub(super) unsafe fn read(block: *const u8, bytes: usize) -> Option<CellHeader> {
    // SAFETY: the caller's contract.
    unsafe { read_as(block, bytes, types::of) }
}

/// [`read`] for a cell whose type was seen before. Takes no memory.
///
/// # Safety
///
/// As for [`read`].
#[allow(dead_code, reason = "for pictures of the heap, which are taken on Linux alone")]
pub(crate) unsafe fn peek(block: *const u8, bytes: usize) -> Option<CellHeader> {
    // SAFETY: the caller's contract.
    unsafe { read_as(block, bytes, |_, vtable| types::known(vtable)) }
}

/// Returns the word of a task's cell that leads to its scheduler, which all tasks of a runtime
/// share.
///
/// # Safety
///
/// As for [`read`].
#[allow(dead_code, reason = "for pictures of the heap, which are taken on Linux alone")]
pub(crate) unsafe fn scheduler(block: *const u8, cell: &CellHeader) -> Option<usize> {
    // Tokio has it directly in front of the id.
    let before = (cell.kind.id_offset / size_of::<usize>()).checked_sub(1)?;
    // SAFETY: the caller's contract: the id lies in the block.
    usize::try_from(unsafe { word(block, before) }).ok()
}

/// # Safety
///
/// As for [`read`].
#[inline]
unsafe fn read_as(
    block: *const u8,
    bytes: usize,
    type_of: impl FnOnce(&CellLayout, usize) -> Option<&'static CellType>,
) -> Option<CellHeader> {
    let layout = LAYOUT.get()?;
    if bytes < WORDS * size_of::<usize>() {
        return None;
    }
    // SAFETY: the caller's contract; the layout has no word behind `WORDS`.
    let vtable = usize::try_from(unsafe { word(block, layout.vtable) }).ok()?;
    let kind = type_of(layout, vtable)?;
    // PERF: one comparison, as both bounds are found once a type.
    if bytes.wrapping_sub(kind.least_bytes) > kind.spare_bytes {
        return None;
    }
    // SAFETY: as above; the offset is a multiple of the size of a word.
    let id = unsafe { word(block, kind.id_offset / size_of::<usize>()) };
    // SAFETY: as above.
    let state = unsafe { word(block, layout.state) };
    Some(layout.header(kind, state, id))
}

/// The words of a block that say which type of cell it is, and its state.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "for pictures of the process, which are taken on Linux alone")]
pub(crate) struct HeaderWords {
    pub(crate) vtable: u64,
    pub(crate) state: u64,
}

#[allow(dead_code, reason = "as above")]
impl HeaderWords {
    /// Reads the words. Returns `None` if the layout is not learned.
    ///
    /// # Safety
    ///
    /// The block must be live, and must have [`WORDS`] words.
    pub(crate) unsafe fn of(block: *const u8) -> Option<Self> {
        let layout = LAYOUT.get()?;
        // SAFETY: the caller's contract.
        let vtable = unsafe { word(block, layout.vtable) };
        // SAFETY: as above.
        let state = unsafe { word(block, layout.state) };
        Some(Self { vtable, state })
    }

    /// The type of a cell with these words; `None` if it is no cell. Takes memory for a new type.
    pub(crate) fn kind(self) -> Option<&'static CellType> {
        types::of(LAYOUT.get()?, usize::try_from(self.vtable).ok()?)
    }

    /// The header of a cell of this type and id.
    pub(crate) fn header(self, kind: &'static CellType, id: u64) -> Option<CellHeader> {
        Some(LAYOUT.get()?.header(kind, self.state, id))
    }
}

/// The size of the values to which a trait object's vtable belongs. `None` if this is no such
/// vtable, or if it is not in the module that has the vtables of tasks.
#[cfg(feature = "symbols")]
#[allow(dead_code, reason = "for dumps of tasks, which are made on Linux alone")]
pub(crate) fn object_size(table: usize) -> Option<usize> {
    #[cfg(all(target_os = "linux", any(target_env = "gnu", target_env = "musl")))]
    return {
        let module = &LAYOUT.get()?.module;
        let size = || module.word(table.checked_add(size_of::<usize>())?);
        module.is_object_table(table).then(size).flatten()
    };
    #[cfg(not(all(target_os = "linux", any(target_env = "gnu", target_env = "musl"))))]
    {
        let _ = table;
        None
    }
}

/// Calls `each` with each vtable of a task that is in the same module as this one: its address, and
/// the functions behind the one that polls the task. Some of these may be other tables.
#[cfg(feature = "symbols")]
pub(crate) fn each_vtable(beside: usize, mut each: impl FnMut(usize, &[usize])) {
    #[cfg(all(target_os = "linux", any(target_env = "gnu", target_env = "musl")))]
    if let Some(layout) = LAYOUT.get() {
        layout.module.each_table(beside, layout.functions, |table| {
            let mut functions = [0; VTABLE_WORDS];
            let places = (table + size_of::<usize>()..).step_by(size_of::<usize>());
            for (function, place) in functions.iter_mut().zip(places) {
                *function = layout.module.word(place).unwrap_or(0);
            }
            if layout.id_offset_of(table).is_some() {
                each(table, functions.get(..layout.functions - 1).unwrap_or_default());
            }
        });
    }
    #[cfg(not(all(target_os = "linux", any(target_env = "gnu", target_env = "musl"))))]
    let _ = (beside, &mut each);
}

impl CellLayout {
    /// What the state of a cell says.
    #[inline]
    fn header(&self, kind: &'static CellType, state: u64, id: u64) -> CellHeader {
        let Bits { finished, running, cancelled, handle } = self.bits;
        let is = |bit: u64| state & bit != 0;
        CellHeader {
            id,
            is_finished: is(finished),
            is_running: is(running),
            is_cancelled: is(cancelled),
            has_handle: is(handle),
            kind,
        }
    }

    /// The fewest bytes that the cells of a type may have, and how many more at most. A block of
    /// another size is no cell. It may begin like a cell, as a large value that is moved into a
    /// block may bring old words of a stack along.
    pub(super) fn sizes(&self, id_offset: usize, room: usize) -> (usize, usize) {
        let with_id = id_offset.saturating_add(size_of::<u64>());
        if room == 0 {
            return (with_id, usize::MAX - with_id);
        }
        // Behind the future are few words, and what the alignment adds. A larger alignment of the
        // future also moves it farther from the start.
        let end = id_offset.saturating_add(room).saturating_add(self.behind.1);
        let most = end.saturating_add(self.align.max(id_offset).saturating_mul(2));
        let least = end.max(with_id);
        (least, most.saturating_sub(least))
    }

    /// Returns the poll function of a vtable, and where such a cell has its id. Returns `None` if
    /// this is no vtable of a task.
    #[cfg(all(target_os = "linux", any(target_env = "gnu", target_env = "musl")))]
    #[cold]
    pub(super) fn id_offset_of(&self, vtable: usize) -> Option<(usize, usize)> {
        let offset = self.module.table(vtable, self.functions, self.id_offset)?;
        let is_offset = offset.is_multiple_of(size_of::<usize>()) && offset < usize::MAX / 2;
        is_offset.then_some((self.module.word(vtable)?, offset))
    }

    /// Returns how many bytes the cells of a vtable have for the future or its output; 0 if that is
    /// not known.
    #[cfg(all(target_os = "linux", any(target_env = "gnu", target_env = "musl")))]
    pub(super) fn room_of(&self, vtable: usize, id_offset: usize) -> usize {
        let (index, rest) = self.behind;
        let end = if index == 0 { None } else { self.module.table(vtable, self.functions, index) };
        end.map_or(0, |end| end.saturating_sub(id_offset).saturating_sub(rest))
    }

    #[cfg(not(all(target_os = "linux", any(target_env = "gnu", target_env = "musl"))))]
    #[expect(clippy::unused_self, reason = "as where it can be learned")]
    pub(super) fn room_of(&self, _: usize, _: usize) -> usize {
        0
    }

    #[cfg(not(all(target_os = "linux", any(target_env = "gnu", target_env = "musl"))))]
    #[expect(clippy::unused_self, reason = "as where it can be learned")]
    pub(super) fn id_offset_of(&self, _: usize) -> Option<(usize, usize)> {
        None
    }
}
