//! The header of a cell: the task's id, its type, and its state, as the learned layout finds them.

use std::alloc::Layout;

use super::infer::Bits;
#[cfg(all(target_os = "linux", any(target_env = "gnu", target_env = "musl")))]
use super::module::Module;
use crate::{
    model::TaskCells,
    primitives::{
        InternTable, StaticRef, arena,
        sync::{AtomicU8, Ordering},
    },
};

/// How many words of a cell are searched for the state and the vtable.
pub(super) const WORDS: usize = 8;
/// How many words of a vtable are searched.
pub(super) const VTABLE_WORDS: usize = 16;

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
    /// The module that has the vtables.
    #[cfg(all(target_os = "linux", any(target_env = "gnu", target_env = "musl")))]
    pub(super) module: Module,
}

static LAYOUT: StaticRef<CellLayout> = StaticRef::none();
static STATE: AtomicU8 = AtomicU8::new(NOT_TRIED);

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

/// Keeps what the samples have taught; `None`: they did not agree.
#[cfg(all(target_os = "linux", any(target_env = "gnu", target_env = "musl")))]
pub(super) fn keep(layout: Option<CellLayout>) {
    let kept = layout.and_then(arena::keep);
    if let Some(kept) = kept {
        LAYOUT.set(kept);
    }
    STATE.store(if kept.is_some() { LEARNED } else { REFUSED }, Ordering::Relaxed);
}

/// Whether a block of this layout may be a cell, as far as that is known.
pub(super) fn fits(layout: Layout) -> bool {
    layout.size() >= WORDS * size_of::<usize>()
        && match STATE.load(Ordering::Relaxed) {
            NOT_TRIED => true,
            LEARNED => LAYOUT.get().is_some_and(|known| known.align <= layout.align()),
            _ => false,
        }
}

/// A type of task: a future and its scheduler.
#[derive(Debug)]
pub(crate) struct CellType {
    vtable: usize,
    id_offset: usize,
}

/// All types that were seen.
static TYPES: InternTable<CellType> = InternTable::new();
const MOST_TYPES: u64 = 4_096;
/// Where in the table a type may begin: few pages of it are touched.
const STARTS: u64 = 1_024;

/// What a cell says of its task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CellHeader {
    /// The number of the id that Tokio gave the task.
    pub(crate) id: u64,
    pub(crate) is_finished: bool,
    pub(crate) is_running: bool,
    /// The task was aborted, or its runtime shut down. It may have completed all the same.
    pub(crate) is_cancelled: bool,
}

/// Reads a word of a block.
///
/// # Safety
///
/// The block is live, and has this word.
#[inline]
pub(super) unsafe fn word(block: *const u8, index: usize) -> u64 {
    // SAFETY: the caller's contract.
    let place = unsafe { block.cast::<usize>().add(index) };
    // SAFETY: as above. The block is aligned. Where another thread writes the word meanwhile, this
    // is the old or the new one; the caller believes it only if the whole header fits.
    unsafe { place.read_volatile() as u64 }
}

/// Reads the header of a block that may be a cell. Returns `None` if it is none.
///
/// # Safety
///
/// The block is live and of this size, and was entered into the table.
#[inline]
pub(super) unsafe fn read(block: *const u8, bytes: usize) -> Option<CellHeader> {
    let layout = LAYOUT.get()?;
    if bytes < WORDS * size_of::<usize>() {
        return None;
    }
    // SAFETY: the caller's contract; the layout has no word behind `WORDS`.
    let vtable = usize::try_from(unsafe { word(block, layout.vtable) }).ok()?;
    let kind = kind(layout, vtable)?;
    if kind.id_offset.checked_add(size_of::<u64>())? > bytes {
        return None;
    }
    // SAFETY: as above; the offset is a multiple of the size of a word.
    let id = unsafe { word(block, kind.id_offset / size_of::<usize>()) };
    // SAFETY: as above.
    let state = unsafe { word(block, layout.state) };
    let Bits { finished, running, cancelled, .. } = layout.bits;
    let is = |bit: u64| state & bit != 0;
    Some(CellHeader {
        id,
        is_finished: is(finished),
        is_running: is(running),
        is_cancelled: is(cancelled),
    })
}

/// Returns the type with this vtable; `None` if this is no vtable of a task.
#[inline]
fn kind(layout: &CellLayout, vtable: usize) -> Option<&'static CellType> {
    // A value that is not aligned is no vtable, and two vtables are farther apart than this.
    if !vtable.is_multiple_of(align_of::<usize>()) {
        return None;
    }
    let start = (vtable as u64 >> 5) % STARTS;
    let is_same = |kind: &CellType| kind.vtable == vtable;
    // Validates where the type is not known yet.
    let has_room = || TYPES.made() < MOST_TYPES && id_offset(layout, vtable).is_some();
    let make = |_| arena::keep(CellType { vtable, id_offset: id_offset(layout, vtable)? });
    TYPES.get_or_insert(start << 32, is_same, has_room, make)
}

/// Returns where a cell with this vtable has its id, if that is a vtable of a task.
#[cfg(all(target_os = "linux", any(target_env = "gnu", target_env = "musl")))]
#[cold]
fn id_offset(layout: &CellLayout, vtable: usize) -> Option<usize> {
    let offset = layout.module.table(vtable, layout.functions, layout.id_offset)?;
    (offset.is_multiple_of(size_of::<usize>()) && offset < isize::MAX.unsigned_abs())
        .then_some(offset)
}

#[cfg(not(all(target_os = "linux", any(target_env = "gnu", target_env = "musl"))))]
fn id_offset(_: &CellLayout, _: usize) -> Option<usize> {
    None
}
