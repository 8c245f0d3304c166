//! Settings, as data: what a program may choose before it tracks anything.

mod memory;

use std::time::Duration;

use crate::{
    model::{Error, Stacks},
    primitives::{
        start_bits,
        sync::{AtomicU8, AtomicU32, AtomicU64, Ordering},
    },
    sampling::{Sampling, Timing},
};
use memory::MemorySettings;

pub(crate) use memory::{
    ReportAt, allocator_usage, memory_limit, on_over_budget, on_pressure, report_at,
};

/// Whether tracking is compiled in.
pub(crate) const ENABLED: bool = cfg!(feature = "enabled");

/// Whether blocks can be listed here, and the process be copied.
pub(crate) const HAS_HOLDERS: bool =
    ENABLED && cfg!(all(feature = "symbols", target_os = "linux", target_pointer_width = "64"));

static ENDED_TASKS: AtomicU64 = AtomicU64::new(DEFAULT_ENDED_TASKS);
static LAST_PLACE: AtomicU32 = AtomicU32::new(last_place(DEFAULT_ENDED_TASKS));
static SITE_ROWS: AtomicU64 = AtomicU64::new(DEFAULT_SITE_ROWS);
static LIVE_VARIABLES: AtomicU64 = AtomicU64::new(DEFAULT_LIVE_VARIABLES);
static UNANNOTATED: AtomicU8 = AtomicU8::new(1);
static NAMES: AtomicU8 = AtomicU8::new(1);
#[cfg(all(feature = "symbols", feature = "tokio"))]
static NAMED_FROM: AtomicU64 = AtomicU64::new(1 << 20);
static TIMING: AtomicU64 = AtomicU64::new(Timing::Sampled.to_number());
static LONG_POLL_NS: AtomicU64 = AtomicU64::new(nanoseconds(LONG_POLL));
static STACKS_EVERY: AtomicU64 = AtomicU64::new(Stacks::DEFAULT.to_number());
static DUMP_MEMORY: AtomicU8 = AtomicU8::new(0);
static HOLDERS_PAUSE_NS: AtomicU64 = AtomicU64::new(nanoseconds(HOLDERS_PAUSE));
static SAMPLE_EVERY_NS: AtomicU64 = AtomicU64::new(nanoseconds(SAMPLE_EVERY));

const DEFAULT_ENDED_TASKS: u64 = 4_096;
/// As many in a process that tests measure tasks in: rows take memory as they are used.
const ENDED_TASKS_OF_TESTS: u64 = 1 << 16;
/// The mean number of bytes between two samples there.
const STACKS_OF_TESTS: u64 = 4 << 10;
const DEFAULT_SITE_ROWS: u64 = 4_096;
const DEFAULT_LIVE_VARIABLES: u64 = 1 << 18;
const LONG_POLL: Duration = Duration::from_millis(1);
const SAMPLE_EVERY: Duration = Duration::from_secs(1);
const HOLDERS_PAUSE: Duration = Duration::from_millis(250);

/// The largest numbers that a program may ask for. The intern table of sites has 65,472 slots and
/// must stay far from full, so that probes stay short.
const MOST_ENDED_TASKS: u64 = 1 << 20;
const MOST_SITE_ROWS: u64 = 1 << 14;
const MOST_LIVE_VARIABLES: u64 = 1 << 26;

/// Settings, applied by [`Builder::init`].
///
/// ```
/// use memscope_runtime::{Timing, builder};
///
/// # fn main() -> Result<(), memscope_runtime::Error> {
/// builder().ended_tasks(1_000).site_rows(500).timing(Timing::Off).init()?;
/// # Ok(())
/// # }
/// ```
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
#[derive(Clone, Debug)]
#[must_use = "settings are applied by `init`"]
pub struct Builder {
    ended_tasks: u64,
    site_rows: u64,
    live_variables: u64,
    unannotated: bool,
    names: bool,
    await_points: bool,
    holders: bool,
    holders_pause: Duration,
    dump_memory: bool,
    #[cfg(all(feature = "symbols", feature = "tokio"))]
    named_from: u64,
    stacks: Stacks,
    timing: Timing,
    long_poll: Duration,
    sample_every: Duration,
    memory: MemorySettings,
    budgets: Vec<(String, u64)>,
}

impl Default for Builder {
    /// The defaults, whatever the environment says.
    fn default() -> Self {
        Self {
            ended_tasks: DEFAULT_ENDED_TASKS,
            site_rows: DEFAULT_SITE_ROWS,
            live_variables: DEFAULT_LIVE_VARIABLES,
            unannotated: true,
            names: true,
            await_points: false,
            holders: false,
            holders_pause: HOLDERS_PAUSE,
            dump_memory: false,
            #[cfg(all(feature = "symbols", feature = "tokio"))]
            named_from: 1 << 20,
            stacks: Stacks::default(),
            timing: Timing::default(),
            long_poll: LONG_POLL,
            sample_every: SAMPLE_EVERY,
            memory: MemorySettings::DEFAULT,
            budgets: Vec::new(),
        }
    }
}

