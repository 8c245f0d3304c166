//! Await points: the places where tasks wait, as plain data for the rows of a snapshot.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    human::is_of_library,
    state_machine::LocalProfile,
    text::{MOST_NAME, cell, path_end},
};
use crate::primitives::order;

/// A chain of `.await`s at which tasks wait, and what these tasks hold.
///
/// [`TaskMemoryProfile::await_point`](crate::async_memory::TaskMemoryProfile::await_point) names
/// the one of each task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwaitPoint {
    /// The async backtrace, the outermost function first. Empty if not even the task's own future
    /// could be read.
    pub frames: Vec<AwaitFrame>,
    /// Why the backtrace ends: what is awaited at last, or what cannot be read.
    pub stops: String,
    /// In a dump of tasks: where each of several concurrent futures waits, such as those of
    /// `tokio::select!` and `join!`. If `stops` says that futures are perhaps awaited, they are
    /// listed here too. Empty if there is only one future, and in other reports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub branches: Vec<AwaitBranch>,
    /// Tasks that wait here.
    pub tasks: u64,
    /// Whether `live_bytes` is measured; if not, it is 0 and means nothing.
    pub measured: bool,
    /// Bytes that these tasks hold now.
    pub live_bytes: u64,
    /// The size of their futures; the largest if there are several types.
    pub future_size_bytes: u64,
    /// Of `tasks`, those whose waiting time is measured.
    pub timed: u64,
    /// Nanoseconds since their last polls, summed over the timed tasks: see
    /// [`TaskMemoryProfile::idle_ns`](crate::async_memory::TaskMemoryProfile::idle_ns).
    pub waited_sum_ns: u64,
    /// Nanoseconds that half of the timed tasks have waited at most; `None` if none is timed.
    pub waited_p50_ns: Option<u64>,
    /// Nanoseconds that 99 of 100 of them have waited at most.
    pub waited_p99_ns: Option<u64>,
}

/// How [`AwaitBranch::stops`] begins where the branches are the futures of a list.
pub(crate) const FUTURES_IN: &str = "waits for the futures in ";

/// Where one of several concurrent futures is suspended, or a future that is perhaps awaited.
/// Futures of a list that are suspended at the same place are one branch.
///
/// A disabled branch of `tokio::select!` is not listed: its `if` was false, or its pattern did not
/// match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwaitBranch {
    /// Its async backtrace, below that of the await point.
    pub frames: Vec<AwaitFrame>,
    /// Why the backtrace ends.
    pub stops: String,
    /// Its own branches, if it has several futures itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub branches: Vec<Self>,
    /// How many futures of a list, such as `FuturesUnordered` or `join_all`, are suspended here. 1
    /// if the branch is no list.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub futures: u64,
}

/// The value of `futures` in a file that does not contain it.
const fn one() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_one(futures: &u64) -> bool {
    *futures == 1
}

/// One function of an async backtrace, and the `.await` in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AwaitFrame {
    /// The function, block or closure.
    pub function: String,
    /// The file of the `.await`; empty if debug information does not name it.
    pub file: String,
    /// The line there. For an `.await` that a macro has written, it is the line of the macro's call
    /// if the macro is another crate's, such as `select!`. Otherwise it is a line of the macro
    /// itself. A `for await` in `async_stream::stream!` is at a line of that crate.
    pub line: u32,
    /// The size of its state machine in bytes, including the futures that it awaits.
    pub size_bytes: u64,
    /// At most five values that it keeps across this `.await`, the largest first. The awaited
    /// future is not among them.
    pub locals: Vec<LocalProfile>,
}

impl AwaitPoint {
    /// The innermost `.await` in the program's own code, and the next one above it there. If there
    /// are only `.await`s of libraries, the innermost two of those.
    ///
    /// Code is a library's if its file is where Cargo keeps the sources of dependencies, or of the
    /// standard library.
    pub fn own(&self) -> (Option<&AwaitFrame>, Option<&AwaitFrame>) {
        let mut own = self.frames.iter().rev().filter(|frame| frame.is_own());
        match own.next() {
            Some(at) => (Some(at), own.next()),
            None => (self.frames.last(), self.frames.iter().nth_back(1)),
        }
    }

    /// The `.await` at which the tasks wait: the last of `frames`.
    pub fn innermost(&self) -> Option<&AwaitFrame> {
        self.frames.last()
    }

