//! The thread's current tally: the owner that an allocation is charged to.
//!
//! Each thread has one thread-local reference to a [`Tally`], which is never empty. It is a task's
//! tally while the thread polls or drops that task, a span's while that is entered, else its own.
//!
//! A *mode tally* has no account: allocating there takes the slow path, which finds the account.
//! `SPAWNING` and `EXEMPT` cover another tally, the *underlying* one. Frees in these modes still
//! count as done by its owner.
//!
//! | mode tally | current | a new block is charged to | replaced by |
//! |---|---|---|---|
//! | `UNREGISTERED` | while the thread has no record | the thread, which is registered now; in an unannotated task, that task | `BEFORE_TOKIO`, at the first allocation |
//! | `BEFORE_TOKIO` | outside tracked tasks, until Tokio has run on the thread | the thread | `OUTSIDE`, at the first allocation or free after that |
//! | `OUTSIDE` | outside tracked tasks, once Tokio has run on the thread | the unannotated task that Tokio runs, else the thread | `EXITING` |
//! | `SPAWNING` | in `Tracked::spawn`, until Tokio allocates the task's cell | the new task, the cell included | the underlying tally |
//! | `EXEMPT` | in [`exempt`]: memscope's own work | no account: the owner word says memscope | the underlying tally |
//! | `EXITING` | once the thread's exit destructor runs | the orphans' account | none: it is the last |
//!
//! Where unannotated tasks are turned off, a thread that registers has its own tally in place of
//! `BEFORE_TOKIO` and `OUTSIDE`. A thread that finds no memory for a record charges the orphans.
//!
//! Each shared owner has one more mode tally, which leads to it. Each span has one for its guests:
//! the threads that enter it while another thread is its writer.
//!
//! What makes a tally current, and until when:
//!
//! | begins with | ends when | current afterwards |
//! |---|---|---|
//! | [`Entered`]: a poll, a scope, a drop | the guard is dropped | the tally before |
//! | [`ModeGuard`]: `SPAWNING`, `EXEMPT` | it is dropped, or the cell is there | the tally before |
//! | a span that is entered (`span_entries`) | it is left, or an enclosing guard is dropped | the tally before |
//! | a thread's first allocation | its destructors run | `EXITING` |

use std::{cell::Cell, marker::PhantomData, ptr};

#[cfg(feature = "tracing")]
use super::span_entries;
#[cfg(feature = "tokio")]
use super::unannotated;
use super::{
    countdown::Countdown,
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

#[cfg(feature = "tracing")]
pub(crate) use super::span_entries::{enter as enter_span, exit as exit_span};
#[cfg(feature = "tokio")]
pub(crate) use super::spawn_charge::Spawning;
#[cfg(feature = "tokio")]
pub(crate) use super::unannotated::SwitchedTask;

/// Without Tokio only tracked tasks exist: this has one value, which stands for no task.
#[cfg(not(feature = "tokio"))]
#[derive(Clone, Copy, Debug)]
pub(crate) struct SwitchedTask;

#[cfg(not(feature = "tokio"))]
impl SwitchedTask {
    pub(super) const NO_TASK: Self = Self;

    #[expect(clippy::unused_self, reason = "as with Tokio")]
    pub(super) fn is_no_task(self) -> bool {
        true
    }

    #[expect(clippy::unused_self, reason = "as with Tokio")]
    pub(super) fn find(self) -> Option<&'static Record> {
        None
    }
}

pub(super) static UNREGISTERED: Tally = Tally::new();
pub(super) static SPAWNING: Tally = Tally::new();
pub(super) static EXEMPT: Tally = Tally::new();
pub(super) static EXITING: Tally = Tally::new();
/// Outside of tracked tasks, on a thread where Tokio has run.
pub(super) static OUTSIDE: Tally = Tally::new();
/// Outside of tracked tasks, on a thread where Tokio has not run.
pub(super) static BEFORE_TOKIO: Tally = Tally::new();

// PERF: `const` and without destructors: an access is one move relative to the thread pointer, at
// any time in a thread's life.
thread_local! {
    pub(super) static HERE: Here = const { Here::new() };
}

