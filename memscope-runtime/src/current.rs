//! The thread's current task: whom an allocation is charged to.
//!
//! One thread-local reference to a [`Tally`], never empty: a task's while it is polled or dropped, else the thread's own. Five
//! tallies without an account are *signposts*; on those the allocator takes its slow path:
//!
//! | signpost | where | who is charged |
//! |---|---|---|
//! | `STRANGER` | a thread's first allocation | the thread, from now on |
//! | `PLAIN` | outside of every tracked task | the Tokio task that nobody annotated, else the thread |
//! | `SPAWNING` | inside `Tracked::spawn` | the new task, up to its cell; then the spawner |
//! | `OWN` | memscope reads its records | nobody: the block carries no owner |
//! | `LATE` | thread-local destructors are running | the orphans' account |
//!
//! Each shared owner has one more, which leads to it.

use std::{alloc::Layout, cell::Cell, marker::PhantomData, ptr};

#[cfg(feature = "tokio")]
use crate::plain;
#[cfg(feature = "tokio")]
pub(crate) use crate::plain::Other;
#[cfg(feature = "tracing")]
use crate::span;
use crate::{
    account::Account,
    block::{Charged, Owner},
    config, hand_over, own_heap,
    record::Record,
    registry,
    shared::Shared,
    site::UNTRACKED,
    tally::Tally,
    task::TaskId,
    threads,
    variable::{self, Variable},
};

/// Whether tracking is compiled in.
pub(crate) const ENABLED: bool = cfg!(feature = "enabled");

/// Without Tokio nobody is found where no task is tracked.
#[cfg(not(feature = "tokio"))]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Other;

#[cfg(not(feature = "tokio"))]
impl Other {
    const NOBODY: Self = Self;

    #[expect(clippy::unused_self, reason = "as with Tokio")]
    fn is_nobody(self) -> bool {
        true
    }

    #[expect(clippy::unused_self, reason = "as with Tokio")]
    fn find(self) -> Option<&'static Record> {
        None
    }
}

static STRANGER: Tally = Tally::new();
static SPAWNING: Tally = Tally::new();
static OWN: Tally = Tally::new();
static LATE: Tally = Tally::new();
/// Outside of tracked tasks: the Tokio task that nobody annotated, or the thread.
static PLAIN: Tally = Tally::new();

// PERF: `const` and without destructors, so that an access is one move relative to the thread pointer, at any time in
// a thread's life.
thread_local! {
    static HERE: Here = const { Here::new() };
}

/// What a thread knows of itself.
///
/// PERF: in one place, as code of a library looks up each thread-local by a call before it is linked, which keeps registers from being used.
struct Here {
    current: Cell<&'static Tally>,
    /// What the signposts `SPAWNING` and `OWN` stand before.
    behind: Cell<&'static Tally>,
    spawn: SpawnCell,
    thread: Cell<Option<&'static Record>>,
    probe: Cell<Option<Probe>>,
}

impl Here {
    const fn new() -> Self {
        Self {
            current: Cell::new(&STRANGER),
            behind: Cell::new(&STRANGER),
            spawn: SpawnCell::new(),
            thread: Cell::new(None),
            probe: Cell::new(None),
        }
    }
}

/// This thread's own record, once it has allocated.
#[inline]
fn thread() -> Option<&'static Record> {
    HERE.with(|here| here.thread.get())
}

thread_local! {
    /// Runs when the thread ends.
    static RETIRE: Retire = const { Retire };
}

/// Who allocates now, until the guard is dropped.
///
/// Dropping restores the one before, also when unwinding, so scopes nest to any depth.
#[derive(Debug)]
pub(crate) struct Entered {
    previous: &'static Tally,
    /// Thread-local: the guard must not travel.
    not_send: PhantomData<*const ()>,
}

impl Entered {
    #[inline]
    pub(crate) fn new(tally: &'static Tally) -> Self {
        Self { previous: HERE.with(|here| here.current.replace(tally)), not_send: PhantomData }
    }

