//! The table of variables that `track_var!` has registered, with one row for each place and type.

use memscope_runtime::async_memory::VariableSiteProfile;

use crate::top::{
    context::Context,
    number::share,
    report::{name, place},
    table::{Column, Row, Table, Value, names, numbers, sums, text},
};

const COLUMNS: &[Column] = &[
    names("VARIABLE"),
    text("TYPE", 36, 3),
    text("PLACE", 40, 2),
    sums("HEAP, LIVE", 0),
    sums("LIVE", 1),
    numbers("LARGEST", 4),
    sums("REGISTERED", 5),
    numbers("MEAN LIFE", 6),
];

pub(super) fn table(context: &Context<'_>) -> Table {
    let whole = context.whole();
    let rows =
        context.report.snapshot.variable_sites().iter().map(|it| row(context, it, whole)).collect();
    let empty = "No variable is registered: `track_var!(name)` registers one.".to_owned();
    Table::new(COLUMNS, rows, 3, empty)
}

/// The key of the row of a variable's place.
pub(in crate::top) fn key(name: &str, type_name: &str, file: &str, line: u32) -> String {
    format!("var:{name} {type_name} {file}:{line}")
}

fn row(context: &Context<'_>, it: &VariableSiteProfile, whole: u64) -> Row {
    // None of its blocks could be found.
    let is_opaque = it.registered > 0 && it.unfollowed == it.registered;
    let known = |bytes: u64| Value::bytes((!is_opaque).then_some(bytes));
    let (type_name, place) = (name(&it.type_name), place(&it.file, Some(it.line)));
    let group = match context.group {
        Some("file") => crate::top::report::place(&it.file, None),
        Some(_) => type_name.clone(),
        None => String::new(),
    };
    Row {
        group,
        key: key(&it.name, &it.type_name, &it.file, it.line),
        search: format!("{} {type_name} {place}", it.name),
        values: vec![
            Value::text(name(&it.name)),
            Value::text(type_name),
            Value::text(place),
            known(it.live_bytes),
            Value::Count(it.live),
            known(it.largest_bytes),
            Value::Count(it.registered),
            Value::time(it.lifetime_sum_ns.checked_div(it.ended)),
        ],
        share: share(it.live_bytes, whole),
        ..Row::default()
    }
}
