//! How many threads are inside a span, and which one of them may write its record.

use crate::primitives::sync::{AtomicU64, Ordering};

/// The state of a span, in one word.
///
/// A record has one writer at a time. The thread that holds the *turn* is that writer; the others
/// that are inside are *guests*. The turn is also what begins an interval of being entered (the
/// first thread in) and what ends it (the last one out), so that both happen once, in order, and
/// with plain stores.
#[derive(Debug)]
pub(crate) struct Inside(AtomicU64);

/// Entries that have not been left.
const INSIDE: u64 = (1 << 24) - 1;
/// One entry that was left under a guard, which still saves a pointer to the span: see `entries`.
const BURIED: u64 = 1 << 24;
/// All of these.
const ALL_BURIED: u64 = INSIDE << 24;
/// A thread holds the turn.
const TURN: u64 = 1 << 48;
/// The span is closed: nothing enters it any more.
const OVER: u64 = 1 << 49;
/// What it counted is written down.
const WRITTEN: u64 = 1 << 50;

/// How a thread is inside a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Role {
    /// It holds the turn, and gives it back when it leaves.
    Writer,
    /// It holds the turn by an earlier entry that it has not left.
    Again,
    /// Another thread held the turn.
    Guest,
}

/// What begins and ends while the turn is held.
pub(crate) trait Interval {
    /// No entry is left: the interval is over.
    fn stop(&self);
    /// Another thread came in while it was stopped: it goes on.
    fn resume(&self);
}

impl Inside {
    #[allow(dead_code, reason = "pools make it out of zeroed memory; the loom models make it so")]
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Puts the word into use for a new span, which no other thread knows yet.
    pub(crate) fn open(&self) {
        self.0.store(0, Ordering::Release);
    }

    /// Counts an entry. Returns how the thread is inside, and whether the interval begins with it;
    /// `None` where the span is closed. `is_mine` tells whether this thread holds the turn; asked
    /// if one does.
    pub(crate) fn enter(&self, is_mine: impl Fn() -> bool) -> Option<(Role, bool)> {
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            if word & OVER != 0 || word & INSIDE == INSIDE {
                return None;
            }
            let role = match word & TURN {
                0 => Role::Writer,
                _ if is_mine() => Role::Again,
                _ => Role::Guest,
            };
            let turn = if role == Role::Writer { TURN } else { 0 };
            // Acquire pairs with the Release in `leave`: the writer sees all that the last one
            // counted.
            match self.0.compare_exchange_weak(
                word,
                (word + 1) | turn,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some((role, word & INSIDE == 0)),
                Err(now) => word = now,
            }
        }
    }

    /// Takes an entry back. `is_buried`: a pointer to the span stays until
    /// [`unbury`](Self::unbury). Returns whether the span is closed and this was its last entry:
    /// the caller writes it down.
    pub(crate) fn leave(&self, role: Role, is_buried: bool, interval: &impl Interval) -> bool {
        let (mut holds_turn, mut is_stopped) = (role == Role::Writer, false);
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let is_last = word & INSIDE == 1;
            if is_last && !holds_turn {
                // A guest. Acquire: as in `enter`.
                match self.0.compare_exchange_weak(
                    word,
                    word | TURN,
                    Ordering::Acquire,
                    Ordering::Relaxed,
                ) {
                    Ok(_) => (holds_turn, word) = (true, word | TURN),
                    Err(now) => word = now,
                }
                continue;
            }
            if is_last != is_stopped {
                if is_last {
                    interval.stop();
                } else {
                    interval.resume();
                }
                is_stopped = is_last;
            }
            let turn = if holds_turn { TURN } else { 0 };
            let buried = if is_buried { BURIED } else { 0 };
            let next = ((word - 1) & !turn) + buried;
            // Release: the next writer, and the thread that writes the span down, see all that was
            // counted. Acquire: this may be that thread. Pairs with itself, `enter` and `close`.
            match self.0.compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return next & OVER != 0 && next & INSIDE == 0,
                Err(now) => word = now,
            }
        }
    }

    /// Closes the span. Returns whether no thread is inside: the caller writes it down.
    pub(crate) fn close(&self) -> bool {
        // Acquire pairs with the Release in `leave`.
        self.0.fetch_or(OVER, Ordering::AcqRel) & INSIDE == 0
    }

    /// Notes that the span is written down. Returns whether no pointer to it is left.
    pub(crate) fn written(&self) -> bool {
        // AcqRel pairs with the other one in `unbury`: the one that comes second sees what was done
        // before.
        self.0.fetch_or(WRITTEN, Ordering::AcqRel) & ALL_BURIED == 0
    }

    /// Takes a buried entry back. Returns whether the span is written down and this was the last
    /// one.
    pub(crate) fn unbury(&self) -> bool {
        // AcqRel: as in `written`.
        let word = self.0.fetch_sub(BURIED, Ordering::AcqRel) - BURIED;
        word & WRITTEN != 0 && word & ALL_BURIED == 0
    }
}