    /// Charges the thread itself, as outside every task.
    pub(crate) fn untracked() -> Self {
        // A thread in teardown stays where it is.
        let late = ptr::eq(tally(), &raw const LATE);
        // NOTE: a stranger is introduced here: at its first allocation it would be charged as outside of scopes, where the task that
        // nobody annotated may be current.
        let own = || thread().map_or_else(introduce, Record::tally);
        Self::new(if late { &LATE } else { own() })
    }

    /// The task that was current before; 0 if none. `is_spawned`: this one was spawned on Tokio as a task of its own.
    #[inline]
    pub(crate) fn previous_owner_id(&self, is_spawned: bool) -> u64 {
        // PERF: what Tokio polls there is this task itself; asking for it takes a while.
        if is_spawned && ptr::eq(self.previous, &raw const PLAIN) {
            return 0;
        }
        known(self.previous).id()
    }
}

impl Drop for Entered {
    #[inline]
    fn drop(&mut self) {
        HERE.with(|here| here.current.set(self.previous));
    }
}

/// Makes a tally current for whoever cannot hold a guard: a span. Returns the one before, and its task's id (0: none).
#[cfg(feature = "tracing")]
pub(crate) fn switch(to: &'static Tally) -> (&'static Tally, u64) {
    let previous = HERE.with(|here| here.current.replace(to));
    (previous, known(previous).id())
}

/// Takes a [`switch`] back, if it still stands.
#[cfg(feature = "tracing")]
pub(crate) fn switch_back(from: &'static Tally, to: &'static Tally) {
    if ptr::eq(tally(), from) {
        HERE.with(|here| here.current.set(to));
    }
}

/// Runs `work` with allocations charged to nobody: for memory that is freed before `work` returns.
pub(crate) fn as_memscope<T>(work: impl FnOnce() -> T) -> T {
    let _behind = Behind::put(&OWN);
    work()
}

/// Whether this code runs inside [`as_memscope`].
#[cfg(feature = "report-file")]
pub(crate) fn is_memscope() -> bool {
    ptr::eq(tally(), &raw const OWN)
}

/// A task that is being handed to its executor.
#[derive(Clone, Copy, Debug)]
struct Spawn {
    record: &'static Record,
    id: u64,
    future_size: usize,
    is_boxed: bool,
}

/// A place for one.
///
/// PERF: field by field. As a whole it would be copied in words of 16 bytes, which wait for the stores of 8 bytes before to reach the cache.
#[derive(Debug)]
struct SpawnCell {
    record: Cell<Option<&'static Record>>,
    id: Cell<u64>,
    future_size: Cell<usize>,
    is_boxed: Cell<bool>,
}

impl SpawnCell {
    const fn new() -> Self {
        Self {
            record: Cell::new(None),
            id: Cell::new(0),
            future_size: Cell::new(0),
            is_boxed: Cell::new(false),
        }
    }

    #[inline]
    fn get(&self) -> Option<Spawn> {
        let Self { record, id, future_size, is_boxed } = self;
        let record = record.get()?;
        let (id, future_size, is_boxed) = (id.get(), future_size.get(), is_boxed.get());
        Some(Spawn { record, id, future_size, is_boxed })
    }

    #[inline]
    fn set(&self, spawn: Option<Spawn>) {
        self.record.set(spawn.map(|spawn| spawn.record));
        if let Some(Spawn { id, future_size, is_boxed, .. }) = spawn {
            self.id.set(id);
            self.future_size.set(future_size);
            self.is_boxed.set(is_boxed);
        }
    }
}

/// The new task is charged with what is allocated up to its cell: the first block larger than the future.
///
/// The task cannot run before its cell exists, so its tally still has one writer. What comes after (a run queue that
/// grows, a worker that is woken) is the spawner's.
#[cfg(feature = "tokio")]
#[derive(Debug)]
pub(crate) struct Spawning {
    outer: Option<Spawn>,
    _behind: Behind,
}

