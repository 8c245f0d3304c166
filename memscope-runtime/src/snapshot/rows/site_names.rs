//! Names of sites, for rows that point to a site.

use crate::{
    accounting::Site,
    model::{Place, text},
    primitives::{MapByIndex, reserve},
    snapshot::capture::Reading,
};

/// The sites of a reading, by their index.
// PERF: few of their names are asked for, so none is copied before.
pub(crate) struct SiteNames(MapByIndex<&'static Site>);

impl SiteNames {
    pub(crate) fn of(reading: &Reading) -> Self {
        let mut sites = MapByIndex::default();
        let _ = sites.try_reserve(reading.sites.len());
        for site in &reading.sites {
            if !reserve::room(&mut sites) {
                break;
            }
            sites.insert(site.site.index(), site.site);
        }
        Self(sites)
    }

    /// Returns `None` for what happened outside every task, and for a site without a name.
    pub(crate) fn get(&self, site: u32) -> Option<Place> {
        let place = Place::of(self.0.get(&site)?);
        reserve::spend(place.name.len());
        Some(place)
    }
}

impl Place {
    pub(crate) fn of(site: &Site) -> Self {
        Self { name: site.name.to_owned(), file: text::file(site.file), line: site.line }
    }
}
