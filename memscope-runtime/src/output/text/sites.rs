//! The table of sites: one row for each place in the code that made tasks.

use std::fmt;

use super::{
    LEAST_UNANNOTATED, MOST_ROWS, NAME_COLUMNS, NOT_MEASURED, UNKNOWN, counters, folder,
    item_cells, more, number, place, size,
    table::{Column, Table},
};
use crate::{
    model::{
        HumanBytes, SiteProfile,
        human::{cell, count},
    },
    snapshot::MemorySnapshot,
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
        ];
        let is_long = f.alternate();
        let mut table = Table::new(HEAD);
        counters::heads().for_each(|column| table.widen(column));
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
            // Tasks that hold nothing are in cells, which are the memory of what spawned them.
            let futures = site.active.saturating_mul(site.future_size_bytes);
            is_long || site.is_annotated || site.live_bytes.max(futures) >= LEAST_UNANNOTATED
        };
        let sites = || self.sites().iter().filter(is_shown);
        if sites().next().is_none() {
            return Ok(());
        }
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
    ];
    row.extend(lives(site));
    row.extend([
        in_units(site.live_bytes),
        in_units(site.retained_bytes),
        in_units(site.peak_bytes),
    ]);
    row.extend(counters::cells(site.counters(), site.measured));
    if is_long {
        row.push(if site.is_annotated || site.future_size_bytes != 0 {
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

/// Formats how many tasks of the site live, and how the others ended.
fn lives(site: &SiteProfile) -> [String; 4] {
    if site.ends_unknown {
        // If some ends are not reported, zero known ones does not mean that there were none.
        let known = |ended: u64| if ended == 0 { UNKNOWN.to_owned() } else { count(ended) };
        let done = site.completed.saturating_add(site.ended_unknown);
        let seen = format!("{} seen", count(site.spawned));
        return [seen, known(done), known(site.cancelled), known(site.panicked)];
    }
    if site.ended_unknown != 0 {
        // These tasks ended in a way that is not known.
        let kept = |tasks: u64, what: &str| match tasks {
            0 => String::new(),
            tasks => format!(", {} {what}", count(tasks)),
        };
        let (unjoined, kept) =
            (kept(site.unjoined_tasks, "unjoined"), kept(site.kept_tasks, "kept"));
        let done = format!("{} ended{unjoined}{kept}", count(site.ended_unknown));
        return [number(site.active), done, number(site.cancelled), UNKNOWN.to_owned()];
    }
    [site.active, site.completed, site.cancelled, site.panicked].map(number)
}
