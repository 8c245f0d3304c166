//! One row for each place in the code that made tasks.

use std::fmt;

use super::{
    LEAST_UNANNOTATED, MOST_ROWS, NAME_COLUMNS, NOT_MEASURED, folder, item_cells, more, number,
    place, size,
};
use crate::{
    profile::SiteProfile,
    snapshot::MemorySnapshot,
    table::{Column, HumanBytes, Table, cell},
};

impl MemorySnapshot {
    pub(super) fn site_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HEAD: &[Column] = &[
            Column::Left("SITE"),
            Column::Left("TYPE"),
            Column::Left("AT"),
            Column::Right("ALIVE"),
            Column::Right("DONE"),
            Column::Right("CANCELLED"),
            Column::Right("PANICKED"),
            Column::Right("LIVE"),
            Column::Right("OF ENDED"),
            Column::Right("PEAK/TASK"),
            Column::Right("ALLOCATED"),
        ];
        let is_long = f.alternate();
        let mut table = Table::new(HEAD);
        if is_long {
            table.widen(Column::Right("FUTURE"));
        }
        let has_items = self.sites().iter().any(|site| site.items.is_some());
        if has_items {
            table.widen(Column::Right("ITEMS"));
            table.widen(Column::Right("PER ITEM"));
        }
        let folder = folder(f, self.sites().iter().map(|site| &*site.file));
        let most = if is_long { usize::MAX } else { MOST_ROWS };
        let is_shown = |site: &&SiteProfile| {
            is_long || site.is_annotated || site.live_bytes >= LEAST_UNANNOTATED
        };
        let sites = || self.sites().iter().filter(is_shown);
        for site in sites().take(most) {
            table.push(site_row(site, folder, is_long, has_items));
        }
        writeln!(f, "{table}{}", more(sites().count(), most, "sites"))
    }
}

fn site_row(site: &SiteProfile, folder: usize, is_long: bool, has_items: bool) -> Vec<String> {
    let in_units = |bytes| size(site.measured, bytes);
    let mut row = vec![
        cell(&site.name, NAME_COLUMNS),
        site.task_type.to_string(),
        place(&site.file, site.line, folder),
        number(site.active),
        number(site.completed),
        number(site.cancelled),
        number(site.panicked),
        in_units(site.live_bytes),
        in_units(site.retained_bytes),
        in_units(site.peak_bytes),
        in_units(site.allocated_bytes),
    ];
    if is_long {
        row.push(if site.is_annotated {
            HumanBytes(site.future_size_bytes).to_string()
        } else {
            NOT_MEASURED.to_owned()
        });
    }
    if has_items {
        row.extend(item_cells(site.items, site.measured));
    }
    row
}
