//! The types of tasks, each with its vtable: a future and its scheduler.

#[cfg(feature = "symbols")]
use std::ptr;

use super::header::CellLayout;
use crate::{
    accounting::{FutureType, Site},
    primitives::{
        Hash, InternTable, StaticRef, arena,
        sync::{AtomicU8, AtomicU64, Ordering, add, fence},
    },
};

/// A type of task.
#[derive(Debug)]
#[cfg_attr(not(feature = "symbols"), allow(dead_code, reason = "no name is looked up"))]
pub(crate) struct CellType {
    vtable: usize,
    pub(crate) index: u32,
    /// The address of the function that polls such a task.
    poll: usize,
    /// Where a cell has the task's id, in bytes.
    pub(super) id_offset: usize,
    /// How many bytes a cell has for the future or its output; 0 if that is not known.
    pub(super) room: usize,
    /// The fewest bytes of a cell.
    pub(super) least_bytes: usize,
    /// How many more a cell may have.
    pub(super) spare_bytes: usize,
    naming: AtomicU8,
    /// Which words of the future had a trait object in each living cell that was looked at, one bit
    /// each; the last bit is for all further ones. Without a look all bits are set.
    objects: AtomicU64,
    /// The site of the name that stacks of its tasks have; `agreed` counts them.
    proposed: StaticRef<Site>,
    agreed: AtomicU8,
    /// How often a stack was asked for.
    asked: AtomicU8,
    /// The site that carries its name.
    site: StaticRef<Site>,
    /// The site of its tasks as long as it has no name.
    stand_in: StaticRef<Site>,
    /// What is known of its future.
    future: StaticRef<FutureType>,
    /// Tasks that have ended without ever having a record, and of these the cancelled ones.
    ended: AtomicU64,
    cancelled: AtomicU64,
    /// 1 if a tracked future was polled in one of its tasks: then that future is the task.
    has_tracked: AtomicU8,
    /// How many living cells were searched for a tracked future.
    searched: AtomicU8,
}

/// How far the look-up of a type's name has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "symbols"), allow(dead_code, reason = "no name is looked up"))]
#[repr(u8)]
pub(crate) enum Naming {
    /// The symbol of its poll function is to be looked up.
    Symbol,
    /// That symbol does not name the future. The stack of one of its tasks is to name it.
    Stack,
    /// The type may hold different futures, in a box: each task is named by its own stack.
    Varies,
    Named,
    /// Neither a symbol nor a stack names it.
    Unknown,
}

/// How many living cells of a type are searched for a tracked future.
const MOST_SEARCHED: u8 = 16;

const NOT_LOOKED_AT: u64 = u64::MAX;
/// How many stacks must have the same name. A type such as `Either` runs one of two futures.
#[cfg(feature = "symbols")]
const ENOUGH: u8 = 4;

/// How often a stack is asked for before the name stays unknown.
#[cfg(feature = "symbols")]
const MOST_ASKED: u8 = 32;

/// All types that were seen.
static TYPES: InternTable<CellType> = InternTable::new();
const MOST_TYPES: u64 = 4_096;

/// Types that were found last, each at an index that follows from its vtable.
static RECENT: [StaticRef<CellType>; 64] = [const { StaticRef::none() }; 64];

/// Returns the type with this vtable; `None` if this is no vtable of a task.
// PERF: mostly one comparison, as few types of tasks come and go in a program.
#[inline]
pub(super) fn of(layout: &CellLayout, vtable: usize) -> Option<&'static CellType> {
    let recent = &RECENT[(vtable >> 5) % RECENT.len()];
    if let Some(kind) = recent.get()
        && kind.vtable == vtable
    {
        return Some(kind);
    }
    let kind = find_or_make(layout, vtable)?;
    recent.set(kind);
    Some(kind)
}

#[inline(never)]
fn find_or_make(layout: &CellLayout, vtable: usize) -> Option<&'static CellType> {
    if !vtable.is_multiple_of(align_of::<usize>()) {
        return None;
    }
    let is_same = |kind: &CellType| kind.vtable == vtable;
    // Validates the vtable of a type that is not known yet.
    let has_room = || TYPES.made() < MOST_TYPES && layout.id_offset_of(vtable).is_some();
    let make = |index| {
        let (poll, id_offset) = layout.id_offset_of(vtable)?;
        let room = layout.room_of(vtable, id_offset);
        // A box that holds the future has as much room.
        let size = if room > layout.smallest_room { room } else { 0 };
        let (least_bytes, spare_bytes) = layout.sizes(id_offset, room);
        let kept = arena::keep(CellType {
            vtable,
            index,
            poll,
            id_offset,
            room,
            least_bytes,
            spare_bytes,
            naming: AtomicU8::new(Naming::Symbol as u8),
            objects: AtomicU64::new(NOT_LOOKED_AT),
            proposed: StaticRef::none(),
            agreed: AtomicU8::new(0),
            asked: AtomicU8::new(0),
            site: StaticRef::none(),
            stand_in: StaticRef::none(),
            future: StaticRef::none(),
            ended: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            has_tracked: AtomicU8::new(0),
            searched: AtomicU8::new(0),
        })?;
        kept.future.set(arena::keep(FutureType::in_cell(None, size))?);
        Some(kept)
    };
    TYPES.get_or_insert(hash(vtable), is_same, has_room, make)
}