    /// At most five of the largest values that all of its functions keep across it. Each has the
    /// index of its function in `frames`.
    pub fn largest_locals(&self) -> Vec<(usize, &LocalProfile)> {
        let frames = self.frames.iter().enumerate();
        let mut locals: Vec<_> = frames
            .flat_map(|(place, frame)| frame.locals.iter().map(move |it| (place, it)))
            .collect();
        order::by_key(&mut locals, |(place, local)| (std::cmp::Reverse(local.bytes), *place));
        locals.truncate(5);
        locals
    }

    /// Sets the waiting times of the tasks that are timed.
    #[cfg(feature = "layout")]
    pub(crate) fn note_waits(&mut self, mut waited_ns: Vec<u64>) {
        [self.waited_p50_ns, self.waited_p99_ns] = p50_and_p99(&mut waited_ns);
        self.timed = waited_ns.len() as u64;
        self.waited_sum_ns = waited_ns.iter().fold(0, |sum, ns| sum.saturating_add(*ns));
    }
}

impl AwaitFrame {
    /// Whether it is the program's own code: see [`AwaitPoint::own`].
    pub(crate) fn is_own(&self) -> bool {
        !self.file.is_empty() && !is_of_library(&self.file)
    }
}

/// A line of the tree of await points: an `.await` above others, or the last one of a chain.
///
/// A line above others has the sums of the lines below it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AwaitNode<'s> {
    /// How many lines stand above it, one inside the other.
    pub depth: usize,
    /// The function, block or closure. Empty if not even the task's own future could be read.
    pub function: &'s str,
    /// The file of the `.await`; empty if debug information does not name it.
    pub file: &'s str,
    /// The line there.
    pub line: u32,
    /// The index of the await point whose tasks wait here, among
    /// [`await_points`](crate::async_memory::MemorySnapshot::await_points). `None` for a line above
    /// others.
    pub point: Option<usize>,
    /// Tasks that wait here or below.
    pub tasks: u64,
    /// Whether `live_bytes` is measured; if not, it means nothing.
    pub measured: bool,
    /// Bytes that these tasks hold now.
    pub live_bytes: u64,
    /// The size of their futures; the largest if there are several types.
    pub future_size_bytes: u64,
    /// Of `tasks`, those whose waiting time is measured.
    pub timed: u64,
    /// Nanoseconds since their last polls, summed over the timed ones.
    pub waited_sum_ns: u64,
    /// Nanoseconds that half of the timed tasks have waited at most.
    ///
    /// For a line above others it is measured from the rows of their tasks. `None` if none is
    /// timed, or if the snapshot lacks some of these rows, as in a part of a report.
    pub waited_p50_ns: Option<u64>,
    /// Nanoseconds that 99 of 100 of them have waited at most; `None` as above.
    pub waited_p99_ns: Option<u64>,
}

/// The 50th and the 99th percentile of the values; `None` if there are none.
pub(crate) fn p50_and_p99(values: &mut [u64]) -> [Option<u64>; 2] {
    values.sort_unstable();
    [50, 99].map(|percent| {
        let rank = (values.len() * percent).div_ceil(100);
        values.get(rank.max(1) - 1).copied()
    })
}

/// The innermost place in the [program's own code](AwaitPoint::own) and the one above it:
/// `src/db.rs:88 under src/handler.rs:31`.
impl fmt::Display for AwaitPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.own() {
            (Some(at), Some(above)) => write!(f, "{at} under {above}"),
            (Some(at), None) => write!(f, "{at}"),
            (None, _) => f.write_str("(not known)"),
        }
    }
}

/// Its place: `src/db.rs:88`.
impl fmt::Display for AwaitFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.file.is_empty() {
            return f.write_str(&cell(&self.function, MOST_NAME));
        }
        write!(f, "{}:{}", path_end(&self.file, MOST_NAME), self.line)
    }
}

/// Whether the await points of tasks are known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AwaitPoints {
    /// They were not asked for: see [`Builder::await_points`](crate::Builder::await_points).
    #[default]
    Off,
    /// They are known, of tasks whose last poll ended after they were asked for.
    On,
    /// They were asked for but cannot be known. The text says why, and what to do.
    Unavailable(String),
}
