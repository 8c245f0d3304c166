//! The rows of sites: which sites have one, and how many tasks are in it.

use std::ptr;

#[cfg(feature = "tokio")]
use super::{Key, MOST_STAND_INS, PLAIN_COLUMN};
use super::{OTHER, SITES, Site};
use crate::{
    accounting::{future_type::FutureType, site_totals::Histogram},
    config,
    primitives::sync::{AtomicU64, Ordering},
};

/// The number of sites that have a row.
pub(super) static ROWS: AtomicU64 = AtomicU64::new(0);

fn claim_row() -> bool {
    let limit = config::site_rows();
    let claim = |rows| (rows < limit).then_some(rows + 1);
    ROWS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, claim).is_ok()
}

impl Site {
    /// Returns the site for tasks of a type whose name is not known yet. Until then the tasks are
    /// in the row of `unnamed`. Returns `unnamed` if there is no room.
    #[cfg(feature = "tokio")]
    pub(crate) fn stand_in(number: u32, unnamed: &'static Self) -> &'static Self {
        if number >= MOST_STAND_INS - 1 {
            return unnamed;
        }
        let column = PLAIN_COLUMN - 1 - number;
        let site = Self::of_bounded(Key { column, ..unnamed.key() });
        if site.is_other() {
            return unnamed;
        }
        if !site.stands_in() {
            site.stand_in_for(unnamed);
        }
        site
    }

    /// Puts the tasks of this site into the row of another one.
    #[cfg(feature = "tokio")]
    pub(crate) fn stand_in_for(&self, row: &'static Self) {
        row.has_stand_ins.store(1, Ordering::Relaxed);
        self.row.set(row);
    }

    /// Whether the tasks of this site are in the row of another one.
    pub(crate) fn stands_in(&self) -> bool {
        self.row.get().is_some()
    }

    /// Returns the site in whose row the tasks of this one are.
    pub(crate) fn row(&'static self) -> &'static Self {
        self.row.get().unwrap_or(self)
    }

    /// The index of the site in whose row the tasks of this site are.
    pub(crate) fn row_index(index: u32) -> u32 {
        Self::at(index).map_or(index, |site| site.row().index)
    }

    /// Returns all sites that have had a task or keep their row, with `(other)` last.
    pub(crate) fn all() -> impl Iterator<Item = &'static Self> {
        SITES.iter().chain([&OTHER]).filter(|site| site.spawned() != 0 || site.keeps_row())
    }

    /// Returns all sites that have a row, with `(other)` last.
    pub(crate) fn rows() -> impl Iterator<Item = &'static Self> {
        let has_stand_ins = |site: &Self| site.has_stand_ins.load(Ordering::Relaxed) != 0;
        let has_row =
            move |site: &Self| site.spawned() != 0 || site.keeps_row() || has_stand_ins(site);
        SITES.iter().chain([&OTHER]).filter(move |site| !site.stands_in() && has_row(site))
    }

    /// Returns the peaks of the ended tasks in its row.
    pub(crate) fn peaks(&self) -> impl Iterator<Item = (u64, u64)> {
        let has_stand_ins = self.has_stand_ins.load(Ordering::Relaxed) != 0;
        // PERF: few sites have stand-ins. If each site walked over all others, the time of a
        // snapshot would grow with the square of their number.
        let others = has_stand_ins.then(|| SITES.iter()).into_iter().flatten();
        let others = others.filter(|site| site.row.get().is_some_and(|row| ptr::eq(row, self)));
        let of_others = others.flat_map(|site| site.sums.peaks());
        Histogram::buckets(self.sums.peaks().chain(of_others))
    }

    /// Counts a new task here, or in `(other)` if there is no room for another row. Returns the
    /// row, and how many tasks it had before.
    #[inline]
    pub(crate) fn admit(&'static self, future: &'static FutureType) -> (&'static Self, u64) {
        let one_more = |tasks| (tasks != 0).then_some(tasks + 1);
        let (site, earlier) =
            match self.spawned.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more) {
                // A site that has tasks has a row.
                Ok(earlier) => (self, earlier),
                Err(_) => self.admit_first(),
            };
        // PERF: tasks of one place mostly have one type of future.
        if !site.future.get().is_some_and(|known| ptr::eq(known, future)) {
            site.note_future(future);
        }
        (site, earlier)
    }

    /// [`admit`](Self::admit) for a site without tasks, which must claim a row.
    #[cold]
    fn admit_first(&'static self) -> (&'static Self, u64) {
        let has_row = self.is_other() || self.keeps_row();
        if has_row || claim_row() {
            let earlier = self.spawned.fetch_add(1, Ordering::Relaxed);
            if earlier != 0 && !has_row {
                // Another task claimed the row at the same moment.
                ROWS.fetch_sub(1, Ordering::Relaxed);
            }
            return (self, earlier);
        }
        (&OTHER, OTHER.spawned.fetch_add(1, Ordering::Relaxed))
    }

    /// Undoes an `admit`, as the task moved to another site before it began, or got no record.
    pub(crate) fn retract(&self) {
        let is_last = self.spawned.fetch_sub(1, Ordering::Relaxed) == 1;
        if is_last && !self.is_other() && !self.keeps_row() {
            ROWS.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Gives this site a row that stays even if no task is counted in it. A task may then be open
    /// in it before it is counted. Returns `false` if there is no room for another row.
    #[cfg(feature = "tokio")]
    pub(crate) fn keep_row(&self) -> bool {
        if self.keeps_row() {
            return true;
        }
        let is_claimed = claim_row();
        if is_claimed && self.keeps_row.swap(1, Ordering::Relaxed) != 0 {
            // Another thread claimed the row at the same moment.
            ROWS.fetch_sub(1, Ordering::Relaxed);
        }
        is_claimed
    }

    #[inline]
    pub(crate) fn keeps_row(&self) -> bool {
        self.keeps_row.load(Ordering::Relaxed) != 0
    }
}
