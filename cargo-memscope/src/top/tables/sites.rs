//! Sites: the places in the code that make tasks.

use memscope_runtime::async_memory::SiteProfile;

use crate::top::{
    context::{Context, left_bytes, site_key},
    number::share,
    report::{name, place},
    table::{Column, Row, Table, Value, names, numbers, text},
};

const COLUMNS: &[Column] = &[
    names("NAME"),
    text("PLACE", 40, 5),
    numbers("LIVE", 0),
    numbers("SHARE", 3),
    numbers("LEFT", 1),
    numbers("TASKS", 2),
    numbers("PEAK OF ONE", 6),
    numbers("ALLOCATED/s", 4),
    numbers("ALLOCATED", 7),
    numbers("SPAWNED", 8),
];

pub(super) fn table(context: &Context<'_>) -> Table {
    let rows = context.report.snapshot.sites().iter().map(|site| row(context, site)).collect();
    let empty = "No task has been tracked yet.".to_owned();
    Table { columns: COLUMNS, rows, sort: 2, left_out: 0, empty }
}

fn row(context: &Context<'_>, site: &SiteProfile) -> Row {
    let key = site_key(site);
    let known = |bytes: u64| Value::bytes(site.measured.then_some(bytes));
    let (whole, left) = (context.whole(), left_bytes(site));
    let (name, place) = (name(&site.name), place(&site.file, Some(site.line)));
    let search = format!("{name} {place} {}", site.task_type);
    let percent =
        if site.measured { Value::Percent(site.live_bytes, whole) } else { Value::Unknown };
    Row {
        level: 0,
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
        key,
    }
}
