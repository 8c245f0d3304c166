//! The types of tasks, each with its vtable: a future and its scheduler.

use super::header::CellLayout;
use crate::{
    accounting::Site,
    primitives::{
        InternTable, StaticRef, arena,
        sync::{AtomicU8, Ordering},
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
    /// Whether a living cell had a trait object where it has its future: [`OBJECT`],
    /// [`NO_OBJECT`], or 0 if none was looked at.
    object: AtomicU8,
    /// How often a stack was asked for.
    asked: AtomicU8,
    /// The site that carries its name.
    site: StaticRef<Site>,
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

/// Types that were found of late, each where its vtable leads to.
static RECENT: [StaticRef<CellType>; 64] = [const { StaticRef::none() }; 64];

/// Returns the type with this vtable; `None` if this is no vtable of a task.
// PERF: one comparison, as a program has few types of tasks that come and go.
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
    let start = (vtable as u64 >> 5) % STARTS;
    let is_same = |kind: &CellType| kind.vtable == vtable;
    // Validates where the type is not known yet.
    let has_room = || TYPES.made() < MOST_TYPES && layout.id_offset_of(vtable).is_some();
    let make = |_| {
        let (poll, id_offset) = layout.id_offset_of(vtable)?;
        let room = layout.room_of(vtable, id_offset);
        let (naming, asked) = (AtomicU8::new(Naming::Symbol as u8), AtomicU8::new(0));
        let object = AtomicU8::new(0);
        arena::keep(CellType {
            vtable,
            poll,
            id_offset,
            room,
            naming,
            object,
            asked,
            site: StaticRef::none(),
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

    /// Names the type.
    pub(crate) fn name(&self, site: &'static Site) {
        self.site.set(site);
        self.naming.store(Naming::Named as u8, Ordering::Relaxed);
    }

    /// The symbol does not name the future. `varies`: it says that there are different ones.
    #[cfg(feature = "symbols")]
    pub(crate) fn has_no_symbol(&self, varies: bool) {
        let next = if varies { Naming::Varies } else { Naming::Stack };
        self.naming.store(next as u8, Ordering::Relaxed);
    }

    /// Notes whether a living cell has a trait object where it has its future.
    pub(super) fn note_object(&self, has_object: bool) {
        if has_object {
            self.object.store(OBJECT, Ordering::Relaxed);
        } else if self.object.load(Ordering::Relaxed) != OBJECT {
            self.object.store(NO_OBJECT, Ordering::Relaxed);
        }
    }

    /// Whether the name of one of its tasks, found in a stack, is that of all.
    pub(crate) fn has_one_name(&self) -> bool {
        let is_no_box = match self.object.load(Ordering::Relaxed) {
            OBJECT => false,
            NO_OBJECT => true,
            _ => self.room > SMALLEST_ROOM,
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
