//! The table of sites, the places in the code that make tasks.

use memscope_runtime::async_memory::SiteProfile;

use crate::top::{
    context::{Context, left_bytes, site_key},
    number::share,
    report::{name, place},
    table::{Column, Row, Table, Value, names, numbers, sums, text},
};

const COLUMNS: &[Column] = &[
    names("NAME"),
    text("PLACE", 40, 5),
    sums("LIVE", 0),
    sums("SHARE", 3),
    sums("LEFT", 1),
    sums("TASKS", 2),
    numbers("PEAK OF ONE", 6),
    sums("ALLOCATED/s", 4),
    sums("ALLOCATED", 7),
    sums("SPAWNED", 8),
];

pub(super) fn table(context: &Context<'_>) -> Table {
    let rows = context.report.snapshot.sites().iter().map(|site| row(context, site)).collect();
    let empty = "No task has been tracked yet.".to_owned();
    Table::new(COLUMNS, rows, 2, empty)
}

fn row(context: &Context<'_>, site: &SiteProfile) -> Row {
    let key = site_key(site);
    let known = |bytes: u64| Value::bytes(site.measured.then_some(bytes));
    let (whole, left) = (context.whole(), left_bytes(site));
    let group = match context.group {
        Some("crate") => name(context.own_code.crate_of_site(&site.name)),
        Some("file") if site.file.is_empty() => "(not annotated)".to_owned(),
        Some("file") => place(&site.file, None),
        Some(_) => site.task_type.to_string(),
        None => String::new(),
    };
    let (name, place) = (name(&site.name), place(&site.file, Some(site.line)));
    let search = format!("{name} {place} {}", site.task_type);
    let percent =
        if site.measured { Value::Percent(site.live_bytes, whole) } else { Value::Unknown };
    Row {
        values: vec![
            Value::text(name),
            Value::text(place),
            known(site.live_bytes),
            percent,
            Value::bytes(left),
            Value::Count(site.active),
            known(site.peak_bytes),
            context.rates.get(&key).map_or(Value::Unknown, |it| Value::Rate(*it)),
            known(site.allocated_bytes),
            Value::Count(site.spawned),
        ],
        share: share(site.live_bytes, whole),
        is_left: left.is_some_and(|it| it > site.live_bytes / 2),
        severity: context.severity(&key),
        search,
        group,
        key,
        ..Row::default()
    }
}
