//! Settings, as data: what a program may choose before it tracks anything.

use std::time::Duration;

use crate::{
    model::Error,
    primitives::sync::{AtomicU8, AtomicU64, Ordering},
    sampling::Timing,
};

/// Whether tracking is compiled in.
pub(crate) const ENABLED: bool = cfg!(feature = "enabled");

static ENDED_TASKS: AtomicU64 = AtomicU64::new(4_096);
static SITE_ROWS: AtomicU64 = AtomicU64::new(4_096);
static LIVE_VARIABLES: AtomicU64 = AtomicU64::new(1 << 18);
static UNANNOTATED: AtomicU8 = AtomicU8::new(1);
#[cfg(feature = "task-names")]
static NAMED_FROM: AtomicU64 = AtomicU64::new(1 << 20);
static TIMING: AtomicU64 = AtomicU64::new(Timing::Sampled.to_number());
static LONG_POLL_NS: AtomicU64 = AtomicU64::new(nanoseconds(LONG_POLL));
static SAMPLE_EVERY_NS: AtomicU64 = AtomicU64::new(nanoseconds(SAMPLE_EVERY));

const LONG_POLL: Duration = Duration::from_millis(1);
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// The most rows that can be asked for. The sites' table has 65,472 slots, and probes want it to
/// stay far from full.
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
#[derive(Clone, Debug)]
#[must_use = "settings are applied by `init`"]
pub struct Builder {
    ended_tasks: u64,
    site_rows: u64,
    live_variables: u64,
    unannotated: bool,
    await_points: bool,
    #[cfg(feature = "task-names")]
    named_from: u64,
    timing: Timing,
    long_poll: Duration,
    sample_every: Duration,
}

impl Default for Builder {
    /// The defaults, whatever the environment says.
    fn default() -> Self {
        Self {
            ended_tasks: 4_096,
            site_rows: 4_096,
            live_variables: 1 << 18,
            unannotated: true,
            await_points: false,
            #[cfg(feature = "task-names")]
            named_from: 1 << 20,
            timing: Timing::default(),
            long_poll: LONG_POLL,
            sample_every: SAMPLE_EVERY,
        }
    }
}

impl Builder {
    /// How many ended tasks keep a row of their own (default 4,096, about 200 bytes each); sites
    /// stay whole for ever.
    pub fn ended_tasks(mut self, count: u64) -> Self {
        self.ended_tasks = count;
        self
    }

    /// How many sites, of tasks and of variables each, get a row of their own (default 4,096, about
    /// 2 kB each); those that come later share `(other)`.
    pub fn site_rows(mut self, count: u64) -> Self {
        self.site_rows = count;
        self
    }

    /// How many blocks of live variables are followed at one time (default 262,144, 64 bytes each,
    /// taken as they are needed); those that come later are only counted.
    pub fn live_variables(mut self, count: u64) -> Self {
        self.live_variables = count;
        self
    }

    /// Whether Tokio tasks that nobody annotated get rows too (default: yes). It costs what Tokio
    /// needs to say which task is current, at each allocation outside of tracked tasks.
    pub fn unannotated(mut self, yes: bool) -> Self {
        self.unannotated = yes;
        self
    }

    /// Whether each poll that leaves a task waiting notes at which `.await` that is (default: no):
    /// [`MemorySnapshot::await_points`]. It needs the feature `layout`, and a program with debug
    /// information about types (`debug = 2`); where that is missing, it is said once on stderr, and
    /// in every snapshot.
    ///
    /// `init` then reads the debug information, some tenths of a second for a large program, and
    /// keeps the layouts ([`ToolUsage::heap_bytes`](crate::async_memory::ToolUsage::heap_bytes)). A
    /// poll that returns `Pending` takes about 6 ns more where it waits as after the poll before,
    /// 10 with four functions on the way to what it waits for, 18 where these are in boxes
    /// (`docs/DESIGN.md` names the bench); without this setting, a load of a flag. Once on, it
    /// stays on.
    ///
    /// # What is read
    ///
    /// When a poll has returned `Pending`, the thread that polled reads in the future which
    /// `.await` it is at, and goes on in what is awaited there: other `async` functions and blocks;
    /// `Box`, `&mut` and `Pin` of futures; and the wrappers of the standard library, tokio,
    /// futures, tower, axum, hyper, tracing and others that are listed in
    /// `memscope-runtime/src/waits/known.rs`. A future that is written by hand may have lent what
    /// it owns to another thread, so there the backtrace ends, and
    /// [`AwaitPoint::stops`](crate::async_memory::AwaitPoint::stops) says so. If it has only
    /// numbers and text besides the future in it, that future is read too, and nothing behind a
    /// pointer. It is assumed that such a type has not lent a part of itself and kept that in a
    /// `static` alone; if it has, a line may be wrong.
    ///
    /// [`MemorySnapshot::await_points`]: crate::async_memory::MemorySnapshot::await_points
    pub fn await_points(mut self, yes: bool) -> Self {
        self.await_points = yes;
        self
    }

