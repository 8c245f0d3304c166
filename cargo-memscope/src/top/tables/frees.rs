//! The table of frees: which site frees bytes that another site has allocated.

use std::collections::HashMap;

use memscope_runtime::async_memory::{HandOver, Place};

use crate::top::{
    context::Context,
    number::share,
    report::name,
    table::{Column, Row, Table, Value, names, numbers, text},
};

const COLUMNS: &[Column] = &[
    names("ALLOCATED BY"),
    text("FREED BY", 48, 1),
    numbers("OF WHAT OTHERS FREED", 3),
    numbers("BLOCKS", 2),
    numbers("FREED SO FAR", 0),
];

const OUTSIDE: &str = "(outside every task)";

pub(super) fn table(context: &Context<'_>) -> Table {
    let all = context.report.snapshot.hand_overs();
    let mut given: HashMap<&Option<Place>, u64> = HashMap::new();
    for it in all {
        let sum = given.entry(&it.from).or_default();
        *sum = sum.saturating_add(it.bytes);
    }
    let rows = all.iter().map(|it| row(it, given.get(&it.from).copied().unwrap_or(0))).collect();
    let empty = "No task has freed what another one allocated.".to_owned();
    Table::new(COLUMNS, rows, 4, empty)
}

fn row(it: &HandOver, given: u64) -> Row {
    let title = |place: &Option<Place>| {
        place.as_ref().map_or_else(|| OUTSIDE.to_owned(), |place| name(&place.name))
    };
    let (from, to) = (title(&it.from), title(&it.to));
    let is_own = it.from.is_some() && it.from == it.to;
    Row {
        key: format!("free:{:?} {:?}", it.from, it.to),
        search: format!("{from} {to}"),
        values: vec![
            Value::text(from),
            Value::text(if is_own { "another of these".to_owned() } else { to }),
            Value::Percent(it.bytes, given),
            Value::Count(it.blocks),
            Value::Bytes(it.bytes),
        ],
        share: share(it.bytes, given),
        ..Row::default()
    }
}
