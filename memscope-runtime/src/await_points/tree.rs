//! Where futures wait: a tree of all paths that were seen. To look again takes a load or two a
//! step.
//!
//! Each type of future that waited has a root. Below it is a node for each state, variant or
//! pointer that a walk passed. A node is made from the layouts when a walk first needs it; it lives
//! for ever and never changes. A task keeps the number of the node at which its last walk ended. No
//! thread waits for another: a thread that makes a node which another thread has just made discards
//! its own.

#[cfg(feature = "layout")]
use std::pin::Pin;
use std::{
    ptr,
    sync::atomic::{AtomicU8, AtomicU32},
};

use memscope_layout::{Layouts, Shape, StateKind, TypeId};

#[cfg(feature = "layout")]
use super::walk::{self, Start};
use super::{
    asked::Asked,
    besides::Options,
    givers,
    grow::{Draft, add, behind, find_or_make_root, make},
    layouts::{self, locals_of, place_of, written},
    limited::Limited,
    resolve::{Reach, StepKind, resolve, resolve_enabled, resolve_variant},
    seen::Seen,
    tuple::Disabled,
    walk_end::{Branch, WalkEnd},
};
#[cfg(feature = "layout")]
use crate::accounting::Record;
use crate::{
    accounting::FutureType,
    alloc::{current::exempt, warn},
    model::AwaitFrame,
    primitives::{
        Arena, StaticRef,
        sync::{AtomicU64, Ordering},
    },
};

pub(crate) use super::cached_path::{ByteCheck, CachedPath, OtherCheck, PathCheck};

/// The most nodes that are made; about 250 bytes each.
pub(super) const MOST_NODES: u32 = 1 << 14;
/// The most words for the children and cached paths of all nodes; 8 bytes each.
pub(super) const MOST_PLACES: u64 = 1 << 18;
/// The most steps below a root. Only a damaged file has more, or a future that awaits itself so
/// deeply.
pub(super) const MOST_DEPTH: u32 = 128;
/// Slots for the types of futures: a power of two.
pub(super) const ROOTS: usize = 1 << 12;
/// The most slots that a lookup of a type tries.
pub(super) const PROBES: usize = 64;

/// Whether await points are on: polls that return `Pending` note where they wait.
static ON: AtomicU8 = AtomicU8::new(0);
/// The nodes by number, from 1 on.
pub(super) static NODES: Arena<StaticRef<Node>> = Arena::new();
pub(super) static TABLE: [StaticRef<Root>; ROOTS] = [const { StaticRef::none() }; ROOTS];
/// Nodes that were needed and not made: there were too many, or there was no memory.
pub(super) static REFUSED: AtomicU64 = AtomicU64::new(0);
/// Words that the children and the cached paths of nodes take.
pub(super) static PLACES: AtomicU64 = AtomicU64::new(0);

/// Turns await points on: reads the layouts and keeps them. They stay on: otherwise what was noted
/// would become wrong unnoticed.
pub(crate) fn turn_on() {
    static SAID: AtomicU8 = AtomicU8::new(0);
    match layouts::keep() {
        Ok(_) => ON.store(1, Ordering::Relaxed),
        Err(why) if SAID.swap(1, Ordering::Relaxed) == 0 => {
            warn(format_args!("where tasks wait cannot be told: {why}"));
        }
        Err(_) => {}
    }
}

/// How often a node was needed and not made.
pub(crate) fn refused() -> u64 {
    REFUSED.load(Ordering::Relaxed)
}

/// Notes where a task waits. Called right after its poll has returned `Pending`.
// PERF: while off, this is a load that is always the same and a branch that is never taken.
#[cfg(feature = "layout")]
#[inline]
pub(crate) fn note<F: Future>(record: &'static Record, future: Pin<&mut F>) {
    if ON.load(Ordering::Relaxed) != 0 {
        let start = Start::of(future);
        // SAFETY: the future is an `F`, its last poll has returned `Pending`, and the caller has
        // given away its `Pin<&mut F>`.
        unsafe { look(record, start, FutureType::of::<F>()) };
    }
}

/// A type of future that waited, and its root node.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) future: &'static FutureType,
    pub(super) node: &'static Node,
}

