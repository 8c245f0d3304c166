//! How many threads are inside a span, and which of them may write its record.

use crate::primitives::sync::{AtomicU64, Ordering};

/// The state of a span, in one word.
///
/// A record has one writer at a time. The thread that holds the *turn* is that writer, and the
/// other threads inside are *guests*.
///
/// The turn also guards the interval in which the span is entered. The first thread in begins the
/// interval, and the last one out ends it. So both happen once, in order, and with plain stores.
#[derive(Debug)]
pub(crate) struct Inside(AtomicU64);

/// The number of entries that have not been left.
const INSIDE: u64 = (1 << 24) - 1;
/// One buried entry: it was left under a guard, which still saves a pointer to the span. See
/// `alloc::span_entries`.
const BURIED: u64 = 1 << 24;
/// The number of buried entries.
const ALL_BURIED: u64 = INSIDE << 24;
/// Flag: a thread holds the turn.
const TURN: u64 = 1 << 48;
/// Flag: the span is closed, and no thread can enter it any more.
const OVER: u64 = 1 << 49;
/// Flag: what the span counted is written down.
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
    /// Ends the interval: no entry is left.
    fn stop(&self);
    /// Continues the interval: another thread came in after `stop`.
    fn resume(&self);
}

impl Inside {
    #[allow(dead_code, reason = "pools make it out of zeroed memory; the loom models make it so")]
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Resets the word for a new span, which no other thread knows yet.
    pub(crate) fn open(&self) {
        self.0.store(0, Ordering::Release);
    }

    /// Counts an entry. Returns the thread's role, and whether the interval begins with this entry.
    /// Returns `None` if the span is closed or has too many entries. `is_mine` says whether this
    /// thread holds the turn; it is called only if a thread does.
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
            // Acquire; pairs with the Release in `leave`: the writer sees all that the last writer
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

    /// Ends an entry. `is_buried` says that a pointer to the span stays until
    /// [`unbury`](Self::unbury). Returns `true` if the span is closed and this was its last entry:
    /// then the caller must write the span down.
    pub(crate) fn leave(&self, role: Role, is_buried: bool, interval: &impl Interval) -> bool {
        let (mut holds_turn, mut is_stopped) = (role == Role::Writer, false);
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let is_last = word & INSIDE == 1;
            if is_last && !holds_turn {
                // A guest takes the turn. Acquire: as in `enter`.
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

    /// Closes the span. Returns `true` if no thread is inside: then the caller must write the span
    /// down.
    pub(crate) fn close(&self) -> bool {
        // Acquire; pairs with the Release in `leave`.
        self.0.fetch_or(OVER, Ordering::AcqRel) & INSIDE == 0
    }

    /// Notes that the span is written down. Returns whether no pointer to it is left.
    pub(crate) fn written(&self) -> bool {
        // AcqRel; pairs with the AcqRel in `unbury`: the later thread sees what was done before.
        self.0.fetch_or(WRITTEN, Ordering::AcqRel) & ALL_BURIED == 0
    }

    /// Ends a buried entry. Returns whether the span is written down and this was its last buried
    /// entry.
    pub(crate) fn unbury(&self) -> bool {
        // AcqRel: as in `written`.
        let word = self.0.fetch_sub(BURIED, Ordering::AcqRel) - BURIED;
        word & WRITTEN != 0 && word & ALL_BURIED == 0
    }
}