#[cfg(feature = "tokio")]
impl Spawning {
    #[inline]
    pub(crate) fn new(record: &'static Record, future_size: usize) -> Self {
        let spawn = Spawn { record, id: record.tally().id(), future_size, is_boxed: false };
        let outer = HERE.with(|here| here.spawn.get());
        HERE.with(|here| here.spawn.set(Some(spawn)));
        Self { outer, _behind: Behind::put(&SPAWNING) }
    }
}

#[cfg(feature = "tokio")]
impl Drop for Spawning {
    #[inline]
    fn drop(&mut self) {
        HERE.with(|here| here.spawn.set(self.outer));
    }
}

/// Puts a signpost up before the current tally, until dropped.
#[derive(Debug)]
struct Behind {
    outer: &'static Tally,
    _entered: Entered,
}

impl Behind {
    #[inline]
    fn put(signpost: &'static Tally) -> Self {
        let current = behind(tally());
        Self {
            outer: HERE.with(|here| here.behind.replace(current)),
            _entered: Entered::new(signpost),
        }
    }
}

impl Drop for Behind {
    #[inline]
    fn drop(&mut self) {
        HERE.with(|here| here.behind.set(self.outer));
    }
}

/// What `SPAWNING` and `OWN` stand before; any other is itself.
#[inline]
fn behind(tally: &'static Tally) -> &'static Tally {
    let is_before = ptr::eq(tally, &raw const SPAWNING) || ptr::eq(tally, &raw const OWN);
    if is_before { HERE.with(|here| here.behind.get()) } else { tally }
}

/// Who allocates outside of every tracked task.
fn outside() -> &'static Tally {
    outside_again().unwrap_or_else(find_outside)
}

/// [`outside`], where that is another than before.
fn find_outside(other: Other) -> &'static Tally {
    other.find().or_else(thread).map_or(&LATE, Record::tally)
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

/// Charges a new block to the current owner, who is returned.
#[inline(never)]
pub(crate) fn charge(block: *mut u8, layout: Layout) -> Owner {
    let tally = tally();
    match tally.account() {
        Some(account) => {
            tally.charge(account, layout.size());
            Owner::account(account)
        }
        None => charge_at_signpost(tally, block, layout),
    }
}

/// Takes a block off its owner, if it has one, and charges the current one with what it was reallocated to. The names of the block, if it has any,
/// go with it.
#[inline(never)]
pub(crate) fn recharge(owner: Option<Owner>, layout: Layout, grown: *mut u8, new: Layout) -> Owner {
    let tally = tally();
    let Some(owner) = owner else { return charge(grown, new) };
    if owner.is(tally.account()) {
        tally.discharge(layout.size());
        return charge(grown, new);
    }
    let Charged::Named(name) = owner.read() else {
        discharge_elsewhere(tally, owner, layout.size());
        return charge(grown, new);
    };
    if let Some(account) = name.account() {
        discharge_account(known(tally), account, layout.size());
    }
    let account = match charge(grown, new).read() {
        Charged::Account(account) | Charged::Cell(account) => Some(account),
        Charged::Nobody | Charged::Named(_) => None,
    };
    name.moved(account, layout.size(), new.size());
    Owner::named(name)
}

/// Charges a new block at a signpost.
pub(crate) fn charge_at_signpost(
    signpost: &'static Tally,
    block: *mut u8,
    layout: Layout,
) -> Owner {
    if is_outside(signpost) {
        charge_to(outside(), layout.size())
    } else {
        charge_at_other_signpost(signpost, block, layout)
    }
}

/// Whether this signpost stands outside of every tracked task.
#[inline]
pub(crate) fn is_outside(signpost: &'static Tally) -> bool {
    ptr::eq(signpost, &raw const PLAIN)
}

/// Charges a new block outside of every tracked task, where that is not whom [`outside_again`] finds.
pub(crate) fn charge_outside(other: Other, bytes: usize) -> Owner {
    charge_to(find_outside(other), bytes)
}

