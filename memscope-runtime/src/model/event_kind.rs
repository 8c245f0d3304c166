//! The kinds of events.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum EventKind {
    /// The task started: it was polled for the first time, or dropped before that.
    Spawned,
    /// Its future returned `Ready`.
    Completed,
    /// Its future was dropped before it completed.
    Cancelled,
    /// Its future panicked while it was polled.
    Panicked,
    /// It allocated a block of a mebibyte or more.
    LargeBlock,
    /// A timed poll of it took long (see [`Builder::long_poll`](crate::Builder::long_poll)).
    LongPoll,
    /// A poll left it above its budget.
    OverBudget,
}

impl EventKind {
    pub(crate) const ALL: [Self; 7] = [
        Self::Spawned,
        Self::Completed,
        Self::Cancelled,
        Self::Panicked,
        Self::LargeBlock,
        Self::LongPoll,
        Self::OverBudget,
    ];
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Spawned => "spawned",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Panicked => "panicked",
            Self::LargeBlock => "large block",
            Self::LongPoll => "long poll",
            Self::OverBudget => "over budget",
        })
    }
}
