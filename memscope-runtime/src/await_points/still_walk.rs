//! Walks through a future's memory in a copy of the process, or in memory that was written down.
//!
//! Nothing is read at the future's own address: the copy is asked for what is there. So a wrong
//! address is an answer that does not come, and no walk can harm the process. It takes the steps
//! that [`walk`](super::walk::walk) takes, and goes on where that one may not read.

use std::ptr;

use memscope_layout::{Shape, StateKind, TaskLayout};

use super::{
    grow::{find_or_make_root_in, join},
    image,
    layouts::{self, usize_of},
    listed::List,
    resolve::{Reach, resolve},
    tree::{self, Node, ROOTS, Root, Step, place_of_root},
    walk_end::WalkEnd,
};
#[cfg(all(feature = "layout", feature = "tokio"))]
use crate::alloc::cells::CellType;
use crate::{
    accounting::FutureType,
    primitives::{StaticRef, sync::Ordering},
};

/// The roots of walks that read everything. Those of walks through memory that other threads may
/// write are in another table.
static STILL_TABLE: [StaticRef<Root>; ROOTS] = [const { StaticRef::none() }; ROOTS];

/// Memory that stands still.
pub(crate) trait StillMemory {
    /// Fills `into` with what is at the address. Returns `false` if that cannot be read.
    fn read(&mut self, address: usize, into: &mut [u8]) -> bool;

    /// The node behind the trait objects with this vtable. The memory is this program's.
    fn behind(&self, node: &'static Node, vtable: usize) -> Option<&'static Node> {
        node.behind_vtable(vtable)
    }
}

/// The layout of the tasks that the function at this address polls.
fn task_layout(poll: usize) -> Result<&'static TaskLayout, &'static str> {
    let layouts = layouts::kept().ok_or("debug information was not read")?;
    let offset = image::offset_of(poll).ok_or("its future comes from a library")?;
    layouts.task(layouts.base_address().wrapping_add(offset)).ok_or(
        "debug information does not have its type: the crate that spawns it has to be built with \
         `debug = 2`",
    )
}

/// The layout of the tasks in cells of this type. `bytes`: the size of the cell, if it is known.
#[cfg(all(feature = "layout", feature = "tokio"))]
pub(crate) fn cell_layout(
    kind: &CellType,
    bytes: Option<usize>,
) -> Result<&'static TaskLayout, &'static str> {
    let layout = task_layout(kind.poll())?;
    let is_right = layout.id_offset == kind.id_offset() as u64
        && bytes.is_none_or(|bytes| bytes as u64 == layout.size);
    if !is_right {
        return Err("debug information has another size for its Tokio cell");
    }
    // NOTE: walks begin at the node of this type of future, so each type must have one of its own.
    #[cfg(feature = "symbols")]
    if ptr::eq(kind.future(), FutureType::not_known()) {
        kind.note_future(&layouts::written(future_name(layout)));
    }
    Ok(layout)
}

/// The name of the future of such a task.
pub(crate) fn future_name(layout: &TaskLayout) -> &'static str {
    let future = layouts::kept().and_then(|layouts| layouts.future_type(layout.future_type));
    future.map_or("", |future| &*future.name)
}

/// The size of the future of such a task.
pub(crate) fn future_size(layout: &TaskLayout) -> Option<u64> {
    layouts::kept()?.future_type(layout.future_type)?.size
}

/// A waiting function, where its state machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Passed {
    pub(crate) address: usize,
    pub(crate) bytes: usize,
    /// Its number among all state machines.
    pub(crate) coroutine: usize,
}

/// The number of the state machine that a future is; `None` if it is another type.
pub(crate) fn coroutine_of(future: &FutureType) -> Option<usize> {
    let layouts = layouts::kept()?;
    match layouts.future_type(join(layouts, future).ok()?)?.shape {
        Shape::Coroutine(index) => Some(index),
        _ => None,
    }
}

/// A place where a task waits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StillPlace {
    /// The number of the node.
    pub(super) node: u32,
    /// The places of the futures that stand side by side there, or that it perhaps waits for. Those
    /// of a list that are at one place are one.
    pub(super) branches: Vec<Self>,
    /// How many further ones are surely not awaited.
    pub(super) over: usize,
    /// Whether these are all.
    pub(super) is_whole: bool,
    /// Whether the only branch is what the task waits for: the others surely are not.
    pub(super) goes_on: bool,
    /// How many futures of a list are here.
    pub(super) futures: u64,
}

/// The most branches that one task is followed into.
const MOST_BRANCHES: usize = 32;
/// The most futures of lists that one task is followed into.
const MOST_LISTED: usize = 4_096;

/// How many branches, and how many futures of lists, a task may still be followed into.
#[derive(Debug)]
struct Left {
    branches: usize,
    listed: usize,
}

/// Where a task waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    At {
        place: StillPlace,
        /// The waiting functions on the way there: as many as the frames of its backtrace.
        passed: Vec<Passed>,
        /// The address of the queue that it waits in, if that is known.
        queue: Option<usize>,
    },
    NotPolledYet,
    /// It cannot be read, or there are too many nodes.
    No,
}

