//! Cases: the loops and the questions about memory that are measured.

use serde::{Deserialize, Serialize};

/// One loop, or one question about memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Case {
    /// 64 bytes allocated and freed.
    Pair,
    /// A thousand blocks of 16 to 4,096 bytes allocated, then all freed.
    Mixed,
    /// A vector grown to 64 words by pushing.
    Growth,
    /// 64 MiB zeroed, and freed untouched.
    Zeroed64m,
    /// 1 MiB zeroed, and freed untouched.
    Zeroed1m,
    /// `Pair` on two threads at once.
    TwoThreads,
    /// Blocks of 64 bytes allocated by one thread and freed by another.
    HandOver,
    /// 64 bytes allocated in one poll of a spawned task and freed in the next.
    InTask,
    /// A poll by Tokio's scheduler.
    Poll,
    /// A poll as a bare call.
    PollByHand,
    /// An empty task spawned and joined.
    Spawn,
    /// A call that returns the id of the current task.
    CurrentTask,
    /// Resident bytes for each of many live blocks of 24 bytes.
    Block24,
    /// The same for 100 bytes.
    Block100,
    /// The same for every size from 8 to 512 bytes in turn.
    BlockMean,
    /// The same for buffers of 4 KiB.
    Buffer4k,
    /// The same for 64 KiB.
    Buffer64k,
    /// The same for 1 MiB.
    Buffer1m,
    /// Resident bytes for each of many tasks that wait.
    LiveTask,
    /// Resident bytes for each of many threads that have allocated.
    Thread,
    /// Resident bytes that are left of a million tasks.
    MillionTasks,
}

/// What a case is about: a table for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nanoseconds of an allocation and its free.
    Allocation,
    /// Nanoseconds around tasks.
    Task,
    /// Resident bytes of blocks.
    Blocks,
    /// Resident bytes of tasks and threads.
    Tasks,
}

impl Case {
    /// All, in the order of the tables.
    pub const ALL: [Self; 21] = [
        Self::Pair,
        Self::Mixed,
        Self::Growth,
        Self::Zeroed1m,
        Self::Zeroed64m,
        Self::TwoThreads,
        Self::HandOver,
        Self::InTask,
        Self::Poll,
        Self::PollByHand,
        Self::Spawn,
        Self::CurrentTask,
        Self::Block24,
        Self::Block100,
        Self::BlockMean,
        Self::Buffer4k,
        Self::Buffer64k,
        Self::Buffer1m,
        Self::LiveTask,
        Self::Thread,
        Self::MillionTasks,
    ];

    /// The table it is in.
    pub const fn kind(self) -> Kind {
        match self {
            Self::Pair
            | Self::Mixed
            | Self::Growth
            | Self::Zeroed64m
            | Self::Zeroed1m
            | Self::TwoThreads
            | Self::HandOver
            | Self::InTask => Kind::Allocation,
            Self::Poll | Self::PollByHand | Self::Spawn | Self::CurrentTask => Kind::Task,
            Self::Block24
            | Self::Block100
            | Self::BlockMean
            | Self::Buffer4k
            | Self::Buffer64k
            | Self::Buffer1m => Kind::Blocks,
            Self::LiveTask | Self::Thread | Self::MillionTasks => Kind::Tasks,
        }
    }

    /// As the head of a column.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Pair => "64 B pair",
            Self::Mixed => "mixed batch",
            Self::Growth => "growth by push",
            Self::Zeroed64m => "zeroed 64 MiB",
            Self::Zeroed1m => "zeroed 1 MiB",
            Self::TwoThreads => "two threads",
            Self::HandOver => "freed elsewhere",
            Self::InTask => "in a task",
            Self::Poll => "poll by Tokio",
            Self::PollByHand => "poll by hand",
            Self::Spawn => "spawn + join",
            Self::CurrentTask => "current task",
            Self::Block24 => "24 B",
            Self::Block100 => "100 B",
            Self::BlockMean => "8…512 B, mean",
            Self::Buffer4k => "4 KiB",
            Self::Buffer64k => "64 KiB",
            Self::Buffer1m => "1 MiB",
            Self::LiveTask => "a live task",
            Self::Thread => "a thread",
            Self::MillionTasks => "left of 1,000,000 tasks",
        }
    }

    /// As on the command line.
    ///
    /// # Panics
    ///
    /// Never: a case has a name.
    pub fn name(self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::String(name)) => name,
            _ => unreachable!("a unit variant is a string"),
        }
    }

    /// The case of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|case| case.name() == name)
    }
}
