//! Chooses the sites that get rows if there is no memory for all of them: those that hold most.

use std::cmp::Reverse;

use super::live_sample::{self, LiveSample};
use crate::{
    accounting::Site,
    primitives::{order, reserve},
};

/// The approximate memory that a site takes while it is read and its row is made.
const SITE_BYTES: usize = 2 << 10;

/// The sites that get rows: all, or the largest.
#[derive(Debug, Default)]
pub(super) struct LargestSites {
    /// Live bytes of each row, by the index of its site. The last entry is that of `(other)`.
    live_bytes: Vec<u64>,
    /// The largest row that is not listed; `None` if all are listed.
    largest_left: Option<Rank>,
    /// How many are listed, if not all are.
    pub(super) listed: usize,
    pub(super) left_out: u64,
}

/// The order of rows: by live bytes, then the earlier site.
type Rank = (u64, Reverse<u32>);

impl LargestSites {
    /// Walks over all accounts if there are more sites than the work of this thread has room for.
    pub(super) fn choose() -> Self {
        let listed = reserve::room_for(SITE_BYTES);
        let rows = Site::rows().count();
        if rows <= listed {
            return Self::default();
        }
        let known = Site::all().filter(|site| !site.is_other()).map(Site::index).max();
        let slots = known.map_or(0, |last| last as usize + 1) + 1;
        let (Some(live_bytes), Some(mut ranks)) = (reserve::list(slots), reserve::list(rows))
        else {
            // In that case the first sites get rows, as many as there is memory for.
            return Self::default();
        };
        let mut chosen = Self { live_bytes, largest_left: None, listed, left_out: 0 };
        chosen.live_bytes.resize(slots, 0);
        live_sample::for_each(|sample| {
            if let LiveSample::Task { site, live_bytes, .. } = sample
                && let Some(slot) = chosen.slot(Site::row_index(site))
            {
                chosen.live_bytes[slot] += live_bytes;
            }
        });
        // Rows that were made meanwhile have no room here, and none of these bytes.
        ranks.extend(Site::rows().take(rows).map(|site| chosen.rank(site.index())));
        order::by_key(&mut ranks, |rank: &Rank| Reverse(*rank));
        chosen.largest_left = ranks.get(listed).copied();
        chosen.left_out = ranks.len().saturating_sub(listed) as u64;
        chosen
    }

    /// About how many are listed. PERF: a list with room for them does not move while it grows.
    pub(super) fn expected(&self) -> usize {
        if self.listed != 0 { self.listed } else { Site::rows().count() }
    }

    /// Whether the row of the site with this index is listed.
    pub(super) fn has(&self, site: u32) -> bool {
        self.largest_left.is_none_or(|left| self.rank(Site::row_index(site)) > left)
    }

    fn rank(&self, row: u32) -> Rank {
        (self.slot(row).map_or(0, |slot| self.live_bytes[slot]), Reverse(row))
    }

    fn slot(&self, row: u32) -> Option<usize> {
        let other = self.live_bytes.len().checked_sub(1)?;
        match Site::at(row)? {
            site if site.is_other() => Some(other),
            _ => usize::try_from(row).ok().filter(|slot| *slot < other),
        }
    }
}
