//! Names of sites, for rows that point to a site.

use std::collections::HashMap;

use crate::{
    accounting::Site,
    model::{Place, text},
    primitives::reserve,
    snapshot::capture::Reading,
};

/// The names of the sites, by their index.
pub(crate) struct SiteNames(HashMap<u32, Place>);

impl SiteNames {
    pub(crate) fn of(reading: &Reading) -> Self {
        let mut names = HashMap::new();
        let _ = names.try_reserve(reading.sites.len());
        for site in &reading.sites {
            if !reserve::room(&mut names) || reserve::is_short() {
                break;
            }
            reserve::spend(site.site.name.len());
            names.insert(site.site.index(), Place::of(site.site));
        }
        Self(names)
    }

    /// Returns `None` for what happened outside every task, and for a site without a name.
    pub(crate) fn get(&self, site: u32) -> Option<Place> {
        let place = self.0.get(&site)?;
        reserve::spend(place.name.len());
        Some(place.clone())
    }
}

impl Place {
    pub(crate) fn of(site: &Site) -> Self {
        Self { name: site.name.to_owned(), file: text::file(site.file), line: site.line }
    }
}
