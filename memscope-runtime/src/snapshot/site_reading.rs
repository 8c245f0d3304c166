//! The part of a reading that is about each site.

use super::{
    largest_sites::LargestSites,
    open_tasks::OpenTasks,
    unlisted::{Remainder, Unlisted},
};
#[cfg(feature = "tokio")]
use crate::alloc::unannotated;
use crate::{
    accounting::{FinishedCells, Site, SumsReading, Unrecorded},
    primitives::{MapByIndex, reserve},
};

/// A site's sums over its closed tasks, and what of these is still live.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SiteReading {
    pub(crate) site: &'static Site,
    pub(crate) sums: SumsReading,
    pub(crate) spawned: u64,
    /// How many of the records that were given up belong to tasks which went on, and how many of
    /// these tasks have no record now.
    pub(crate) split: u64,
    pub(crate) away: u64,
    pub(crate) left: Remainder,
}

impl SiteReading {
    fn of_no_task(site: &'static Site) -> Self {
        Self {
            site,
            sums: SumsReading::default(),
            spawned: 0,
            split: 0,
            away: 0,
            left: Remainder::default(),
        }
    }
}

/// The sums over the ended tasks of each site.
pub(super) struct SumsOfEnded {
    /// By the site's index, in order.
    pub(super) read: Vec<(u32, SumsReading)>,
    /// The index of the first site for which there was no memory.
    pub(super) first_left_out: Option<u32>,
}

/// Reads the sums over the ended tasks. What belongs to no listed site, or does not fit, is added
/// to `unlisted`.
pub(super) fn sums_of_ended(largest: &LargestSites, unlisted: &mut Unlisted) -> SumsOfEnded {
    let (mut sums, mut first_left_out) = (Vec::new(), None);
    reserve::expect(&mut sums, largest.expected());
    for site in Site::all() {
        let read = site.sums.read();
        if !largest.has(site.index()) {
            unlisted.add_closed(&read);
        } else if first_left_out.is_none() && reserve::grow(&mut sums) {
            sums.push((site.index(), read));
        } else {
            unlisted.add_closed(&read);
            first_left_out.get_or_insert(site.index());
        }
    }
    SumsOfEnded { read: sums, first_left_out }
}

/// Reads each listed site that has tasks. `left` is what its ended tasks still hold. What does not
/// fit is added to `unlisted`.
pub(super) fn listed(
    largest: &LargestSites,
    sums: SumsOfEnded,
    open_sums: &[(u32, OpenTasks)],
    left: &MapByIndex<Remainder>,
    unlisted: &mut Unlisted,
) -> Vec<SiteReading> {
    let mut sites = Vec::new();
    reserve::expect(&mut sites, largest.expected());
    let first_left_out = sums.first_left_out;
    // PERF: both walks over the sites are in the order of their indices.
    let mut sums = sums.read.into_iter().peekable();
    for site in Site::all().filter(|site| largest.has(site.index())) {
        let left = left.get(&site.index()).copied().unwrap_or_default();
        if first_left_out.is_some_and(|first| first <= site.index()) {
            // A row without its sums would say that its tasks had not ended.
            unlisted.add_left(left);
            reserve::leave_out(1);
            continue;
        }
        while sums.next_if(|(index, _)| *index < site.index()).is_some() {}
        let sums = sums.next_if(|(index, _)| *index == site.index());
        let sums = sums.map_or_else(SumsReading::default, |(_, sums)| sums);
        let (split, away) = site.split_and_away();
        let spawned = site.spawned() + uncounted(site, open_sums);
        if spawned == 0 {
            continue;
        }
        let reading = SiteReading { site, sums, spawned, split, away, left };
        if !reserve::push(&mut sites, reading) {
            unlisted.add_closed(&sums);
            unlisted.add_left(left);
        }
    }
    sites
}

/// Returns how many open tasks of this site the site does not count yet.
fn uncounted(site: &Site, open_sums: &[(u32, OpenTasks)]) -> u64 {
    // PERF: one site keeps its row, and there may be many.
    if !site.keeps_row() {
        return 0;
    }
    let its_own = open_sums.iter().find(|(of, _)| *of == site.index());
    its_own.map_or(0, |(_, open)| open.uncounted)
}

/// Unannotated tasks without a record.
pub(super) fn unrecorded() -> (Vec<Unrecorded>, FinishedCells) {
    #[cfg(feature = "tokio")]
    return unannotated::unrecorded();
    #[cfg(not(feature = "tokio"))]
    (Vec::new(), FinishedCells::default())
}

/// The sites whose tasks are all unrecorded.
pub(super) fn sites_without_tasks(
    sites: &[SiteReading],
    unrecorded: &[Unrecorded],
) -> Vec<SiteReading> {
    let mut missing: Vec<SiteReading> = Vec::new();
    for Unrecorded { site, .. } in unrecorded {
        let is_there = |there: &SiteReading| there.site.index() == site.index();
        if !sites.iter().any(is_there) && !missing.iter().any(is_there) {
            reserve::push(&mut missing, SiteReading::of_no_task(site));
        }
    }
    missing
}