/// The accounting state of a thread.
///
/// PERF: one struct. Code that may be linked into a library looks up each thread-local by a call.
/// Registers that the call may overwrite cannot be used across it.
pub(super) struct Here {
    pub(super) current: Cell<&'static Tally>,
    /// What `SPAWNING` or `EXEMPT` covers.
    pub(super) underlying: Cell<&'static Tally>,
    pub(super) spawn: SpawnCell,
    pub(super) thread: Cell<Option<&'static Record>>,
    pub(super) probe: Cell<Option<Probe>>,
    pub(super) countdown: Countdown,
    /// Whether the thread has returned its record, so that it gets no other one.
    pub(super) is_retired: Cell<bool>,
    /// How many guards are alive.
    #[cfg(feature = "tracing")]
    pub(super) depth: Cell<u32>,
    /// The newest entry of the list of entered spans: see `span_entries`.
    #[cfg(feature = "tracing")]
    pub(super) top: Cell<Option<&'static span_entries::Entry>>,
    /// How many entries of that list are buried.
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
            countdown: Countdown::new(),
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

/// Returns this thread's own record, once it has allocated.
#[inline]
pub(super) fn thread() -> Option<&'static Record> {
    HERE.with(|here| here.thread.get())
}

/// Makes a tally current until the guard is dropped.
///
/// Dropping restores the previous tally, also during unwinding, so scopes nest to any depth. If
/// that was a span which has been left meanwhile, the tally below it becomes current: see
/// `span_entries`.
#[derive(Debug)]
pub(crate) struct Entered {
    previous: &'static Tally,
    /// The guard's state is thread-local, so it must not move to another thread.
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

    /// Charges the thread itself, as outside of all tasks.
    pub(crate) fn untracked() -> Self {
        // NOTE: registers an unregistered thread now. Its first allocation would be charged as
        // outside of scopes, and so perhaps to an unannotated task.
        Self::new(thread().map_or_else(register_thread, Record::tally))
    }

