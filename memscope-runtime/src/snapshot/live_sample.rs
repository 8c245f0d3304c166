//! Live bytes of each task, thread and site, read without building lists: for the timeline and for
//! monitors.

use super::capture::{ATTEMPTS, sum};
use crate::{
    accounting::{Account, Balance, Untracked, registry, shared_owner},
    primitives::sync::{Ordering, fence},
};

/// What one account holds now.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LiveSample {
    /// A thread, or a shared owner.
    Thread { live_bytes: u64, allocated_bytes: u64 },
    /// A task: open, with all that it allocated, or closed, with what is left of it. `peak` is the
    /// epoch of `peak_window` and the peak in it; closed tasks have none.
    Task {
        id: u64,
        site: u32,
        live_bytes: u64,
        allocated_bytes: u64,
        is_living: bool,
        peak: Option<(u32, u64)>,
    },
}

/// Reads each account once, and allocates nothing.
pub(crate) fn for_each(mut each: impl FnMut(LiveSample)) {
    for account in registry::accounts() {
        if !account.is_free()
            && let Some(for_each) = sample_of(account)
        {
            each(for_each);
        }
    }
    for shared in shared_owner::read() {
        let Untracked { live_bytes, allocated_bytes, .. } = shared.memory;
        each(LiveSample::Thread { live_bytes, allocated_bytes });
    }
}

fn sample_of(account: &'static Account) -> Option<LiveSample> {
    for _ in 0..ATTEMPTS {
        let id = account.id();
        let (for_each, record) = match account.read() {
            Balance::Closed { live_bytes, site, .. } => {
                let (allocated_bytes, is_living, peak) = (0, false, None);
                (LiveSample::Task { id, site, live_bytes, allocated_bytes, is_living, peak }, None)
            }
            Balance::Open { record: registry::ORPHANS_RECORD, net_bytes, .. } => {
                let tally = registry::orphans(account)?;
                let live_bytes = sum(tally.own_live_bytes, net_bytes);
                (
                    LiveSample::Thread {
                        live_bytes,
                        allocated_bytes: tally.counters.allocated_bytes,
                    },
                    None,
                )
            }
            // `shared_owner::read` reads it, by its name.
            Balance::Open { record: registry::SHARED_RECORD, .. } if id == 0 => return None,
            Balance::Open { net_bytes, record, site, .. } => {
                // A task whose end has begun has no record.
                let Some(record) = registry::record(record) else { continue };
                if record.tally().id() != id {
                    continue;
                }
                let tally = record.read_tally();
                let live_bytes = sum(tally.own_live_bytes, net_bytes);
                let allocated_bytes = tally.counters.allocated_bytes;
                let for_each = if id == 0 {
                    LiveSample::Thread { live_bytes, allocated_bytes }
                } else {
                    let is_living = !record.state().is_ended();
                    let peak = Some(record.window_peak());
                    LiveSample::Task { id, site, live_bytes, allocated_bytes, is_living, peak }
                };
                (for_each, Some(record))
            }
        };
        // Keeps the reading before the second look at the ids, as in a seqlock.
        fence(Ordering::Acquire);
        if account.id() == id && record.is_none_or(|record| record.tally().id() == id) {
            return Some(for_each);
        }
    }
    None
}