fn charge_to(tally: &'static Tally, bytes: usize) -> Owner {
    let Some(account) = tally.account() else { return Owner::NOBODY };
    tally.charge(account, bytes);
    note_size(tally);
    Owner::account(account)
}

/// Somebody outside of every tracked task may hold more than ever.
#[inline]
pub(crate) fn note_size(tally: &'static Tally) {
    #[cfg(feature = "task-names")]
    plain::note_size(tally);
    #[cfg(not(feature = "task-names"))]
    let _ = tally;
}

/// Charges a new block at any signpost but that outside of every tracked task.
#[inline(never)]
pub(crate) fn charge_at_other_signpost(
    signpost: &'static Tally,
    block: *mut u8,
    layout: Layout,
) -> Owner {
    let bytes = layout.size();
    if ptr::eq(signpost, &raw const OWN) {
        own_heap::add(bytes);
        Probe::note(block, layout);
        return Owner::NOBODY;
    }
    if ptr::eq(signpost, &raw const SPAWNING) {
        return charge_spawned(bytes);
    }
    charge_for(signpost, bytes)
}

/// Charges a new block to whom this tally is, or stands for.
fn charge_for(tally: &'static Tally, bytes: usize) -> Owner {
    let tally = if ptr::eq(tally, &raw const STRANGER) { introduce() } else { tally };
    if let Some(account) = tally.account() {
        tally.charge(account, bytes);
        return Owner::account(account);
    }
    let account = match tally.stands_for() {
        Some(index) => Shared::charge(index, bytes),
        None => registry::charge_orphans(bytes),
    };
    account.map_or(Owner::NOBODY, Owner::account)
}

/// Charges a new block inside [`Spawning`] to the new task, and takes the signpost away at its cell.
///
/// The cell holds the future and so is larger. A large future Tokio boxes first: that block is as large as the future,
/// and the one after it, of any size, is the cell.
#[inline(never)]
fn charge_spawned(bytes: usize) -> Owner {
    let spawn = HERE.with(|here| here.spawn.get());
    // NOTE: a spawn that failed has dropped the future and with it the task; its record may serve another by now.
    let spawn = spawn.filter(|spawn| spawn.record.tally().id() == spawn.id);
    let Some((spawn, account)) =
        spawn.and_then(|spawn| Some((spawn, spawn.record.tally().account()?)))
    else {
        return charge_behind(bytes);
    };
    spawn.record.tally().charge(account, bytes);
    if spawn.is_boxed || bytes > spawn.future_size {
        leave_spawning();
        account.add_cell();
        spawn.record.note_cell(bytes, spawn.is_boxed.then_some(spawn.future_size));
        Owner::of_cell(account)
    } else {
        HERE.with(|here| here.spawn.is_boxed.set(bytes == spawn.future_size));
        Owner::account(account)
    }
}

/// Charges a new block to whom the signpost `SPAWNING` stands before, and takes it away.
#[cold]
fn charge_behind(bytes: usize) -> Owner {
    let behind = leave_spawning();
    if is_outside(behind) { charge_to(outside(), bytes) } else { charge_for(behind, bytes) }
}

/// Takes the signpost `SPAWNING` away, and returns what it stood before.
#[inline]
fn leave_spawning() -> &'static Tally {
    HERE.with(|here| {
        here.spawn.set(None);
        let behind = here.behind.get();
        here.current.set(behind);
        behind
    })
}

/// Takes a block off its owner who is not the current one, or not the only one to be told.
// PERF: first what a program that annotates nothing mostly does. Each case goes on in a function that is called last, so that few registers are needed.
#[inline(never)]
pub(crate) fn discharge_elsewhere(tally: &'static Tally, owner: Owner, bytes: usize) {
    if !is_outside(tally) {
        return discharge_within(tally, owner, bytes);
    }
    match outside_again() {
        Ok(own) => discharge_as(own, owner, bytes),
        Err(other) if other.is_nobody() => discharge_in_thread(owner, bytes),
        Err(_) => discharge_within(&PLAIN, owner, bytes),
    }
}