/// The type with this vtable, if a cell of it was seen. Takes no memory.
#[allow(dead_code, reason = "for pictures of the heap, which are taken on Linux alone")]
pub(super) fn known(vtable: usize) -> Option<&'static CellType> {
    TYPES.get_or_insert(hash(vtable), |kind| kind.vtable == vtable, || false, |_| None)
}

fn hash(vtable: usize) -> u64 {
    Hash::new().number(vtable as u64).get()
}

/// The type with this index.
pub(crate) fn type_at(index: u32) -> Option<&'static CellType> {
    TYPES.get(index)
}

/// The types whose poll function is to be looked up.
#[cfg(feature = "symbols")]
pub(crate) fn without_symbol() -> impl Iterator<Item = &'static CellType> {
    TYPES.iter().filter(|kind| kind.naming() == Naming::Symbol)
}

impl CellType {
    /// The address of the table of functions that such a task has.
    #[cfg(feature = "symbols")]
    pub(crate) fn vtable(&self) -> usize {
        self.vtable
    }

    /// Where a cell has the task's id, in bytes.
    #[allow(dead_code, reason = "for pictures of the process, which are taken on Linux alone")]
    pub(crate) fn id_offset(&self) -> usize {
        self.id_offset
    }

    /// Whether a cell of this type may have this many bytes.
    #[allow(dead_code, reason = "as above")]
    pub(crate) fn may_have(&self, bytes: usize) -> bool {
        bytes.wrapping_sub(self.least_bytes) <= self.spare_bytes
    }

    /// The most bytes that a cell of this type may have.
    #[allow(dead_code, reason = "as above")]
    pub(crate) fn most_bytes(&self) -> usize {
        self.least_bytes.saturating_add(self.spare_bytes)
    }

    /// The address of the function that polls such a task.
    #[cfg(feature = "symbols")]
    pub(crate) fn poll(&self) -> usize {
        self.poll
    }

    pub(crate) fn naming(&self) -> Naming {
        match self.naming.load(Ordering::Relaxed) {
            0 => Naming::Symbol,
            1 => Naming::Stack,
            2 => Naming::Varies,
            3 => Naming::Named,
            _ => Naming::Unknown,
        }
    }

    /// Whether a symbol names the type, so that all its tasks are of that name, and not stacks.
    pub(crate) fn is_named_by_symbol(&self) -> bool {
        self.naming() == Naming::Named && self.proposed.get().is_none()
    }