impl Builder {
    /// How many ended tasks keep a row of their own (default 4,096, about 200 bytes each). The
    /// totals of sites always count all tasks.
    pub fn ended_tasks(mut self, count: u64) -> Self {
        self.ended_tasks = count;
        self
    }

    /// How many sites get a row of their own (default 4,096, about 2 kB each). Sites of tasks and
    /// sites of variables each have that many. Later ones share `(other)`.
    pub fn site_rows(mut self, count: u64) -> Self {
        self.site_rows = count;
        self
    }

    /// How many blocks of live variables are followed at one time (default 262,144, 64 bytes each,
    /// allocated as needed). Later ones are only counted.
    pub fn live_variables(mut self, count: u64) -> Self {
        self.live_variables = count;
        self
    }

    /// Whether unannotated Tokio tasks get rows too (default: yes). Each allocation outside of
    /// tracked tasks then asks Tokio which task is current.
    pub fn unannotated(mut self, yes: bool) -> Self {
        self.unannotated = yes;
        self
    }

    /// Whether unannotated Tokio tasks are named by their futures (default: yes). `MEMSCOPE_NAMES`
    /// sets the same without code.
    ///
    /// Memscope looks up one name for each type of task: the symbol of the function that polls it,
    /// or the stack of one of its tasks. A thread of memscope's reads the program's symbol table
    /// for that, once a report was asked for. The first eight reports wait for it, 20 ms at most.
    pub fn name_tasks(mut self, yes: bool) -> Self {
        self.names = yes;
        self
    }

    /// Whether each poll that leaves a task waiting notes at which `.await` it waits (default: no):
    /// [`MemorySnapshot::await_points`]. This needs the feature `layout`, and a program with debug
    /// information about types (`debug = 2`). If that is missing, stderr says so once, and every
    /// snapshot does.
    ///
    /// `init` then reads the debug information, some tenths of a second for a large program, and
    /// keeps the layouts ([`ToolUsage::heap_bytes`](crate::async_memory::ToolUsage::heap_bytes)). A
    /// poll that returns `Pending` takes about 6 ns more if the task waits where it waited after
    /// the poll before. It takes 10 ns more with four functions on the way to the awaited future,
    /// 18 ns more if these are in boxes (`docs/DESIGN.md` names the bench). Without this setting a
    /// poll loads one flag. Once on, it stays on.
    ///
    /// # What is read
    ///
    /// When a poll has returned `Pending`, the polling thread reads in the future at which `.await`
    /// it is. It then continues in the awaited future, through
    ///
    /// - other `async` functions and blocks,
    /// - `Box`, `&mut` and `Pin` of futures,
    /// - the wrappers of the standard library, tokio, futures, tower, axum, hyper, tracing and
    ///   others that are listed in `memscope-runtime/src/await_points/pollers.rs`.
    ///
    /// A future that is written by hand may have lent what it owns to another thread. So the
    /// backtrace ends there, and [`AwaitPoint::stops`](crate::async_memory::AwaitPoint::stops) says
    /// so. If it has only numbers and text besides the future in it, that future is read too, but
    /// nothing behind a pointer. A type of another crate beside it, even one of numbers, may be
    /// what the task waits for: then `stops` names the future with "perhaps". Memscope assumes that
    /// such a type has not lent a part of itself and kept that in a `static` alone. If it has, a
    /// line may be wrong.
    ///
    /// [`MemorySnapshot::await_points`]: crate::async_memory::MemorySnapshot::await_points
    pub fn await_points(mut self, yes: bool) -> Self {
        self.await_points = yes;
        self
    }

    /// Whether [`heap_graph`](crate::async_memory::heap_graph) can say what holds each block
    /// (default: no). `MEMSCOPE_HOLDERS=on` sets the same without code, from the first allocation
    /// on. It needs Linux on a 64-bit processor; elsewhere it does nothing, and `heap_graph` says
    /// so.
    ///
    /// From then on each new block is listed: a bit for 16 bytes of addresses says where it begins.
    /// That takes at most a 128th of the heap
    /// ([`ToolUsage::holder_table_bytes`](crate::async_memory::ToolUsage::holder_table_bytes)).
    /// Other threads that have allocated before list their blocks from their next sample point on.
    /// Blocks from before are counted in the graph, and not looked into. So call this first in
    /// `main`, or use the variable.
    pub fn holders(mut self, yes: bool) -> Self {
        self.holders = yes;
        self
    }