/// [`discharge_elsewhere`] outside of every task.
#[inline(never)]
fn discharge_in_thread(owner: Owner, bytes: usize) {
    match thread() {
        Some(thread) => discharge_as(thread.tally(), owner, bytes),
        None => discharge_by(Known::Nobody, owner, bytes),
    }
}

/// [`discharge_elsewhere`] for whomever this tally leads to.
#[inline(never)]
fn discharge_within(tally: &'static Tally, owner: Owner, bytes: usize) {
    discharge_by(known(tally), owner, bytes);
}

/// Takes a block off its owner, where `own` frees it.
#[inline]
fn discharge_as(own: &'static Tally, owner: Owner, bytes: usize) {
    if owner.is(own.account()) {
        own.discharge(bytes);
    } else {
        discharge_by(Known::Owner(own), owner, bytes);
    }
}

/// Who allocates outside of every tracked task, if that is the task that did so last; the thread, where tasks are not asked for.
#[inline]
pub(crate) fn outside_again() -> Result<&'static Tally, Other> {
    #[cfg(feature = "tokio")]
    if config::unannotated() {
        return plain::again().map(Record::tally);
    }
    thread().map(Record::tally).ok_or(Other::NOBODY)
}

/// Takes a block off its owner, whoever frees it.
#[inline(never)]
fn discharge_by(freer: Known, owner: Owner, bytes: usize) {
    match owner.read() {
        Charged::Account(account) => discharge_account(freer, account, bytes),
        Charged::Cell(account) => discharge_cell(account, bytes),
        Charged::Named(name) => discharge_named(freer, name, bytes),
        Charged::Nobody => own_heap::remove(bytes),
    }
}

#[inline(never)]
fn discharge_named(freer: Known, name: &'static Variable, bytes: usize) {
    if let Some(account) = name.freed(freer.id(), bytes) {
        discharge_account(freer, account, bytes);
    }
}

/// Takes a task's Tokio cell off it, which Tokio frees after the task's end: not a block that somebody was handed.
pub(crate) fn discharge_cell(account: &'static Account, bytes: usize) {
    account.remove_cell();
    if account.discharge(bytes) {
        registry::give_back(account);
    }
}

/// Whom somebody is who does not allocate: nobody gets a record for that.
#[derive(Clone, Copy, Debug)]
enum Known {
    /// A task, or a thread outside of every task.
    Owner(&'static Tally),
    /// A task that nobody annotated and that has not allocated.
    #[cfg(feature = "tokio")]
    NoRecord,
    /// A thread that has no record.
    Nobody,
}

impl Known {
    #[inline]
    fn tally(self) -> Option<&'static Tally> {
        if let Self::Owner(tally) = self { Some(tally) } else { None }
    }

    /// The task's id; 0: none.
    #[inline]
    fn id(self) -> u64 {
        self.tally().map_or(0, Tally::id)
    }

    /// Its tally, if this is its account.
    #[inline]
    fn tally_of(self, account: &Account) -> Option<&'static Tally> {
        self.tally().filter(|tally| tally.account().is_some_and(|own| ptr::eq(own, account)))
    }

    /// The index of its site.
    #[inline]
    fn site(self) -> u32 {
        match self {
            #[cfg(feature = "tokio")]
            Self::NoRecord => plain::site().index(),
            _ => self.tally().and_then(Tally::account).map_or(UNTRACKED, Account::site),
        }
    }
}

/// Who is charged here, or behind this signpost.
#[inline]
fn known(tally: &'static Tally) -> Known {
    let tally = behind(tally);
    if !is_outside(tally) {
        return Known::Owner(tally);
    }
    #[cfg(feature = "tokio")]
    if config::unannotated() {
        match plain::known() {
            Ok(Some(record)) => return Known::Owner(record.tally()),
            Err(plain::NoRecord) => return Known::NoRecord,
            Ok(None) => {}
        }
    }
    thread().map_or(Known::Nobody, |thread| Known::Owner(thread.tally()))
}