    /// The site that carries its name.
    #[inline]
    pub(crate) fn site(&self) -> Option<&'static Site> {
        self.site.get()
    }

    /// What is known of its future.
    #[inline]
    pub(crate) fn future(&self) -> &'static FutureType {
        self.future.get().unwrap_or_else(FutureType::not_known)
    }

    /// Notes the type of its future.
    #[cfg(feature = "symbols")]
    pub(crate) fn note_future(&self, name: &str) {
        let size = if is_box(name) { 0 } else { self.room };
        let name = arena::keep_str(name);
        if let Some(future) = arena::keep(FutureType::in_cell(name, size)) {
            self.future.set(future);
        }
    }

    /// Counts a task that has ended without ever having a record.
    pub(crate) fn count_end(&self, is_cancelled: bool) {
        add(&self.ended, 1);
        if is_cancelled {
            add(&self.cancelled, 1);
        }
    }

    /// How many tasks have ended without ever having a record, and how many of these were
    /// cancelled.
    pub(crate) fn ends(&self) -> (u64, u64) {
        let cancelled = self.cancelled.load(Ordering::Relaxed);
        (self.ended.load(Ordering::Relaxed).max(cancelled), cancelled)
    }

    /// Notes that its tasks contain a tracked future.
    pub(crate) fn note_tracked(&self) {
        if !self.has_tracked() {
            self.has_tracked.store(1, Ordering::Relaxed);
        }
    }

    /// Whether its tasks are those of tracked futures, which have records of their own.
    pub(crate) fn has_tracked(&self) -> bool {
        self.has_tracked.load(Ordering::Relaxed) != 0
    }

    /// Whether another living cell of the type is to be searched for a tracked future. That is so
    /// while its tasks may not have been polled yet.
    pub(crate) fn is_to_be_searched(&self) -> bool {
        let searched = self.searched.load(Ordering::Relaxed);
        self.searched.store(searched.saturating_add(1), Ordering::Relaxed);
        searched < MOST_SEARCHED
    }

    /// Names the type, and so the tasks that ended before.
    #[cfg_attr(not(feature = "symbols"), allow(dead_code, reason = "no name is looked up"))]
    pub(crate) fn name(&self, site: &'static Site) {
        self.site.set(site);
        self.naming.store(Naming::Named as u8, Ordering::Relaxed);
        // Pairs with the fence in `site_or_stand_in`: at least one of the two threads finds what
        // the other did.
        fence(Ordering::SeqCst);
        if let Some(stand_in) = self.stand_in.get() {
            stand_in.stand_in_for(site);
        }
    }

    /// The site that carries its name, or one that stands in until there is a name. Until then its
    /// tasks are in the row of `unnamed`.
    pub(crate) fn site_or_stand_in(&self, unnamed: &'static Site) -> &'static Site {
        if let Some(stand_in) = self.stand_in.get() {
            return self.site().unwrap_or(stand_in);
        }
        let stand_in = Site::stand_in(self.index, unnamed);
        if stand_in.stands_in() {
            self.stand_in.set(stand_in);
            // Pairs with the fence in `name`.
            fence(Ordering::SeqCst);
            if let Some(named) = self.site() {
                stand_in.stand_in_for(named);
            }
        }
        self.site().unwrap_or(stand_in)
    }

    /// Notes that the symbol does not name the future. `varies` says whether the symbol tells of
    /// different futures.
    #[cfg(feature = "symbols")]
    pub(crate) fn has_no_symbol(&self, varies: bool) {
        let next = if varies { Naming::Varies } else { Naming::Stack };
        self.naming.store(next as u8, Ordering::Relaxed);
    }

    /// Whether the type's name depends on the words at which its cells have trait objects, and
    /// further cells may tell more.
    pub(super) fn is_to_be_looked_at(&self) -> bool {
        matches!(self.naming(), Naming::Symbol | Naming::Stack)
            && self.objects.load(Ordering::Relaxed) != 0
    }

    /// Notes at which words of its future a living cell has a trait object, one bit each.
    ///
    /// If the future is a box, the object is at the same place in each cell. Words that look like
    /// an object by chance, in bytes that the future does not use, are not.
    pub(super) fn note_objects(&self, objects: u64) {
        self.objects.fetch_and(objects & !(1 << 62), Ordering::Relaxed);
    }

    /// Whether all cells that were looked at have a trait object at one place.
    #[cfg(feature = "symbols")]
    fn may_be_box(&self) -> bool {
        !matches!(self.objects.load(Ordering::Relaxed), 0 | NOT_LOOKED_AT)
    }

    /// Notes the name that the stack of one of its tasks has. Names the type by it if enough stacks
    /// have the same name, and the future is no box. Must be called by one thread at a time.
    #[cfg(feature = "symbols")]
    pub(crate) fn propose(&self, site: &'static Site) {
        if self.naming() != Naming::Stack || self.may_be_box() {
            return;
        }
        let proposed = self.proposed.get();
        if proposed.is_some_and(|there| !ptr::eq(there, site)) {
            return self.naming.store(Naming::Varies as u8, Ordering::Relaxed);
        }
        self.proposed.set(site);
        let agreed = self.agreed.load(Ordering::Relaxed).saturating_add(1);
        self.agreed.store(agreed, Ordering::Relaxed);
        if agreed >= ENOUGH {
            self.name(site);
        }
    }

    /// Returns whether the stack of one of its tasks is to be taken. Gives the type up after
    /// [`MOST_ASKED`] calls.
    #[cfg(feature = "symbols")]
    pub(crate) fn asks_for_stack(&self) -> bool {
        if !matches!(self.naming(), Naming::Stack | Naming::Varies) {
            return false;
        }
        let asked = self.asked.load(Ordering::Relaxed);
        self.asked.store(asked.saturating_add(1), Ordering::Relaxed);
        if asked >= MOST_ASKED {
            self.naming.store(Naming::Unknown as u8, Ordering::Relaxed);
        }
        asked < MOST_ASKED
    }
}

/// Whether a type is a box of a future, as Tokio makes for a large one.
#[cfg(feature = "symbols")]
fn is_box(name: &str) -> bool {
    ["core::pin::Pin<", "alloc::boxed::Box<"].iter().any(|of| name.starts_with(of))
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;

    #[test]
    fn a_table_has_room_for_all_types_of_a_program() {
        struct Vtable(usize);
        let table = InternTable::new();
        for vtable in (0..4_096).map(|number| 0x5555_0000_0000 + number * 64) {
            let is_same = |there: &Vtable| there.0 == vtable;
            let find = || {
                table.get_or_insert(hash(vtable), is_same, || true, |_| arena::keep(Vtable(vtable)))
            };
            let made = find().expect("room");
            assert!(ptr::eq(made, find().expect("it is there")));
        }
        assert_eq!(table.made(), 4_096);
    }
}