    /// The longest time for which [`heap_graph`](crate::async_memory::heap_graph) may stop the
    /// process (default 250 ms). It estimates the time beforehand from the size of the page tables,
    /// about 25 ms a GiB, and returns an error instead if that is longer.
    pub fn holders_pause(mut self, most: Duration) -> Self {
        self.holders_pause = most;
        self
    }

    /// Whether a [`task_dump`](crate::async_memory::task_dump) has memory of the program in it
    /// (default: no): that of waiting tasks whose place is not known because the program has no
    /// debug information of their types. `MEMSCOPE_DUMP_MEMORY=on` sets the same without code.
    ///
    /// `cargo memscope tasks FILE --debug-file PATH` reads the places from that memory, with debug
    /// information that is elsewhere (`docs/TASKS.md`). The memory is what the tasks' cells have,
    /// and what these lead to, at most 16 MiB. So the dump has what is in variables, secrets too.
    pub fn dump_memory(mut self, yes: bool) -> Self {
        self.dump_memory = yes;
        self
    }

    /// The number of live bytes from which an unannotated task is named (default 1 MiB).
    ///
    /// The allocation that reaches this number walks the task's stack, once: some microseconds. The
    /// name is looked up in the program's symbol table by a thread of memscope's, which the next
    /// snapshot starts. So the snapshots after that one have it, if the program was not stripped.
    #[cfg(all(feature = "symbols", feature = "tokio"))]
    pub fn name_tasks_from(mut self, live_bytes: u64) -> Self {
        self.named_from = live_bytes;
        self
    }

    /// How often the call stack of an allocation is sampled (default: once in 2 MiB, on average).
    ///
    /// A new setting applies to each thread from its next sample on, and to this one at once.
    pub fn stacks(mut self, stacks: Stacks) -> Self {
        self.stacks = stacks;
        self
    }

    /// Which tasks and polls are timed.
    pub fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// The duration from which a timed poll is listed as a long one (default 1 ms). Meanwhile its
    /// worker runs no other task.
    pub fn long_poll(mut self, from: Duration) -> Self {
        self.long_poll = from;
        self
    }

    /// The least time between two points of the timeline (default 1 s). A thread adds them; it also
    /// drains the rings of events. After `init` the first task that is polled or allocates starts
    /// it, and where tasks are annotated it runs only while something happens. With zero there is
    /// no such thread. Then there is one point a snapshot, and snapshots show at most the first
    /// 2,048 events of each thread since the last one.
    ///
    /// While there are events, the thread drains the rings every 100 ms, or more often if the
    /// period is shorter, down to 10 ms. That helps if a report says that events were dropped.
    /// `MEMSCOPE_SAMPLE_EVERY` sets the same without code.
    pub fn sample_every(mut self, period: Duration) -> Self {
        self.sample_every = period;
        self
    }

    /// Checks that all numbers are within their limits, and that what is asked for is compiled in.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let counts = [
            ("ended_tasks", self.ended_tasks, MOST_ENDED_TASKS),
            ("site_rows", self.site_rows, MOST_SITE_ROWS),
            ("live_variables", self.live_variables, MOST_LIVE_VARIABLES),
        ];
        for (setting, count, most) in counts {
            if count == 0 || count > most {
                return Err(Error::setting(setting, count, most));
            }
        }
        if let Stacks::EveryBytes(bytes) = self.stacks
            && !(1..=Stacks::MOST_BYTES).contains(&bytes)
        {
            return Err(Error::setting("stacks", bytes, Stacks::MOST_BYTES));
        }
        if self.await_points && !cfg!(feature = "layout") {
            return Err(Error::feature("await_points", "layout"));
        }
        self.memory.check()
    }

    /// Makes these the settings that the functions below return. Returns whether unannotated tasks
    /// had rows before.
    pub(crate) fn store(&self) -> bool {
        ENDED_TASKS.store(self.ended_tasks, Ordering::Relaxed);
        LAST_PLACE.store(last_place(self.ended_tasks), Ordering::Relaxed);
        SITE_ROWS.store(self.site_rows, Ordering::Relaxed);
        LIVE_VARIABLES.store(self.live_variables, Ordering::Relaxed);
        let looked = UNANNOTATED.swap(u8::from(self.unannotated), Ordering::Relaxed);
        NAMES.store(u8::from(self.names), Ordering::Relaxed);
        #[cfg(all(feature = "symbols", feature = "tokio"))]
        NAMED_FROM.store(self.named_from, Ordering::Relaxed);
        STACKS_EVERY.store(self.stacks.to_number(), Ordering::Relaxed);
        TIMING.store(self.timing.to_number(), Ordering::Relaxed);
        LONG_POLL_NS.store(nanoseconds(self.long_poll), Ordering::Relaxed);
        SAMPLE_EVERY_NS.store(nanoseconds(self.sample_every), Ordering::Relaxed);
        HOLDERS_PAUSE_NS.store(nanoseconds(self.holders_pause), Ordering::Relaxed);
        DUMP_MEMORY.store(u8::from(self.dump_memory), Ordering::Relaxed);
        start_bits::turn(self.holders && HAS_HOLDERS);
        self.memory.store();
        looked != 0
    }

    #[cfg(feature = "layout")]
    pub(crate) fn asks_for_await_points(&self) -> bool {
        self.await_points
    }
}

