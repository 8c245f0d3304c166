//! What lives now, of each task and site: read without lists, for the timeline.

use super::capture::{ATTEMPTS, sum};
use crate::{
    accounting::{Account, Balance, Untracked, registry, shared_owner},
    primitives::sync::{Ordering, fence},
};

/// What is looked at for a sample of the timeline, and by monitors.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LiveSample {
    /// A thread, or a shared owner.
    Thread { live_bytes: u64, allocated_bytes: u64 },
    /// A task that is open, with all it allocated, or what is left of one that has been closed.
    /// `peak`: of one that is open, in which epoch of `window`.
    Task {
        id: u64,
        site: u32,
        live_bytes: u64,
        allocated_bytes: u64,
        is_living: bool,
        peak: Option<(u32, u64)>,
    },
}

/// Looks at each account once, without memory of its own.
pub(crate) fn glance(mut each: impl FnMut(LiveSample)) {
    for account in registry::accounts() {
        if !account.is_free()
            && let Some(glance) = glance_at(account)
        {
            each(glance);
        }
    }
    for shared in shared_owner::read() {
        let Untracked { live_bytes, allocated_bytes, .. } = shared.memory;
        each(LiveSample::Thread { live_bytes, allocated_bytes });
    }
}

fn glance_at(account: &'static Account) -> Option<LiveSample> {
    for _ in 0..ATTEMPTS {
        let id = account.id();
        let (glance, record) = match account.read() {
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
            // Looked at by its name.
            Balance::Open { record: registry::SHARED_RECORD, .. } if id == 0 => return None,
            Balance::Open { net_bytes, record, site, .. } => {
                // Once the end has begun, there is none.
                let Some(record) = registry::record(record) else { continue };
                if record.tally().id() != id {
                    continue;
                }
                let tally = record.read_tally();
                let live_bytes = sum(tally.own_live_bytes, net_bytes);
                let allocated_bytes = tally.counters.allocated_bytes;
                let glance = if id == 0 {
                    LiveSample::Thread { live_bytes, allocated_bytes }
                } else {
                    let is_living = !record.state().is_ended();
                    let peak = Some(record.window_peak());
                    LiveSample::Task { id, site, live_bytes, allocated_bytes, is_living, peak }
                };
                (glance, Some(record))
            }
        };
        fence(Ordering::Acquire);
        if account.id() == id && record.is_none_or(|record| record.tally().id() == id) {
            return Some(glance);
        }
    }
    None
}