/// A node of the tree: one place on the paths of waiting futures.
#[derive(Debug)]
pub(crate) struct Node {
    pub(super) id: AtomicU32,
    pub(super) depth: u32,
    pub(super) parent: Option<&'static Self>,
    /// If a state machine on the path waits here: its index, and the index of its state.
    pub(super) frame: Option<(usize, usize)>,
    /// The value that this is a part of, and whose other parts the task may wait for as well.
    pub(super) beside: Option<String>,
    /// Whether a type on the way here waits for what is no future, as a connection does.
    pub(super) waits_itself: bool,
    /// How far a walk may read from here on.
    pub(super) reach: Reach,
    /// Of the tuple behind a pointer here.
    pub(super) disabled: Disabled,
    /// Of a state: the value of the discriminant.
    pub(crate) value: u64,
    pub(crate) step: Step,
    /// The future's type at the root.
    pub(super) future: &'static FutureType,
    /// The check that the path goes on here from the parent. `None` for a root, and for the variant
    /// that stands for all other values.
    pub(super) check: Option<PathCheck>,
    /// Of an end: the path to it.
    pub(super) cached_path: Option<CachedPath>,
}

/// How a walk goes on from a node.
///
/// Offsets are from the start of the block or value that the walk is in.
#[derive(Debug)]
pub(crate) enum Step {
    /// Into the current state of a state machine.
    State {
        offset: usize,
        size: u8,
        /// Where the state machine begins, and its index.
        start: u64,
        coroutine: usize,
        /// The child that was made first.
        first: StaticRef<Node>,
        /// The children, by the discriminant's value.
        children: Box<[StaticRef<Node>]>,
    },
    /// Into the current variant of an enum.
    Variant {
        offset: usize,
        size: u8,
        start: u64,
        enumeration: TypeId,
        /// What the enum is a part of, if its variant says more than what is in it.
        asked: Option<Box<Asked>>,
        /// The children, by the discriminant's value. The one without a value is last and stands
        /// for all other values.
        children: Box<[(Option<u64>, StaticRef<Node>)]>,
    },
    /// To the value behind a pointer.
    Pointer { offset: usize, to: TypeId, child: StaticRef<Node> },
    /// To the value of a trait object.
    Object { data: usize, vtable: usize, children: StaticRef<Seen> },
    /// Into the branches of a `select!` that are not disabled. The walk stays in the block: the
    /// pointer leads to the mask alone.
    Mask { pointer: usize, size: u8, start: u64, closure: TypeId, children: StaticRef<Seen> },
    /// Into a type that polls its stream only while its list has room.
    Limit(Box<Limited>),
    /// Into a type that has all else that it may wait for in `Option`s.
    Options(Box<Options>),
    /// Nowhere: the walk ends.
    End(WalkEnd),
}

impl Step {
    /// How many words its children take.
    pub(super) fn places(&self) -> usize {
        match self {
            Self::State { children, .. } => children.len(),
            Self::Variant { children, .. } => 2 * children.len(),
            Self::End(stop) => 3 * stop.branches().len(),
            Self::Limit(_) => 8,
            Self::Options(_) => 12,
            Self::Pointer { .. } | Self::Object { .. } | Self::Mask { .. } => 0,
        }
    }
}

/// Notes the node that the task waits at.
///
/// # Safety
///
/// `start` must be a future of this type whose last poll has returned `Pending`, and the caller
/// must have it for itself.
#[cfg(feature = "layout")]
#[inline(never)]
unsafe fn look(record: &'static Record, start: Start, future: &'static FutureType) {
    // PERF: a task mostly waits where it waited before. Then the cached path shows it, by loads
    // that do not wait for each other.
    let before = NODES.get(record.await_point().wrapping_sub(1)).and_then(StaticRef::get);
    if let Some(Node { cached_path: Some(cached_path), .. }) = before
        && cached_path.is_of(future)
        // SAFETY: the caller's contract, and the cached path is one of this type.
        && unsafe { walk::matches(start, cached_path) }
    {
        return;
    }
    let Some(root) = root(future) else { return record.note_await_point(0) };
    // SAFETY: the caller's contract.
    let end = unsafe { walk::walk(start, root) };
    record.note_await_point(end.id.load(Ordering::Relaxed));
}

