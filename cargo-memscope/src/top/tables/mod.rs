//! The tables, one for each tab.

mod sites;
mod tasks;
mod functions;
mod waits;
mod holders;
mod variables;
mod futures;
mod frees;

use std::collections::HashMap;

use super::{context::Context, table::Table};
pub(super) use {
    tasks::{key as task_key, own_place},
    variables::key as variable_key,
};

/// The tables, in the order of their keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Tab {
    #[default]
    Sites,
    Tasks,
    Functions,
    Waits,
    Holders,
    Variables,
    Futures,
    Frees,
}

impl Tab {
    pub(super) const ALL: [Self; 8] = [
        Self::Sites,
        Self::Tasks,
        Self::Functions,
        Self::Waits,
        Self::Holders,
        Self::Variables,
        Self::Futures,
        Self::Frees,
    ];

    /// Returns the name of the tab, and a short name for narrow terminals.
    pub(super) fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Sites => ("Sites", "Sites"),
            Self::Tasks => ("Tasks", "Tasks"),
            Self::Functions => ("Code", "Code"),
            Self::Waits => ("Where tasks wait", "Waits"),
            Self::Holders => ("Who holds", "Holds"),
            Self::Variables => ("Variables", "Vars"),
            Self::Futures => ("Futures", "Futures"),
            Self::Frees => ("Who frees", "Frees"),
        }
    }

    /// Returns the ways to group its rows. `leaf first` is another order of a tree.
    pub(super) fn groups(self) -> &'static [&'static str] {
        match self {
            Self::Sites => &["crate", "file", "task type"],
            Self::Tasks => &["site", "state", "await point"],
            Self::Waits => &["leaf first"],
            Self::Holders => &["kind"],
            Self::Variables => &["file", "type"],
            Self::Functions | Self::Futures | Self::Frees => &[],
        }
    }

    /// Whether a row with this key belongs to this table.
    pub(super) fn has_key(self, key: &str) -> bool {
        let kind = match self {
            Self::Sites | Self::Futures => "site:",
            Self::Tasks => "task:",
            Self::Functions => "fn:",
            Self::Waits => "wait:",
            Self::Holders => "root:",
            Self::Variables => "var:",
            Self::Frees => "free:",
        };
        key.starts_with(kind)
    }

    /// Makes the table, with rows in the order of the report.
    pub(super) fn table(self, context: &Context<'_>) -> Table {
        let mut table = match self {
            Self::Sites => sites::table(context),
            Self::Tasks => tasks::table(context),
            Self::Functions => functions::table(context),
            Self::Waits => waits::table(context),
            Self::Holders => holders::table(context),
            Self::Variables => variables::table(context),
            Self::Futures => futures::table(context),
            Self::Frees => frees::table(context),
        };
        let (list, lacks) = (self.list(), table.rows.is_empty());
        table.left_out = context.report.left_out(list);
        let missing = context.report.snapshot.tool().rows_left_out;
        // Near its memory limit a process leaves rows out, and gives only their total number.
        if lacks && missing > 0 && self != Self::Holders {
            table.empty =
                format!("Not known: the process had too little memory for {missing} rows.");
        }
        number_keys(&mut table);
        table.is_grouped = context.group.is_some() && self != Self::Waits;
        table
    }

    /// Returns the list of a snapshot from which the rows come.
    pub(super) fn list(self) -> &'static str {
        match self {
            Self::Sites | Self::Futures => "sites",
            Self::Tasks => "tasks",
            Self::Functions => "stacks",
            Self::Waits => "await_points",
            Self::Holders => "",
            Self::Variables => "variable_sites",
            Self::Frees => "hand_overs",
        }
    }
}

/// Adds numbers to the keys of rows that would have the same key, in the order of the report.
fn number_keys(table: &mut Table) {
    let mut seen: HashMap<String, u64> = HashMap::new();
    for row in &mut table.rows {
        let before = seen.entry(row.key.clone()).or_insert(0);
        if *before > 0 {
            row.key = format!("{} ({})", row.key, *before + 1);
        }
        *before += 1;
    }
}
