//! The types of tasks, each with its vtable: a future and its scheduler.

use super::header::CellLayout;
use crate::{
    accounting::Site,
    primitives::{
        InternTable, StaticRef, arena,
        sync::{AtomicU8, AtomicU64, Ordering, fence},
    },
};

/// A type of task.
#[derive(Debug)]
#[cfg_attr(not(feature = "symbols"), allow(dead_code, reason = "no name is looked up"))]
pub(crate) struct CellType {
    vtable: usize,
    /// The address of the function that polls such a task.
    poll: usize,
    /// Where a cell has the task's id, in bytes.
    pub(super) id_offset: usize,
    /// How many bytes a cell has for the future or its output; 0: not known.
    pub(super) room: usize,
    naming: AtomicU8,
    /// Which words of the future had a trait object in each idle cell that was looked at, one bit
    /// each; the last bit is for all further ones. Without a look all bits are set.
    objects: AtomicU64,
    /// Whether a running cell had one anywhere: [`OBJECT`], [`NO_OBJECT`], or 0 without a look.
    /// What runs without a pause, as a closure does, has no idle cell.
    running: AtomicU8,
    /// How often a stack was asked for.
    asked: AtomicU8,
    /// The site that carries its name.
    site: StaticRef<Site>,
    /// The site of its tasks as long as it has no name.
    stand_in: StaticRef<Site>,
    number: u32,
}

/// How far the look-up of a type's name has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "symbols"), allow(dead_code, reason = "no name is looked up"))]
#[repr(u8)]
pub(crate) enum Naming {
    /// The symbol of its poll function is to be looked up.
    Symbol,
    /// That symbol does not name the future: the stack of one of its tasks is to.
    Stack,
    /// The type may hold different futures, in a box: each task is named by its own stack.
    Varies,
    Named,
    /// Neither names it.
    Unknown,
}

/// The room of a future that is a box, with the smallest output: the result that Tokio keeps of it.
const SMALLEST_ROOM: usize = 24;

const NOT_LOOKED_AT: u64 = u64::MAX;
const OBJECT: u8 = 1;
const NO_OBJECT: u8 = 2;

/// How often a stack is asked for before the name stays unknown.
#[cfg(feature = "symbols")]
const MOST_ASKED: u8 = 32;

/// All types that were seen.
static TYPES: InternTable<CellType> = InternTable::new();
const MOST_TYPES: u64 = 4_096;
/// Where in the table a type may begin: few pages of it are touched.
const STARTS: u64 = 1_024;

/// Returns the type with this vtable; `None` if this is no vtable of a task.
#[inline]
pub(super) fn of(layout: &CellLayout, vtable: usize) -> Option<&'static CellType> {
    if !vtable.is_multiple_of(align_of::<usize>()) {
        return None;
    }
    let start = (vtable as u64 >> 5) % STARTS;
    let is_same = |kind: &CellType| kind.vtable == vtable;
    // Validates where the type is not known yet.
    let has_room = || TYPES.made() < MOST_TYPES && layout.id_offset_of(vtable).is_some();
    let make = |number| {
        let (poll, id_offset) = layout.id_offset_of(vtable)?;
        let room = layout.room_of(vtable, id_offset);
        let (naming, asked) = (AtomicU8::new(Naming::Symbol as u8), AtomicU8::new(0));
        let (objects, running) = (AtomicU64::new(NOT_LOOKED_AT), AtomicU8::new(0));
        arena::keep(CellType {
            vtable,
            poll,
            id_offset,
            room,
            naming,
            objects,
            running,
            asked,
            site: StaticRef::none(),
            stand_in: StaticRef::none(),
            number,
        })
    };
    TYPES.get_or_insert(start << 32, is_same, has_room, make)
}

/// The types whose poll function is to be looked up.
#[cfg(feature = "symbols")]
pub(crate) fn without_symbol() -> impl Iterator<Item = &'static CellType> {
    TYPES.iter().filter(|kind| kind.naming() == Naming::Symbol)
}

impl CellType {
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

    /// The site that carries its name.
    #[inline]
    pub(crate) fn site(&self) -> Option<&'static Site> {
        self.site.get()
    }

    /// Names the type, and so the tasks that ended before.
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

    /// The site that carries its name, or one that stands in until there is a name. `unnamed`: in
    /// whose row its tasks are until then.
    pub(crate) fn site_or_stand_in(&self, unnamed: &'static Site) -> &'static Site {
        if let Some(stand_in) = self.stand_in.get() {
            return self.site().unwrap_or(stand_in);
        }
        let stand_in = Site::stand_in(self.number, unnamed);
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

    /// The symbol does not name the future. `varies`: it says that there are different ones.
    #[cfg(feature = "symbols")]
    pub(crate) fn has_no_symbol(&self, varies: bool) {
        let next = if varies { Naming::Varies } else { Naming::Stack };
        self.naming.store(next as u8, Ordering::Relaxed);
    }

    /// Notes at which words of its future a living cell has a trait object, one bit each.
    ///
    /// A box that is the future is at the same place in each cell. What stands there by chance, in
    /// bytes that the future does not use, is not.
    pub(super) fn note_objects(&self, objects: u64) {
        self.objects.fetch_and(objects & !(1 << 62), Ordering::Relaxed);
    }

    /// Notes whether a running cell has a trait object.
    pub(super) fn note_running(&self, has_object: bool) {
        if has_object {
            self.running.store(OBJECT, Ordering::Relaxed);
        } else if self.running.load(Ordering::Relaxed) != OBJECT {
            self.running.store(NO_OBJECT, Ordering::Relaxed);
        }
    }

    /// Whether the name of one of its tasks, found in a stack, is that of all.
    pub(crate) fn has_one_name(&self) -> bool {
        let looks = (self.objects.load(Ordering::Relaxed), self.running.load(Ordering::Relaxed));
        let is_no_box = match looks {
            (NOT_LOOKED_AT, OBJECT) => false,
            (NOT_LOOKED_AT, NO_OBJECT) => true,
            (NOT_LOOKED_AT, _) => self.room > SMALLEST_ROOM,
            (objects, _) => objects == 0,
        };
        self.naming() == Naming::Stack && is_no_box
    }

    /// Returns whether the stack of one of its tasks is to be taken. Gives the type up after a
    /// number of calls.
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
