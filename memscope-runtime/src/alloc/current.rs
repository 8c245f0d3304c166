//! The thread's current task: whom an allocation is charged to.
//!
//! One thread-local reference to a [`Tally`], never empty: a task's while it is polled or dropped,
//! a span's while it is entered, else the thread's own. Six tallies without an account are
//! *signposts*; on those the allocator takes its slow path:
//!
//! | signpost | where | who is charged |
//! |---|---|---|
//! | `UNREGISTERED` | a thread's first allocation | the thread, from now on |
//! | `BEFORE_TOKIO` | outside of every tracked task, on a thread where Tokio has not run | the thread |
//! | `OUTSIDE` | the same, once Tokio has run there | the unannotated Tokio task, else the thread |
//! | `SPAWNING` | inside `Tracked::spawn` | the new task, up to its cell; then the spawner |
//! | `EXEMPT` | memscope reads its records | nobody: the block carries no owner |
//! | `EXITING` | thread-local destructors are running | the orphans' account |
//!
//! Each shared owner has one more, which leads to it; and so has each span, for threads that enter
//! it while another thread is in it.
//!
//! What makes one current, and what ends it:
//!
//! | begins with | ends when | current afterwards |
//! |---|---|---|
//! | [`Entered`]: a poll, a scope, a drop | the guard is dropped | what was before |
//! | [`ModeGuard`]: a signpost | it is dropped, or the cell is there | what was before |
//! | a span that is entered (`entries`) | it is left, or a guard below ends | what was before |
//! | a thread's first allocation | its destructors run | `EXITING` |

use std::{cell::Cell, marker::PhantomData, ptr};

#[cfg(feature = "tracing")]
use super::span_entries;
#[cfg(feature = "tokio")]
use super::unannotated;
use super::{
    discharge::known,
    install_check::Probe,
    spawn_charge::SpawnCell,
    thread_exit::{self, give_record_back},
};
use crate::{
    accounting::{Record, Tally, owner_word, registry, shared_owner},
    config::{self, ENABLED},
    model::TaskId,
    primitives::this_thread,
};

#[cfg(feature = "tokio")]
pub(crate) use super::unannotated::SwitchedTask;

#[cfg(feature = "tracing")]
pub(crate) use super::span_entries::{enter as enter_span, exit as exit_span};
#[cfg(feature = "tokio")]
pub(crate) use super::spawn_charge::Spawning;

/// Without Tokio nobody is found where no task is tracked.
#[cfg(not(feature = "tokio"))]
#[derive(Clone, Copy, Debug)]
pub(crate) struct SwitchedTask;

#[cfg(not(feature = "tokio"))]
impl SwitchedTask {
    const NOBODY: Self = Self;

    #[expect(clippy::unused_self, reason = "as with Tokio")]
    pub(super) fn is_nobody(self) -> bool {
        true
    }

    #[expect(clippy::unused_self, reason = "as with Tokio")]
    fn find(self) -> Option<&'static Record> {
        None
    }
}

pub(super) static UNREGISTERED: Tally = Tally::new();
pub(super) static SPAWNING: Tally = Tally::new();
pub(super) static EXEMPT: Tally = Tally::new();
pub(super) static EXITING: Tally = Tally::new();
/// Outside of tracked tasks: the Tokio task that nobody annotated, or the thread.
pub(super) static OUTSIDE: Tally = Tally::new();
/// The same until Tokio has run on the thread: the thread.
pub(super) static BEFORE_TOKIO: Tally = Tally::new();

// PERF: `const` and without destructors, so that an access is one move relative to the thread
// pointer, at any time in a thread's life.
thread_local! {
    pub(super) static HERE: Here = const { Here::new() };
}

