//! Why the futures of the sites are as large as they are.

use std::{cmp::Reverse, fmt};

use super::{NAME_COLUMNS, folder, place};
use crate::{
    model::{
        HumanBytes, LocalProfile, SiteProfile, StateMachine,
        human::{cell, count},
    },
    primitives::{order, reserve},
    snapshot::MemorySnapshot,
};

/// How many futures the short form shows, and from which size on.
const MOST_SHORT: usize = 3;
const LEAST_SHORT: u64 = 1_024;
/// How many values of each future the short form shows.
const MOST_LOCALS_SHORT: usize = 2;
const TYPE_COLUMNS: usize = 60;

impl MemorySnapshot {
    /// Prints the state machines, largest first.
    pub(super) fn future_list(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_long = f.alternate();
        let (most, least) = if is_long { (usize::MAX, 0) } else { (MOST_SHORT, LEAST_SHORT) };
        let is_shown = |site: &&SiteProfile| {
            let is_known = site.state_machine.is_some() || site.state_machine_unknown.is_some();
            is_known && site.future_size_bytes >= least
        };
        let mut sites: Vec<&SiteProfile> =
            reserve::rows(self.sites(), |site| is_shown(&site).then_some(site));
        if sites.is_empty() {
            return Ok(());
        }
        order::by_key(&mut sites, |site| Reverse(site.future_size_bytes));
        let machines = sites.iter().filter_map(|site| site.state_machine.as_ref()?.widest.as_ref());
        let files = machines.flat_map(|widest| {
            widest.locals.iter().map(|local| &*local.file).chain([&*widest.file])
        });
        let folder = folder(f, files);
        writeln!(f, "why futures are large")?;
        let mut reasons = Vec::new();
        for site in sites.iter().take(most) {
            let (name, size) = (cell(&site.name, NAME_COLUMNS), HumanBytes(site.future_size_bytes));
            match (&site.state_machine, &site.state_machine_unknown) {
                (Some(machine), _) => {
                    writeln!(f, "  {size:>9}  {name}: {}", says(machine, folder))?;
                    show_locals(machine, folder, is_long, f)?;
                }
                // Most often the same reason holds for all: it is printed once.
                (None, Some(why)) if reasons.contains(why) => {
                    writeln!(f, "  {size:>9}  {name}: not known, as above")?;
                }
                (None, why) => {
                    let why = why.as_deref().unwrap_or_default();
                    writeln!(f, "  {size:>9}  {name}: not known: {}", cell(why, 400))?;
                    reasons.extend(site.state_machine_unknown.clone());
                }
            }
        }
        writeln!(f)
    }
}

fn says(machine: &StateMachine, folder: usize) -> String {
    let states = count(machine.states);
    match &machine.widest {
        None => format!("{states} states, and it never waits"),
        Some(widest) => format!(
            "{states} states, the largest ({}) waits at {}",
            HumanBytes(widest.size_bytes),
            place(&widest.file, widest.line, folder)
        ),
    }
}

fn show_locals(
    machine: &StateMachine,
    folder: usize,
    is_long: bool,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let most = if is_long { usize::MAX } else { MOST_LOCALS_SHORT };
    let locals = machine.widest.iter().flat_map(|widest| &widest.locals);
    for local in locals.take(most) {
        writeln!(f, "             {}", shown(local, folder))?;
    }
    Ok(())
}

/// Formats a value as `8.0 KiB  buf: [u8; 8192], declared at src/db.rs:19`.
pub(super) fn shown(local: &LocalProfile, folder: usize) -> String {
    let (bytes, name) = (HumanBytes(local.bytes), cell(&local.name, NAME_COLUMNS));
    let mut shown = if local.name == "__awaitee" {
        format!("{bytes:>9}  what it waits for: {}", cell(&local.type_name, TYPE_COLUMNS))
    } else {
        format!("{bytes:>9}  {name}: {}", cell(&local.type_name, TYPE_COLUMNS))
    };
    if !local.file.is_empty() {
        shown.extend([", declared at ", &place(&local.file, local.line, folder)]);
    }
    shown
}