    /// Returns what was current before.
    #[inline]
    pub(super) fn previous(&self) -> &'static Tally {
        self.previous
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

/// Runs `work` with its allocations charged to no task or thread: they are memscope's own.
pub(crate) fn exempt<T>(work: impl FnOnce() -> T) -> T {
    let _mode = ModeGuard::put(&EXEMPT);
    work()
}

/// Returns whether this code runs inside [`exempt`].
pub(crate) fn is_exempt() -> bool {
    ptr::eq(tally(), &raw const EXEMPT)
}

/// Covers the current tally with a mode tally until dropped.
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

/// Returns the tally that `SPAWNING` or `EXEMPT` covers; any other tally is its own.
#[inline]
pub(super) fn underlying(tally: &'static Tally) -> &'static Tally {
    let is_before = ptr::eq(tally, &raw const SPAWNING) || ptr::eq(tally, &raw const EXEMPT);
    if is_before { HERE.with(|here| here.underlying.get()) } else { tally }
}

/// Returns the id of the current task, annotated or not; 0 if there is no task, or if it has not
/// allocated.
#[inline]
pub(crate) fn owner_id() -> u64 {
    id_of(tally())
}

/// Returns the id of the task that is current with this tally; 0 if none. `is_spawned` says whether
/// a task that was entered from there is a Tokio task of its own.
#[inline]
pub(super) fn outer_id(tally: &'static Tally, is_spawned: bool) -> u64 {
    // PERF: the task that Tokio polls is the entered one, and asking Tokio takes time.
    if is_spawned && is_untracked(tally) { 0 } else { id_of(tally) }
}

/// Returns the id of the task that is current with this tally; 0 if none.
// PERF: only a task or a span has an id, and no mode tally covers it there.
#[inline]
fn id_of(tally: &'static Tally) -> u64 {
    match tally.id() {
        0 => id_without_own(tally),
        id => id,
    }
}

/// [`id_of`] for a tally without an id of its own.
#[inline(never)]
fn id_without_own(tally: &'static Tally) -> u64 {
    // PERF: most tasks that are not nested begin in this mode.
    #[cfg(feature = "tokio")]
    if is_outside(tally) && config::unannotated() {
        return unannotated::known_id();
    }
    known(tally).id()
}

/// Returns the current tally: an owner's, or a mode tally.
#[inline]
pub(crate) fn tally() -> &'static Tally {
    HERE.with(|here| here.current.get())
}

/// Counts the freed or reallocated blocks whose owner word the program had overwritten.
pub(crate) fn words_refused() -> u64 {
    let modes = [&UNREGISTERED, &SPAWNING, &EXEMPT, &EXITING, &BEFORE_TOKIO, &OUTSIDE];
    let zeroes: u64 = modes.map(Tally::zeroes).iter().sum();
    owner_word::words_refused() + zeroes + shared_owner::zeroes()
}

/// Returns whether this is the mode outside of tracked tasks on a thread where Tokio has run.
#[inline]
pub(crate) fn is_outside(mode: &'static Tally) -> bool {
    ptr::eq(mode, &raw const OUTSIDE)
}

/// Returns whether this is one of the two modes outside of tracked tasks.
#[inline]
pub(super) fn is_untracked(mode: &'static Tally) -> bool {
    is_outside(mode) || ptr::eq(mode, &raw const BEFORE_TOKIO)
}

/// Returns whether Tokio may be asked in this mode, which is one outside of tracked tasks. It may
/// once it has run on this thread.
#[inline]
pub(super) fn asks_tokio(mode: &'static Tally) -> bool {
    is_outside(mode) || leaves_before_tokio()
}

/// Replaces `BEFORE_TOKIO` by `OUTSIDE` if Tokio has run on this thread. Returns whether it has.
#[cfg(feature = "tokio")]
fn leaves_before_tokio() -> bool {
    match unannotated::sight() {
        unannotated::Sight::Unused => return false,
        unannotated::Sight::Used => {}
        unannotated::Sight::Hidden => {
            // The thread is charged with what registering the destructor allocates.
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

/// Without Tokio there is no runtime to ask.
#[cfg(not(feature = "tokio"))]
fn leaves_before_tokio() -> bool {
    false
}

/// Charges `tally` with what `work` allocates. No guard is needed: `work` runs in the allocator, so
/// it does not panic, and enters or leaves no span.
fn charging<T>(tally: &'static Tally, work: impl FnOnce() -> T) -> T {
    let before = HERE.with(|here| here.current.replace(tally));
    let value = work();
    HERE.with(|here| here.current.set(before));
    value
}

/// Registers a thread at its first allocation: gives it a record. Returns the tally to charge.
pub(super) fn register_thread() -> &'static Tally {
    if HERE.with(|here| here.is_retired.get()) {
        return &EXITING;
    }
    // A scope that an unregistered thread enters restores `UNREGISTERED` when it ends. By then the
    // thread may have a record.
    let known = thread();
    let Some(record) = known.or_else(registry::thread_record) else { return &EXITING };
    HERE.with(|here| here.thread.set(Some(record)));
    this_thread::set_registered(true);
    #[cfg(feature = "tokio")]
    if config::unannotated() {
        unannotated::note_thread();
    }
    // The thread is charged with what registering the destructor allocates.
    let retires = charging(record.tally(), thread_exit::register);
    let (own, outside): (&'static Tally, &'static Tally) = if retires {
        (record.tally(), if config::unannotated() { &BEFORE_TOKIO } else { record.tally() })
    } else {
        // The thread's destructors have run: no later one would return the record.
        give_record_back();
        (&EXITING, &EXITING)
    };
    // Only a bare `UNREGISTERED` is replaced: another mode, or a task, must stay current.
    HERE.with(|here| {
        for place in [&here.current, &here.underlying] {
            if ptr::eq(place.get(), &raw const UNREGISTERED) {
                place.set(outside);
            }
        }
    });
    own
}

/// Marks this thread as one that polls tasks.
#[inline]
pub(crate) fn thread_works() {
    if let Some(record) = thread().or_else(ensure_registered) {
        record.become_worker();
    }
}

/// Marks this thread as memscope's own, if it has a record.
pub(crate) fn serve() {
    if let Some(record) = thread() {
        record.serve();
    }
}

/// Registers a thread before its first allocation. Returns `None` if its destructors have run, or
/// there is no memory.
///
/// A thread without a record has no ring. Its frees of other owners' blocks are counted in the
/// place that all such threads share.
#[cold]
#[inline(never)]
fn ensure_registered() -> Option<&'static Record> {
    // Must come before `register_thread`: if the destructors have run, the current tally stays. The
    // task is not charged with what this may allocate.
    exempt(|| thread_exit::register().then_some(()))?;
    register_thread();
    thread()
}

/// Returns the id of the tracked task that this code runs in, the innermost one where tasks nest.
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