/// What a thread knows of itself.
///
/// PERF: in one place, as code of a library looks up each thread-local by a call before it is
/// linked, which keeps registers from being used.
pub(super) struct Here {
    pub(super) current: Cell<&'static Tally>,
    /// What the signposts `SPAWNING` and `EXEMPT` stand before.
    pub(super) underlying: Cell<&'static Tally>,
    pub(super) spawn: SpawnCell,
    pub(super) thread: Cell<Option<&'static Record>>,
    pub(super) probe: Cell<Option<Probe>>,
    /// The thread has given its record back, for good.
    pub(super) is_retired: Cell<bool>,
    /// The guards that there are now.
    #[cfg(feature = "tracing")]
    pub(super) depth: Cell<u32>,
    /// The last span that was entered and is still listed: see `entries`.
    #[cfg(feature = "tracing")]
    pub(super) top: Cell<Option<&'static span_entries::Entry>>,
    /// Entries of that list that have been left.
    #[cfg(feature = "tracing")]
    pub(super) buried: Cell<u32>,
}

impl Here {
    const fn new() -> Self {
        Self {
            current: Cell::new(&UNREGISTERED),
            underlying: Cell::new(&UNREGISTERED),
            spawn: SpawnCell::new(),
            thread: Cell::new(None),
            probe: Cell::new(None),
            is_retired: Cell::new(false),
            #[cfg(feature = "tracing")]
            depth: Cell::new(0),
            #[cfg(feature = "tracing")]
            top: Cell::new(None),
            #[cfg(feature = "tracing")]
            buried: Cell::new(0),
        }
    }
}

/// This thread's own record, once it has allocated.
#[inline]
pub(super) fn thread() -> Option<&'static Record> {
    HERE.with(|here| here.thread.get())
}

/// Who allocates now, until the guard is dropped.
///
/// Dropping restores the one before, also when unwinding, so scopes nest to any depth. Where that
/// was a span which has been left meanwhile, what is below it becomes current: see `entries`.
#[derive(Debug)]
pub(crate) struct Entered {
    previous: &'static Tally,
    /// Thread-local: the guard must not travel.
    not_send: PhantomData<*const ()>,
}

impl Entered {
    #[inline]
    pub(crate) fn new(tally: &'static Tally) -> Self {
        HERE.with(|here| {
            #[cfg(feature = "tracing")]
            here.depth.set(here.depth.get().wrapping_add(1));
            Self { previous: here.current.replace(tally), not_send: PhantomData }
        })
    }

    /// Charges the thread itself, as outside every task.
    pub(crate) fn untracked() -> Self {
        // NOTE: a stranger is introduced here: at its first allocation it would be charged as
        // outside of scopes, where a task that is not annotated may be current.
        Self::new(thread().map_or_else(register_thread, Record::tally))
    }

    /// The task that was current before; 0 if none. `is_spawned`: this one was spawned on Tokio as
    /// a task of its own.
    #[inline]
    pub(crate) fn previous_owner_id(&self, is_spawned: bool) -> u64 {
        // PERF: what Tokio polls there is this task itself; asking for it takes a while.
        if is_spawned && is_untracked(self.previous) {
            return 0;
        }
        known(self.previous).id()
    }
}

impl Drop for Entered {
    #[inline]
    fn drop(&mut self) {
        HERE.with(|here| {
            #[cfg(feature = "tracing")]
            {
                here.depth.set(here.depth.get().wrapping_sub(1));
                // PERF: the only test while no span is entered.
                if here.top.get().is_some() {
                    return span_entries::restore(here, self.previous);
                }
            }
            here.current.set(self.previous);
        });
    }
}

/// Runs `work` with allocations charged to no task or thread: they are memscope's own.
pub(crate) fn exempt<T>(work: impl FnOnce() -> T) -> T {
    let _behind = ModeGuard::put(&EXEMPT);
    work()
}

/// Whether this code runs inside [`exempt`].
pub(crate) fn is_exempt() -> bool {
    ptr::eq(tally(), &raw const EXEMPT)
}

/// Puts a signpost up before the current tally, until dropped.
#[derive(Debug)]
pub(super) struct ModeGuard {
    outer: &'static Tally,
    _entered: Entered,
}