/// Follows the future in the cell at this address, whose task waits. `future`: stands for its type.
/// `listed`: how many futures of lists may still be looked at, in all. `None`: the future is gone.
pub(crate) fn walk_cell(
    memory: &mut impl StillMemory,
    cell: usize,
    layout: &TaskLayout,
    future: &'static FutureType,
    listed: &mut usize,
) -> Option<Found> {
    let size = u8::try_from(layout.stage.size).unwrap_or(0);
    let stage = number(memory, cell, usize_of(layout.stage.offset), size);
    let start = cell.wrapping_add(usize_of(layout.future_offset));
    if stage != Some(layout.has_future) {
        return None;
    }
    let most = MOST_LISTED.min(*listed);
    let mut left = Left { branches: MOST_BRANCHES, listed: most };
    let found = walk(memory, start, layout, future, &mut left);
    *listed -= most - left.listed;
    Some(found)
}

/// Follows the future at this address, which waits. `future`: stands for its type.
fn walk(
    memory: &mut impl StillMemory,
    start: usize,
    layout: &TaskLayout,
    future: &'static FutureType,
    left: &mut Left,
) -> Found {
    let root = find_or_make_root_in(&STILL_TABLE, place_of_root(future), future, |layouts| {
        resolve(layouts, layout.future_type, 0, Reach::Still)
    });
    let Some(root) = root else { return Found::No };
    let (mut at, mut node) = (start, root);
    let mut passed = Vec::new();
    while let Some(next) = step(memory, &mut at, node) {
        if let (Some((coroutine, _)), Step::State { start, .. }) = (next.frame, &node.step) {
            let bytes = layouts::kept().and_then(|it| it.coroutines().get(coroutine));
            let bytes = bytes.map_or(0, |it| usize::try_from(it.size).unwrap_or(0));
            let address = at.wrapping_add(usize::try_from(*start).unwrap_or(0));
            passed.push(Passed { address, bytes, coroutine });
        }
        node = next;
    }
    match &node.step {
        Step::End(WalkEnd::NotWaiting(StateKind::Unresumed)) if is_first(node) => {
            Found::NotPolledYet
        }
        _ => {
            let (place, queue) = place(memory, at, node, left);
            Found::At { place, passed, queue }
        }
    }
}

/// The place of the node at which a walk has ended, and those of its branches; and the queue that
/// the task surely waits in.
fn place(
    memory: &mut impl StillMemory,
    at: usize,
    node: &'static Node,
    left: &mut Left,
) -> (StillPlace, Option<usize>) {
    let mut place = StillPlace {
        node: node.id.load(Ordering::Relaxed),
        branches: Vec::new(),
        over: 0,
        is_whole: false,
        goes_on: false,
        futures: 1,
    };
    let queue = match &node.step {
        Step::End(WalkEnd::Queued { queue, .. }) => pointer(memory, at, *queue),
        Step::End(WalkEnd::Listed { list, .. }) => {
            place.follow_list(memory, at, node, list, left);
            None
        }
        Step::End(stop) => place.follow_branches(memory, at, node, stop, left),
        _ => None,
    };
    (place, queue)
}

impl StillPlace {
    /// Follows the branches in which a walk has ended. Returns the queue that the task surely waits
    /// in.
    fn follow_branches(
        &mut self,
        memory: &mut impl StillMemory,
        at: usize,
        node: &'static Node,
        stop: &'static WalkEnd,
        left: &mut Left,
    ) -> Option<usize> {
        left.branches = left.branches.checked_sub(stop.branches().len())?;
        self.is_whole = !stop.branches().is_empty();
        let mut queue = None;
        for branch in stop.branches() {
            let Some(first) = node.branch(branch) else {
                self.is_whole = false;
                continue;
            };
            match follow(memory, at, first, left) {
                Some((place, its_queue)) => {
                    self.branches.push(place);
                    queue = its_queue;
                }
                None => self.over += 1,
            }
        }
        self.goes_on = self.branches.len() == 1 && self.is_whole && stop.several().is_some();
        if !self.goes_on && matches!(stop, WalkEnd::Perhaps { .. } | WalkEnd::SomeOf { .. }) {
            self.settle_candidates();
        }
        queue.filter(|_| self.goes_on)
    }

    /// Leaves of what is perhaps awaited the places with a function, and those that surely have
    /// none. If one may have a function that is not known, none is left: what is awaited may not be
    /// among the others.
    fn settle_candidates(&mut self) {
        let (mut known, mut is_known) = (Vec::new(), self.is_whole);
        for branch in std::mem::take(&mut self.branches) {
            is_known &= branch.spread(self.node, &mut known);
        }
        self.is_whole = is_known;
        if is_known {
            self.branches = known;
        }
    }

    /// Adds this place to the known ones, or those in it if no function is before them. Returns
    /// `false` if it may have others.
    fn spread(self, above: u32, known: &mut Vec<Self>) -> bool {
        if tree::has_function_below(self.node, above) {
            known.push(self);
            return true;
        }
        if self.branches.is_empty() {
            let is_leaf = tree::end_at(self.node).is_some_and(WalkEnd::has_no_function);
            known.push(self);
            return is_leaf;
        }
        let is_whole = self.is_whole;
        self.branches.into_iter().fold(is_whole, |is_known, it| it.spread(above, known) && is_known)
    }

