//! What a reading has of each site.

use super::unlisted::Unlisted;
#[cfg(feature = "tokio")]
use crate::alloc::unannotated;
use crate::{
    accounting::{FinishedCells, Site, SumsReading, Unrecorded},
    primitives::reserve,
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
    pub(crate) retained_bytes: u64,
    pub(crate) retained_blocks: u64,
    /// The part of `retained_bytes` whose tasks still have their Tokio cell.
    pub(crate) unjoined_bytes: u64,
}

impl SiteReading {
    fn of_no_task(site: &'static Site) -> Self {
        Self {
            site,
            sums: SumsReading::default(),
            spawned: 0,
            split: 0,
            away: 0,
            retained_bytes: 0,
            retained_blocks: 0,
            unjoined_bytes: 0,
        }
    }
}

/// The sums over the ended tasks of each site, by the site's index, in order. What does not fit is
/// added to `unlisted`.
pub(super) fn sums_of_ended(unlisted: &mut Unlisted) -> Vec<(u32, SumsReading)> {
    let mut sums = Vec::new();
    for site in Site::all() {
        let read = site.sums.read();
        if reserve::grow(&mut sums) {
            sums.push((site.index(), read));
        } else {
            unlisted.add_closed(&read);
        }
    }
    sums
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