#[inline]
fn discharge_account(freer: Known, account: &'static Account, bytes: usize) {
    if let Some(own) = freer.tally_of(account) {
        return own.discharge(bytes);
    }
    // First, as the account may be another's afterwards.
    let (from, to) = (account.site(), freer.site());
    if account.discharge(bytes) {
        return give_back_and_note(account, from, to, bytes);
    }
    hand_over::note(from, to, bytes);
}

/// The end of [`discharge_account`] where that was the last block of an ended owner.
#[cold]
#[inline(never)]
fn give_back_and_note(account: &'static Account, from: u32, to: u32, bytes: usize) {
    registry::give_back(account);
    hand_over::note(from, to, bytes);
}

/// Takes a block off its owner which tasks of the site `to` take over.
pub(crate) fn hand_on(from: &'static Account, to: u32, bytes: usize) {
    hand_over::note(from.site(), to, bytes);
    if let Some(own) = known(tally()).tally_of(from) {
        own.discharge(bytes);
    } else if from.discharge(bytes) {
        registry::give_back(from);
    }
}

/// Gives a thread its own record at its first allocation.
fn introduce() -> &'static Tally {
    // A scope that was entered by a stranger leaves one behind when it ends, though the thread is known by then.
    let known = thread();
    let Some(record) = known.or_else(registry::thread_record) else { return &LATE };
    HERE.with(|here| here.thread.set(Some(record)));
    let asks_tokio = config::unannotated();
    let retires = {
        // What is allocated to register the destructors is the thread's.
        let _own = Entered::new(record.tally());
        let retires = RETIRE.try_with(|_| ()).is_ok();
        #[cfg(feature = "tokio")]
        if asks_tokio {
            // Before `PLAIN` stands anywhere on this thread.
            plain::introduce();
        }
        retires
    };
    if !retires {
        // The thread's destructors have run: nobody would give the record back.
        retire();
        return &LATE;
    }
    // The thread may stand behind a signpost that must stay: only a bare stranger is replaced.
    HERE.with(|here| {
        for place in [&here.current, &here.behind] {
            if ptr::eq(place.get(), &raw const STRANGER) {
                place.set(if asks_tokio { &PLAIN } else { record.tally() });
            }
        }
    });
    record.tally()
}

#[derive(Debug)]
struct Retire;

impl Drop for Retire {
    fn drop(&mut self) {
        retire();
    }
}

/// Hands the thread's record on to the next thread that starts; what comes later is charged to the orphans.
fn retire() {
    HERE.with(|here| {
        here.current.set(&LATE);
        here.behind.set(&LATE);
    });
    if let Some(record) = HERE.with(|here| here.thread.take()) {
        record.leave_worker();
        registry::give_back_thread(record);
    }
    registry::empty_spares();
    #[cfg(feature = "tokio")]
    plain::retire();
    variable::empty_spares();
    hand_over::retire();
    #[cfg(feature = "tracing")]
    span::retire();
    // Last: what comes before may have something to say.
    threads::retire();
}

/// Notes that this thread polls tasks.
#[inline]
pub(crate) fn thread_works() {
    if let Some(record) = thread() {
        record.become_worker();
    }
}

/// Whether the thread has a record, and so a destructor that will run.
#[inline]
pub(crate) fn thread_is_known() -> bool {
    thread().is_some()
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
        0 if tally.account().is_none() && !ptr::eq(tally, &raw const PLAIN) => {
            TaskId::new(behind(tally).id())
        }
        id => TaskId::new(id),
    }
}

/// What the allocator saw of a block made to find out whether it is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    pub(crate) block: *const u8,
    pub(crate) layout: Layout,
}

impl Probe {
    fn note(block: *mut u8, layout: Layout) {
        HERE.with(|here| here.probe.set(Some(Self { block, layout })));
    }

    /// The last block that passed the allocator inside `as_memscope` on this thread.
    pub(crate) fn take() -> Option<Self> {
        HERE.with(|here| here.probe.take())
    }
}