impl ModeGuard {
    #[inline]
    pub(super) fn put(mode: &'static Tally) -> Self {
        let current = underlying(tally());
        Self {
            outer: HERE.with(|here| here.underlying.replace(current)),
            _entered: Entered::new(mode),
        }
    }
}

impl Drop for ModeGuard {
    #[inline]
    fn drop(&mut self) {
        HERE.with(|here| {
            let outer = self.outer;
            #[cfg(feature = "tracing")]
            let outer = span_entries::resolve(here, outer, here.depth.get().wrapping_sub(1));
            here.underlying.set(outer);
        });
    }
}

/// What `SPAWNING` and `EXEMPT` stand before; any other is itself.
#[inline]
pub(super) fn underlying(tally: &'static Tally) -> &'static Tally {
    let is_before = ptr::eq(tally, &raw const SPAWNING) || ptr::eq(tally, &raw const EXEMPT);
    if is_before { HERE.with(|here| here.underlying.get()) } else { tally }
}

/// Who allocates outside of every tracked task.
pub(super) fn outside() -> &'static Tally {
    cached_outside().unwrap_or_else(find_outside)
}

/// [`outside`], where that is another than before.
pub(super) fn find_outside(other: SwitchedTask) -> &'static Tally {
    other.find().or_else(thread).map_or(&EXITING, Record::tally)
}

/// The id of the current task, annotated or not; 0: none, or one that has not allocated.
#[inline]
pub(crate) fn owner_id() -> u64 {
    known(tally()).id()
}

/// Who is charged here, or a signpost.
#[inline]
pub(crate) fn tally() -> &'static Tally {
    HERE.with(|here| here.current.get())
}

/// How many words were not believed of blocks that were freed or reallocated.
pub(crate) fn words_refused() -> u64 {
    let signposts = [&UNREGISTERED, &SPAWNING, &EXEMPT, &EXITING, &BEFORE_TOKIO, &OUTSIDE];
    let zeroes: u64 = signposts.map(Tally::zeroes).iter().sum();
    owner_word::words_refused() + zeroes + shared_owner::zeroes()
}

/// Whether this signpost stands outside of every tracked task, on a thread where Tokio has run.
#[inline]
pub(crate) fn is_outside(mode: &'static Tally) -> bool {
    ptr::eq(mode, &raw const OUTSIDE)
}

/// Whether this signpost stands outside of every tracked task.
#[inline]
pub(super) fn is_untracked(mode: &'static Tally) -> bool {
    is_outside(mode) || ptr::eq(mode, &raw const BEFORE_TOKIO)
}

/// Whether Tokio may be asked at this signpost, which stands outside of every tracked task: from
/// its first use on this thread on.
#[inline]
pub(super) fn asks_tokio(mode: &'static Tally) -> bool {
    is_outside(mode) || leaves_quiet()
}

/// Puts `OUTSIDE` in the place of `BEFORE_TOKIO` if Tokio has run on this thread by now.
#[cfg(feature = "tokio")]
fn leaves_quiet() -> bool {
    match unannotated::sight() {
        unannotated::Sight::Unused => return false,
        unannotated::Sight::Used => {}
        unannotated::Sight::Hidden => {
            // What is allocated to register the destructor is the thread's.
            match thread() {
                Some(own) => charging(own.tally(), unannotated::introduce),
                None => unannotated::introduce(),
            }
        }
    }
    HERE.with(|here| {
        for place in [&here.current, &here.underlying] {
            if ptr::eq(place.get(), &raw const BEFORE_TOKIO) {
                place.set(&OUTSIDE);
            }
        }
    });
    true
}

/// Without Tokio there is nothing to ask.
#[cfg(not(feature = "tokio"))]
fn leaves_quiet() -> bool {
    false
}