/// The root node of a type; the first call makes it.
#[inline]
fn root(future: &'static FutureType) -> Option<&'static Node> {
    let first = place_of_root(future);
    match TABLE[first].get() {
        Some(root) if ptr::eq(root.future, future) => Some(root.node),
        _ => find_or_make_root(first, future),
    }
}

pub(super) fn place_of_root(future: &'static FutureType) -> usize {
    let address = ptr::from_ref(future).addr() / align_of::<FutureType>();
    (address ^ (address >> 12)) % ROOTS
}

/// The children of a node. A child is made when a walk first needs it. `None` ends the walk.
impl Node {
    /// The child for the state with this discriminant.
    #[inline]
    pub(crate) fn state(&'static self, value: u64) -> Option<&'static Self> {
        let Step::State { children, .. } = &self.step else { return None };
        let known = usize::try_from(value).ok().and_then(|value| children.get(value)?.get());
        known.or_else(|| self.add_state(value))
    }

    #[cold]
    #[inline(never)]
    fn add_state(&'static self, value: u64) -> Option<&'static Self> {
        let Step::State { start, coroutine, first, children, .. } = &self.step else { return None };
        let place = children.get(usize::try_from(value).ok()?)?;
        let layouts = layouts::kept()?;
        let machine = layouts.coroutines().get(*coroutine)?;
        let index = machine.states.iter().position(|state| state.value == Some(value))?;
        let state = machine.states.get(index)?;
        let is_waiting = matches!(state.kind, StateKind::Suspended(_));
        let has_given = state.awaited().is_some_and(|it| givers::gives_an_item(&it.type_name));
        let frame = (is_waiting && !has_given).then_some((*coroutine, index));
        let check = PathCheck::value(&self.step, value);
        let child = Draft { frame, value, check, ..self.child() };
        let child = add(place, child, || {
            if !is_waiting {
                return StepKind::end(WalkEnd::NotWaiting(state.kind));
            }
            if has_given {
                return StepKind::end(WalkEnd::HasGiven);
            }
            let Some(awaited) = state.awaited() else {
                return StepKind::end(WalkEnd::NotUnderstood);
            };
            match awaited.future_type {
                Some(id) => resolve(layouts, id, start.saturating_add(awaited.offset), self.reach),
                None => StepKind::end(WalkEnd::Leaf(written(&awaited.type_name))),
            }
        })?;
        // If another child was made first, that one stays.
        let _ = first.set_if_none(child);
        Some(child)
    }

    /// Makes the child for the variant with this value.
    #[cold]
    #[inline(never)]
    pub(crate) fn add_variant(&'static self, value: Option<u64>) -> Option<&'static Self> {
        let Step::Variant { start, enumeration, asked, children, .. } = &self.step else {
            return None;
        };
        let (_, place) = children.iter().find(|it| it.0 == value)?;
        let layouts = layouts::kept()?;
        let future = layouts.future_type(*enumeration)?;
        let Shape::Enum { variants, .. } = &future.shape else { return None };
        let variant = variants.iter().find(|it| it.value == value)?;
        let check = value.and_then(|value| PathCheck::value(&self.step, value));
        add(place, Draft { check, ..self.child() }, || match asked {
            Some(asked) => asked.resolve(layouts, future, variant, *start, self.reach),
            None => resolve_variant(layouts, future, variant, *start, self.reach),
        })
    }

    /// Makes the child for the value behind a pointer.
    #[cold]
    #[inline(never)]
    pub(crate) fn add_behind_pointer(&'static self) -> Option<&'static Self> {
        let Step::Pointer { offset, to, child: place } = &self.step else { return None };
        let layouts = layouts::kept()?;
        let check = Some(PathCheck::Other(OtherCheck::Pointer { offset: *offset }));
        add(place, Draft { check, ..self.child() }, || {
            resolve_enabled(layouts, *to, 0, self.reach, self.disabled)
        })
    }

    /// The child for the value of a trait object with this vtable.
    #[inline]
    pub(crate) fn behind_vtable(&'static self, vtable: usize) -> Option<&'static Self> {
        self.behind_vtable_of(vtable, behind)
    }

    /// The same for memory of another process: `find` knows the type that this number stands for.
    #[inline]
    pub(crate) fn behind_vtable_of(
        &'static self,
        vtable: usize,
        find: fn(&Layouts, usize) -> Result<TypeId, &'static str>,
    ) -> Option<&'static Self> {
        let Step::Object { children, .. } = &self.step else { return None };
        match children.find(vtable as u64) {
            Ok(child) => Some(child),
            Err((place, _)) => self.add_behind_vtable(vtable, find, place),
        }
    }

    /// Makes the child for a new vtable; `place` is the end of the list.
    #[cold]
    #[inline(never)]
    fn add_behind_vtable(
        &'static self,
        vtable: usize,
        find: fn(&Layouts, usize) -> Result<TypeId, &'static str>,
        place: &'static StaticRef<Seen>,
    ) -> Option<&'static Self> {
        let Step::Object { data, vtable: at, .. } = self.step else { return None };
        let layouts = layouts::kept()?;
        let check = Some(PathCheck::Other(OtherCheck::Object { data, vtable: at, is: vtable }));
        let node = exempt(|| {
            let step = match find(layouts, vtable) {
                Ok(id) => resolve(layouts, id, 0, self.reach),
                Err(why) => StepKind::end(WalkEnd::NotJoined(why)),
            };
            make(Draft { check, ..self.child() }, step)
        })?;
        place.append(vtable as u64, node)
    }

    /// The first node of one of the branches where a walk ends.
    pub(super) fn branch(&'static self, branch: &'static Branch) -> Option<&'static Self> {
        let layouts = layouts::kept()?;
        branch.child.get().or_else(|| {
            add(&branch.child, self.child(), || {
                if branch.is_certain {
                    return resolve(layouts, branch.to, branch.start, self.reach);
                }
                let future = layouts.future_type(branch.to);
                let name = future.map_or_else(String::new, |future| written(&future.name));
                StepKind::end(WalkEnd::Uncertain(name))
            })
        })
    }

    /// Whether a function or another type waits here, or the walk goes on in one of several.
    pub(super) fn waits(&self) -> bool {
        self.frame.is_some() || self.beside.is_some() || self.waits_itself
    }

    /// The draft of a child that has nothing of its own yet.
    pub(super) fn child(&'static self) -> Draft {
        Draft { future: self.future, parent: Some(self), frame: None, value: 0, check: None }
    }
}

/// Why a walk ends at the node with this number.
pub(super) fn end_at(id: u32) -> Option<&'static WalkEnd> {
    match &NODES.get(id.checked_sub(1)?)?.get()?.step {
        Step::End(stop) => Some(stop),
        _ => None,
    }
}

/// Whether a function waits on the way from the node `above` to this one.
pub(super) fn has_function_below(id: u32, above: u32) -> bool {
    let node = |id: u32| NODES.get(id.checked_sub(1)?)?.get();
    let mut at = node(id);
    while let Some(node) = at.filter(|node| node.id.load(Ordering::Relaxed) != above) {
        if node.frame.is_some() {
            return true;
        }
        at = node.parent;
    }
    false
}

/// The async backtrace that a node's number stands for, the outermost function first, and why it
/// ends.
pub(crate) fn backtrace(id: u32) -> Option<(Vec<AwaitFrame>, String)> {
    backtrace_below(id, 0)
}

/// The same, without the functions down to the node `above`.
pub(super) fn backtrace_below(id: u32, above: u32) -> Option<(Vec<AwaitFrame>, String)> {
    let layouts = layouts::kept()?;
    let node = NODES.get(id.checked_sub(1)?)?.get()?;
    let (mut stops, mut not_awaited) = match &node.step {
        Step::End(stop) => (stop.say(), stop.not_awaited()),
        _ => ("could not be followed further: it is in no state that debug information knows, or there were too many".to_owned(), None),
    };
    let mut frames = Vec::new();
    let mut at = Some(node);
    while let Some(node) = at.filter(|node| node.id.load(Ordering::Relaxed) != above) {
        let found = node.frame.and_then(|(machine, state)| {
            let machine = layouts.coroutines().get(machine)?;
            Some((machine, machine.states.get(state)?))
        });
        if let Some((machine, state)) = found {
            not_awaited = None;
            let (file, line) = place_of(state);
            frames.push(AwaitFrame {
                function: written(&machine.path),
                file,
                line,
                size_bytes: machine.size,
                locals: locals_of(state),
            });
        }
        match (&node.beside, not_awaited.take_if(|_| node.beside.is_some())) {
            (Some(several), Some(what)) => {
                stops = format!("waits for another of several in {several} than {what}");
            }
            (Some(several), None) => stops.extend(["; this is one of several in ", several]),
            (None, _) => {}
        }
        at = node.parent;
    }
    frames.reverse();
    Some((frames, stops))
}
