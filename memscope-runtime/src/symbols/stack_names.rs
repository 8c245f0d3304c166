//! The functions of the call stacks that allocate most.

use std::cmp::Reverse;

use super::{call_at, thread};
use crate::{
    accounting::stacks,
    primitives::{
        clock, reserve,
        sync::{AtomicU32, AtomicU64, Ordering},
    },
};

/// The stacks that a report shows: those with the most live bytes.
const MOST_STACKS: usize = 100;

/// How many stacks there were when the names of all were known; 0: a report lacks names.
static ASKED: AtomicU32 = AtomicU32::new(0);

/// A report shows functions that were not looked up. Has the thread started. Returns `false` if
/// there can be no such thread.
pub(crate) fn want_stack_names() -> bool {
    ASKED.store(0, Ordering::Relaxed);
    thread::want()
}

/// When the collector next has the names of stacks looked up, before a report asks; 0: never.
static AHEAD_NS: AtomicU64 = AtomicU64::new(0);
const FIRST_AHEAD_NS: u64 = 2_000_000_000;
const AHEAD_PERIOD_NS: u64 = 10_000_000_000;

/// From now on stacks have their names before a report asks: one at a signal cannot look them up.
pub(crate) fn name_stacks_ahead() {
    AHEAD_NS.store(clock::now_ns().saturating_add(FIRST_AHEAD_NS), Ordering::Relaxed);
}

/// Has the names of new stacks looked up, if that is wanted and it is time. For the collector.
pub(crate) fn want_ahead() {
    let (next_ns, now_ns) = (AHEAD_NS.load(Ordering::Relaxed), clock::now_ns());
    if next_ns != 0 && now_ns >= next_ns && is_waiting() {
        AHEAD_NS.store(now_ns.saturating_add(AHEAD_PERIOD_NS), Ordering::Relaxed);
        thread::want();
    }
}

/// Whether there are stacks that came since the names of all were known.
pub(super) fn is_waiting() -> bool {
    stacks::made() != ASKED.load(Ordering::Relaxed)
}

/// Appends the addresses of the calls in the largest stacks, as far as more is to be known of them.
pub(super) fn addresses(into: &mut Vec<usize>) {
    if !is_waiting() {
        return;
    }
    let asked = stacks::made();
    let mut is_known = true;
    let mut largest = stacks::read();
    largest.sort_unstable_by_key(|stack| Reverse((stack.live_bytes, stack.allocated_bytes)));
    for stack in largest.iter().take(MOST_STACKS) {
        for frame in stack.frames {
            // A return address is behind its call.
            let call = frame.saturating_sub(1);
            if !call_at(call).is_settled {
                is_known = false;
                if !reserve::push(into, call) {
                    return;
                }
            }
        }
    }
    if is_known {
        ASKED.store(asked, Ordering::Relaxed);
    }
}