/// The tally to charge at this signpost, which stands outside of every tracked task.
pub(super) fn untracked_at(mode: &'static Tally) -> &'static Tally {
    if asks_tokio(mode) { outside() } else { thread().map_or(&EXITING, Record::tally) }
}

/// Who allocates outside of every tracked task, if that is the task that did so last; the thread,
/// where tasks are not asked for.
#[inline]
pub(crate) fn cached_outside() -> Result<&'static Tally, SwitchedTask> {
    #[cfg(feature = "tokio")]
    if config::unannotated() {
        return unannotated::cached_task().map(Record::tally);
    }
    thread().map(Record::tally).ok_or(SwitchedTask::NOBODY)
}

/// Charges `tally` with what `work` allocates, in the allocator: there nothing panics, and no span
/// is entered or left, so that no guard is needed.
fn charging<T>(tally: &'static Tally, work: impl FnOnce() -> T) -> T {
    let before = HERE.with(|here| here.current.replace(tally));
    let value = work();
    HERE.with(|here| here.current.set(before));
    value
}

/// Gives a thread its own record at its first allocation.
pub(super) fn register_thread() -> &'static Tally {
    if HERE.with(|here| here.is_retired.get()) {
        return &EXITING;
    }
    // A scope that was entered by a stranger leaves one behind when it ends, though the thread is
    // known by then.
    let known = thread();
    let Some(record) = known.or_else(registry::thread_record) else { return &EXITING };
    HERE.with(|here| here.thread.set(Some(record)));
    this_thread::set_registered(true);
    #[cfg(feature = "tokio")]
    if config::unannotated() {
        unannotated::note_thread();
    }
    // What is allocated to register the destructor is the thread's.
    let retires = charging(record.tally(), thread_exit::register);
    let (own, outside): (&'static Tally, &'static Tally) = if retires {
        (record.tally(), if config::unannotated() { &BEFORE_TOKIO } else { record.tally() })
    } else {
        // The thread's destructors have run: nothing would give the record back.
        give_record_back();
        (&EXITING, &EXITING)
    };
    // The thread may stand behind a signpost, or in a task, that must stay: only a bare stranger is
    // replaced.
    HERE.with(|here| {
        for place in [&here.current, &here.underlying] {
            if ptr::eq(place.get(), &raw const UNREGISTERED) {
                place.set(outside);
            }
        }
    });
    own
}

/// Notes that this thread polls tasks.
#[inline]
pub(crate) fn thread_works() {
    if let Some(record) = thread().or_else(ensure_registered) {
        record.become_worker();
    }
}

/// Notes that this thread is memscope's, if it has a record.
pub(crate) fn serve() {
    if let Some(record) = thread() {
        record.serve();
    }
}

/// Gives a thread its record before it allocates. `None`: its destructors have run, or there is no
/// memory.
///
/// Without a record a thread has no ring, and counts what it frees for others where all do that
/// have none.
#[cold]
#[inline(never)]
fn ensure_registered() -> Option<&'static Record> {
    // First, so that who is current stays so where the destructors have run; and what that may
    // allocate is not the task's.
    exempt(|| thread_exit::register().then_some(()))?;
    register_thread();
    thread()
}

/// The id of the tracked task that this code runs in, if any: the innermost one where tasks nest.
///
/// ```
/// use memscope_runtime::async_memory::{current_task_id, track};
///
/// assert_eq!(current_task_id(), None);
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let inside = track(async { current_task_id() });
/// let id = inside.id();
/// assert_eq!(inside.await, id);
/// # });
/// ```
///
/// # Cost
///
/// A thread-local read and a load: 1 to 2 ns.
#[inline]
pub fn current_task_id() -> Option<TaskId> {
    if !ENABLED {
        return None;
    }
    let tally = tally();
    match tally.id() {
        0 if tally.account().is_none() && !ptr::eq(tally, &raw const OUTSIDE) => {
            TaskId::new(underlying(tally).id())
        }
        id => TaskId::new(id),
    }
}