/// Samples stacks often enough for the small programs that tests are, and keeps the rows of more
/// ended tasks. Settings that are not the defaults stay.
pub(crate) fn suit_tests() {
    let suit = |setting: &AtomicU64, default: u64, suited: u64| {
        let _ = setting.compare_exchange(default, suited, Ordering::Relaxed, Ordering::Relaxed);
    };
    suit(&STACKS_EVERY, Stacks::DEFAULT.to_number(), STACKS_OF_TESTS);
    suit(&ENDED_TASKS, DEFAULT_ENDED_TASKS, ENDED_TASKS_OF_TESTS);
    LAST_PLACE.store(last_place(ended_tasks()), Ordering::Relaxed);
}

/// The index of the last place for a row of an ended task.
#[inline]
pub(crate) fn last_ended_place() -> u32 {
    LAST_PLACE.load(Ordering::Relaxed)
}

/// PERF: the number of places is a power of two, though fewer rows may be kept. That saves a
/// division.
#[expect(clippy::cast_possible_truncation, reason = "there are at most 2^20")]
const fn last_place(ended_tasks: u64) -> u32 {
    (ended_tasks.next_power_of_two() - 1) as u32
}

pub(crate) fn ended_tasks() -> u64 {
    ENDED_TASKS.load(Ordering::Relaxed)
}

pub(crate) fn site_rows() -> u64 {
    SITE_ROWS.load(Ordering::Relaxed)
}

pub(crate) fn live_variables() -> u64 {
    LIVE_VARIABLES.load(Ordering::Relaxed)
}

/// The number of live bytes from which an unannotated task is named.
#[cfg(all(feature = "symbols", feature = "tokio"))]
#[inline]
pub(crate) fn named_from() -> i64 {
    i64::try_from(NAMED_FROM.load(Ordering::Relaxed)).unwrap_or(i64::MAX)
}

/// The longest pause of a picture of the heap.
#[allow(dead_code, reason = "for pictures of the heap, which are taken on Linux alone")]
pub(crate) fn holders_pause() -> Duration {
    Duration::from_nanos(HOLDERS_PAUSE_NS.load(Ordering::Relaxed))
}

/// Whether a dump of tasks has memory with it.
#[allow(dead_code, reason = "for dumps of tasks, which are made on Linux alone")]
pub(crate) fn dump_memory() -> bool {
    DUMP_MEMORY.load(Ordering::Relaxed) != 0
}

/// Whether unannotated Tokio tasks are named.
#[cfg(feature = "tokio")]
#[inline]
pub(crate) fn names() -> bool {
    cfg!(feature = "symbols") && NAMES.load(Ordering::Relaxed) != 0
}

/// Whether unannotated Tokio tasks get rows.
#[inline]
pub(crate) fn unannotated() -> bool {
    cfg!(feature = "tokio") && UNANNOTATED.load(Ordering::Relaxed) != 0
}

/// The mean number of bytes between two samples of stacks; 0: none are taken.
pub(crate) fn stacks_every() -> u64 {
    STACKS_EVERY.load(Ordering::Relaxed)
}

/// Which polls are timed of the task that comes after `earlier` others of its site.
// PERF: the default is asked for first, without a look at what else the number may say.
#[inline]
pub(crate) fn sampling(earlier: u64) -> Sampling {
    let number = TIMING.load(Ordering::Relaxed);
    if number == const { Timing::Sampled.to_number() } {
        return Timing::Sampled.sampling(earlier);
    }
    Timing::from_number(number).sampling(earlier)
}

pub(crate) fn timing() -> Timing {
    Timing::from_number(TIMING.load(Ordering::Relaxed))
}

/// The duration from which a poll is a long one.
pub(crate) fn long_poll_ns() -> u64 {
    LONG_POLL_NS.load(Ordering::Relaxed)
}

/// The least time between two samples that the collector takes; 0: it has no thread.
pub(crate) fn sample_every_ns() -> u64 {
    SAMPLE_EVERY_NS.load(Ordering::Relaxed)
}

#[expect(clippy::cast_possible_truncation, reason = "584 years are enough")]
const fn nanoseconds(duration: Duration) -> u64 {
    let nanoseconds = duration.as_nanos();
    if nanoseconds > u64::MAX as u128 { u64::MAX } else { nanoseconds as u64 }
}
