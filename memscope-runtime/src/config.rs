//! What a program may choose before it tracks anything.

use crate::{
    clock,
    current::ENABLED,
    error::Error,
    settings,
    sync::{AtomicU8, AtomicU64, Ordering},
};

static ENDED_TASKS: AtomicU64 = AtomicU64::new(4_096);
static SITE_ROWS: AtomicU64 = AtomicU64::new(4_096);
static LIVE_VARIABLES: AtomicU64 = AtomicU64::new(1 << 18);
static UNANNOTATED: AtomicU8 = AtomicU8::new(1);
#[cfg(feature = "task-names")]
static NAMED_FROM: AtomicU64 = AtomicU64::new(1 << 20);
static TIMING: AtomicU8 = AtomicU8::new(Timing::Sampled as u8);

/// The most rows that can be asked for. The sites' table has 65,472 slots, and probes want it to stay
/// far from full.
const MOST_ENDED_TASKS: u64 = 1 << 20;
const MOST_SITE_ROWS: u64 = 1 << 14;
const MOST_LIVE_VARIABLES: u64 = 1 << 26;

/// Which tasks and polls are timed. Counting is always exact; a clock read costs as much as a poll.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Timing {
    /// No clock is read: `busy_ns` and `wait_ns` are `None`, average waits NaN.
    Off,
    /// The first 256 tasks of a site, then one in 16; of each the first 64 polls, then one in 64.
    #[default]
    Sampled,
    /// Every task; of each the first 64 polls, then one in 64.
    EveryTask,
}

impl Timing {
    /// Whether the task that comes after `earlier` others of its site is timed.
    #[inline]
    pub(crate) fn times(self, earlier: u64) -> bool {
        match self {
            Self::Off => false,
            Self::Sampled => earlier < 256 || earlier.is_multiple_of(16),
            Self::EveryTask => true,
        }
    }
}

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
    #[cfg(feature = "task-names")]
    named_from: u64,
    timing: Timing,
}

/// The settings of the environment (`MEMSCOPE_*`), or else the defaults; to be changed before [`Builder::init`].
pub fn builder() -> Builder {
    settings::environment().builder.clone()
}

impl Default for Builder {
    /// The defaults, whatever the environment says.
    fn default() -> Self {
        Self {
            ended_tasks: 4_096,
            site_rows: 4_096,
            live_variables: 1 << 18,
            unannotated: true,
            #[cfg(feature = "task-names")]
            named_from: 1 << 20,
            timing: Timing::default(),
        }
    }
}

impl Builder {
    /// How many ended tasks keep a row of their own (default 4,096, about 200 bytes each); sites stay whole for ever.
    pub fn ended_tasks(mut self, count: u64) -> Self {
        self.ended_tasks = count;
        self
    }

    /// How many sites, of tasks and of variables each, get a row of their own (default 4,096, about 2 kB each); those that come later share
    /// `(other)`.
    pub fn site_rows(mut self, count: u64) -> Self {
        self.site_rows = count;
        self
    }

    /// How many blocks of live variables are followed at one time (default 262,144, 64 bytes each, taken as they are needed); those that come later are
    /// only counted.
    pub fn live_variables(mut self, count: u64) -> Self {
        self.live_variables = count;
        self
    }

    /// Whether Tokio tasks that nobody annotated get rows too (default: yes). It costs what Tokio needs to say which task is current, at each
    /// allocation outside of tracked tasks.
    pub fn unannotated(mut self, yes: bool) -> Self {
        self.unannotated = yes;
        self
    }

    /// From how many live bytes on an unannotated task is named (default 1 MiB).
    ///
    /// Then the task's stack is walked once, in the allocation that makes it so large: some microseconds. The next snapshot finds the name in the
    /// program's symbols, which takes longer, and needs that they were not stripped.
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

    /// Applies the settings and fixes the start time.
    ///
    /// Tasks that ran before keep what they have; with fewer `ended_tasks` than before, rows past the new number are not
    /// shown any more.
    ///
    /// # Errors
    ///
    /// When `ended_tasks` is not in 1..=1,048,576, `site_rows` not in 1..=16,384 or `live_variables` not in
    /// 1..=67,108,864; then nothing is changed.
    pub fn init(self) -> Result<(), Error> {
        self.check()?;
        init();
        self.apply();
        Ok(())
    }

    /// Whether all counts are within their limits.
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
        Ok(())
    }

    pub(crate) fn apply(&self) {
        ENDED_TASKS.store(self.ended_tasks, Ordering::Relaxed);
        SITE_ROWS.store(self.site_rows, Ordering::Relaxed);
        LIVE_VARIABLES.store(self.live_variables, Ordering::Relaxed);
        UNANNOTATED.store(u8::from(self.unannotated), Ordering::Relaxed);
        #[cfg(feature = "task-names")]
        NAMED_FROM.store(self.named_from, Ordering::Relaxed);
        TIMING.store(self.timing as u8, Ordering::Relaxed);
    }
}

/// Fixes the start time that throughput is counted from. Tracking works without; a second call does nothing.
///
/// ```
/// memscope_runtime::init();
/// ```
pub fn init() {
    if ENABLED {
        settings::start();
        clock::start();
    }
}

/// [`init`] for an async `main`.
///
/// # Errors
///
/// None today: the `Result` is room for checks that may fail one day.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// memscope_runtime::async_memory::initialize().await?;
/// # Ok::<(), memscope_runtime::Error>(())
/// # }).unwrap();
/// ```
pub async fn initialize() -> Result<(), Error> {
    init();
    Ok(())
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
    match TIMING.load(Ordering::Relaxed) {
        0 => Timing::Off,
        1 => Timing::Sampled,
        _ => Timing::EveryTask,
    }
}
