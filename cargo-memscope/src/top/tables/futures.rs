//! The table of futures: the sizes of the state machines of sites, and what makes them large.

use memscope_runtime::async_memory::{LocalProfile, SiteProfile};

use crate::top::{
    context::{Context, site_key},
    number::{bytes, share},
    report::{name, place},
    table::{Column, Row, Table, Value, names, numbers, text},
};

const COLUMNS: &[Column] = &[
    names("FUTURE OF"),
    text("PLACE", 40, 3),
    numbers("SIZE", 0),
    numbers("LIVE", 1),
    numbers("ALL OF THEM", 0),
    text("LARGEST VALUE ACROSS AN AWAIT", 50, 2),
];

pub(super) fn table(context: &Context<'_>) -> Table {
    let sites = context.report.snapshot.sites().iter().filter(|it| it.future_size_bytes > 0);
    let whole = context.whole();
    let rows = sites.map(|site| row(site, whole)).collect();
    let empty = "No future has been tracked yet.".to_owned();
    Table::new(COLUMNS, rows, 4, empty)
}

fn row(site: &SiteProfile, whole: u64) -> Row {
    let all = site.future_size_bytes.saturating_mul(site.active);
    let (title, place) = (name(&site.name), place(&site.file, Some(site.line)));
    let machine = site.state_machine.as_ref();
    let path = machine.map_or_else(String::new, |it| name(&it.path));
    let kept = machine.and_then(|it| kept(&it.widest.as_ref()?.locals)).unwrap_or_default();
    Row {
        key: site_key(site),
        search: format!("{title} {place} {path}"),
        values: vec![
            Value::text(title),
            Value::text(place),
            Value::Bytes(site.future_size_bytes),
            Value::Count(site.active),
            Value::Bytes(all),
            Value::text(kept),
        ],
        share: share(all, whole),
        ..Row::default()
    }
}

/// Returns the largest value that is kept across an await, or the awaited future if there is no
/// other.
fn kept(locals: &[LocalProfile]) -> Option<String> {
    let kept = locals.iter().find(|it| it.name != "__awaitee");
    let it = kept.or(locals.first())?;
    let title = if kept.is_some() { name(&it.name) } else { "awaited".to_owned() };
    Some(format!("{} {title}: {}", bytes(it.bytes), name(&it.type_name)))
}