    /// From how many live bytes on an unannotated task is named (default 1 MiB).
    ///
    /// Then the task's stack is walked once, in the allocation that makes it so large: some
    /// microseconds. The next snapshot finds the name in the program's symbols, which takes longer,
    /// and needs that they were not stripped.
    #[cfg(feature = "task-names")]
    pub fn name_tasks_from(mut self, live_bytes: u64) -> Self {
        self.named_from = live_bytes;
        self
    }

    /// Which tasks and polls are timed.
    pub fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// From which duration on a timed poll is listed as a long one (default 1 ms): meanwhile its
    /// worker runs no other task.
    pub fn long_poll(mut self, from: Duration) -> Self {
        self.long_poll = from;
        self
    }

    /// How often a point is added to the timeline, at the most (default 1 s), by a thread that also
    /// drains the rings of events. It is started by the first task that is polled after `init`, and
    /// is there only while something happens. Zero: no such thread; then there is one point a
    /// snapshot, and of what happens between two snapshots the first 2,048 events of each thread
    /// are seen.
    ///
    /// While there are events, the thread drains the rings every 100 ms, and more often where the
    /// period is shorter, down to 10 ms: that helps where a report says that events were dropped.
    /// `MEMSCOPE_SAMPLE_EVERY` says the same without code.
    pub fn sample_every(mut self, period: Duration) -> Self {
        self.sample_every = period;
        self
    }

    /// Whether all counts are within their limits, and what is asked for is compiled in.
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
        if self.await_points && !cfg!(feature = "layout") {
            return Err(Error::feature("await_points", "layout"));
        }
        Ok(())
    }

    /// Makes these the settings that the functions below return. Returns whether unannotated tasks
    /// got rows before.
    pub(crate) fn store(&self) -> bool {
        ENDED_TASKS.store(self.ended_tasks, Ordering::Relaxed);
        SITE_ROWS.store(self.site_rows, Ordering::Relaxed);
        LIVE_VARIABLES.store(self.live_variables, Ordering::Relaxed);
        let looked = UNANNOTATED.swap(u8::from(self.unannotated), Ordering::Relaxed);
        #[cfg(feature = "task-names")]
        NAMED_FROM.store(self.named_from, Ordering::Relaxed);
        TIMING.store(self.timing.to_number(), Ordering::Relaxed);
        LONG_POLL_NS.store(nanoseconds(self.long_poll), Ordering::Relaxed);
        SAMPLE_EVERY_NS.store(nanoseconds(self.sample_every), Ordering::Relaxed);
        looked != 0
    }

    #[cfg(feature = "layout")]
    pub(crate) fn asks_for_await_points(&self) -> bool {
        self.await_points
    }
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

/// The live bytes from which on an unannotated task is named.
#[cfg(feature = "task-names")]
#[inline]
pub(crate) fn named_from() -> i64 {
    i64::try_from(NAMED_FROM.load(Ordering::Relaxed)).unwrap_or(i64::MAX)
}

/// Whether tasks are looked for that nobody annotated.
#[inline]
pub(crate) fn unannotated() -> bool {
    cfg!(feature = "tokio") && UNANNOTATED.load(Ordering::Relaxed) != 0
}

pub(crate) fn timing() -> Timing {
    Timing::from_number(TIMING.load(Ordering::Relaxed))
}

/// From which duration on a poll is a long one.
pub(crate) fn long_poll_ns() -> u64 {
    LONG_POLL_NS.load(Ordering::Relaxed)
}

/// The least distance of two samples that the collector takes; 0: it has no thread.
pub(crate) fn sample_every_ns() -> u64 {
    SAMPLE_EVERY_NS.load(Ordering::Relaxed)
}

#[expect(clippy::cast_possible_truncation, reason = "584 years are enough")]
const fn nanoseconds(duration: Duration) -> u64 {
    let nanoseconds = duration.as_nanos();
    if nanoseconds > u64::MAX as u128 { u64::MAX } else { nanoseconds as u64 }
}
