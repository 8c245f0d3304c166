//! The table of holders: roots by the bytes that only they hold, and the bytes that nothing holds.
//! It is only known on demand.

use memscope_runtime::async_memory::{HeldBy, RootKind, Unreachable};

use crate::top::{
    context::Context,
    number::share,
    report::{name, place},
    table::{Column, Row, Table, Value, names, numbers, sums, text},
};

const COLUMNS: &[Column] = &[
    names("ROOT"),
    text("KIND", 14, 2),
    text("PLACE", 40, 3),
    sums("ONLY IT HOLDS", 0),
    numbers("IT REACHES", 1),
    sums("BLOCKS", 4),
];

pub(super) fn table(context: &Context<'_>) -> Table {
    let Some(graph) = context.graph else {
        let empty = if context.is_live {
            "Not asked yet. Enter asks: the process stands still for some ms."
        } else {
            "Not measured: MEMSCOPE_HOLDERS=on puts it into the report at the exit."
        };
        return Table::new(COLUMNS, Vec::new(), 3, empty.into());
    };
    let nothing = graph.unreachable.iter().enumerate().map(|(at, it)| unheld(at, it, graph.bytes));
    let roots = graph.roots.iter().map(|it| root(it, graph.bytes));
    let rows = nothing.chain(roots).collect();
    let empty = "The graph has no roots.".to_owned();
    Table::new(COLUMNS, rows, 3, empty)
}

fn kind(kind: RootKind) -> &'static str {
    match kind {
        RootKind::Static => "static",
        RootKind::ThreadLocal => "thread local",
        RootKind::Task => "task",
        RootKind::Stack => "stack",
        RootKind::Runtime => "runtime",
        RootKind::Other => "other",
    }
}

fn root(it: &HeldBy, whole: u64) -> Row {
    let (file, line) = it.place();
    let (name, place) = (name(&it.title()), place(file.unwrap_or_default(), line));
    let kind = kind(it.kind);
    Row {
        key: format!("root:{kind} {name} {place} {:?}", it.task),
        group: kind.to_owned(),
        search: format!("{name} {kind} {place}"),
        values: vec![
            Value::text(name),
            Value::text(kind),
            Value::text(place),
            Value::Bytes(it.retained_bytes),
            Value::Bytes(it.reachable_bytes),
            Value::Count(it.blocks),
        ],
        share: share(it.retained_bytes, whole),
        ..Row::default()
    }
}

fn unheld(at: usize, it: &Unreachable, whole: u64) -> Row {
    let title = if it.in_cycle { "(nothing: blocks that hold each other)" } else { "(nothing)" };
    let site = it.site.as_deref().map(name).unwrap_or_default();
    Row {
        key: format!("root:nothing {at}"),
        group: "unreachable".to_owned(),
        search: format!("{title} unreachable {site}"),
        values: vec![
            Value::text(title),
            Value::text("unreachable"),
            Value::text(site),
            Value::Bytes(it.bytes),
            Value::Unknown,
            Value::Count(it.blocks),
        ],
        share: share(it.bytes, whole),
        is_left: true,
        ..Row::default()
    }
}