    /// Follows each future of a list.
    fn follow_list(
        &mut self,
        memory: &mut impl StillMemory,
        at: usize,
        node: &'static Node,
        list: &'static List,
        left: &mut Left,
    ) {
        let found = list.find(at, left.listed, |address| word(memory, address));
        left.listed -= found.addresses.len();
        self.is_whole = found.is_whole;
        for address in found.addresses {
            let Some(first) = list.first(node) else {
                self.is_whole = false;
                return;
            };
            let Some((place, _)) = follow(memory, address, first, left) else {
                self.over += 1;
                continue;
            };
            let known = self.branches.iter().position(|it| it.is_at(&place));
            if let Some(known) = known.and_then(|known| self.branches.get_mut(known)) {
                known.futures += 1;
            } else if self.branches.len() < MOST_BRANCHES {
                self.branches.push(place);
            } else {
                self.is_whole = false;
            }
        }
    }

    /// Whether two futures of a list are at one place.
    fn is_at(&self, other: &Self) -> bool {
        let place = |it: &Self| (it.node, it.over, it.is_whole, it.goes_on);
        place(self) == place(other) && self.branches == other.branches
    }

    /// Whether no future here is awaited, of those that are known.
    pub(super) const fn has_none(&self) -> bool {
        self.is_whole && self.branches.is_empty()
    }
}

/// Follows one of several futures, whose first node this is. `None`: it surely is not awaited.
fn follow(
    memory: &mut impl StillMemory,
    mut at: usize,
    first: &'static Node,
    left: &mut Left,
) -> Option<(StillPlace, Option<usize>)> {
    let (mut end, mut waits) = (first, first.waits());
    while let Some(next) = step(memory, &mut at, end) {
        waits |= next.waits();
        end = next;
    }
    let Step::End(stop) = &end.step else { return Some(place(memory, at, end, left)) };
    if stop.not_awaited().is_some() && !waits {
        return None;
    }
    let (place, queue) = place(memory, at, end, left);
    let is_empty = matches!(stop, WalkEnd::Listed { .. }) && place.has_none();
    (waits || !is_empty).then_some((place, queue))
}

/// Whether no function above this node waits.
fn is_first(node: &'static Node) -> bool {
    let mut above = node.parent;
    while let Some(node) = above {
        if node.frame.is_some() {
            return false;
        }
        above = node.parent;
    }
    true
}

/// The next node; `None` ends the walk.
fn step(
    memory: &mut impl StillMemory,
    at: &mut usize,
    node: &'static Node,
) -> Option<&'static Node> {
    match &node.step {
        Step::State { offset, size, .. } => node.state(number(memory, *at, *offset, *size)?),
        Step::Variant { offset, size, children, .. } => {
            let value = number(memory, *at, *offset, *size)?;
            let is_meant = |it: &&(Option<u64>, _)| it.0 == Some(value);
            let child = children.iter().find(is_meant);
            let child = child.or_else(|| children.last().filter(|it| it.0.is_none()));
            let (meant, child) = child?;
            child.get().or_else(|| node.add_variant(*meant))
        }
        Step::Pointer { offset, child, .. } => {
            *at = pointer(memory, *at, *offset)?;
            child.get().or_else(|| node.add_behind_pointer())
        }
        Step::Object { data, vtable, .. } => {
            let vtable = pointer(memory, *at, *vtable)?;
            *at = pointer(memory, *at, *data)?;
            memory.behind(node, vtable)
        }
        Step::Mask { pointer: mask, size, .. } => {
            let mask = pointer(memory, *at, *mask)?;
            node.with_mask(number(memory, mask, 0, *size)?)
        }
        Step::Limit(limited) => {
            let is_full = limited.is_full(*at, |address| word(memory, address))?;
            node.with_limit(is_full)
        }
        Step::Options(options) => {
            let number = |address, size| number(memory, address, 0, size);
            node.with_options(options.are_none(*at, number)?)
        }
        Step::End(_) => None,
    }
}

/// The integer of `size` bytes at an offset.
pub(crate) fn number(
    memory: &mut impl StillMemory,
    at: usize,
    offset: usize,
    size: u8,
) -> Option<u64> {
    let mut bytes = [0; 8];
    let used = bytes.get_mut(..usize::from(size))?;
    memory.read(at.wrapping_add(offset), used).then(|| u64::from_le_bytes(bytes))
}

/// The size of an address.
const WORD: u8 = 8;

fn word(memory: &mut impl StillMemory, address: usize) -> Option<usize> {
    usize::try_from(number(memory, address, 0, WORD)?).ok()
}

fn pointer(memory: &mut impl StillMemory, at: usize, offset: usize) -> Option<usize> {
    const { assert!(size_of::<*const ()>() == WORD as usize) };
    let address = number(memory, at, offset, WORD)?;
    usize::try_from(address).ok().filter(|address| *address != ptr::null::<u8>().addr())
}
