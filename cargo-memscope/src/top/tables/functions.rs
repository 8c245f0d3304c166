//! The table of code: functions in sampled call stacks, by the bytes that they allocate. All bytes
//! are estimates.

use std::collections::{HashMap, HashSet};

use memscope_runtime::async_memory::StacksState;

use crate::top::{
    context::Context,
    number::share,
    report::{name, place},
    stacks::{chosen, frame_name},
    table::{Column, Row, Table, Value, names, numbers, text},
};

const COLUMNS: &[Column] = &[
    names("FUNCTION"),
    text("PLACE", 40, 3),
    numbers("OWN", 0),
    numbers("WITH CALLEES", 0),
    numbers("SAMPLES", 2),
];

/// The sums of a function's samples.
#[derive(Debug, Default)]
struct Function {
    name: String,
    place: String,
    own_bytes: u64,
    all_bytes: u64,
    samples: u64,
}

pub(super) fn table(context: &Context<'_>) -> Table {
    let functions = functions(context);
    let whole = if context.code.is_allocated {
        functions.iter().fold(0_u64, |sum, it| sum.saturating_add(it.own_bytes))
    } else {
        context.whole()
    };
    let row = |it: Function| Row {
        key: format!("fn:{}", it.name),
        search: format!("{} {}", it.name, it.place),
        values: vec![
            Value::text(name(&it.name)),
            Value::text(it.place),
            Value::AboutBytes(it.own_bytes),
            Value::AboutBytes(it.all_bytes),
            Value::Count(it.samples),
        ],
        share: share(it.own_bytes, whole),
        ..Row::default()
    };
    let rows = functions.into_iter().map(row).collect();
    Table::new(COLUMNS, rows, 2, why_none(context))
}

fn functions(context: &Context<'_>) -> Vec<Function> {
    let mut indices: HashMap<String, usize> = HashMap::new();
    let mut functions: Vec<Function> = Vec::new();
    let focus = &context.code.focus;
    for sampled in chosen(context).iter().filter(|it| it.is_below(focus)) {
        let mut seen = HashSet::new();
        for (depth, frame) in sampled.stack.frames.iter().enumerate() {
            let name = frame_name(frame);
            let at = *indices.entry(name.clone()).or_insert_with(|| {
                let file = frame.file.as_deref().unwrap_or_default();
                let place = place(file, frame.line);
                functions.push(Function { name, place, ..Function::default() });
                functions.len() - 1
            });
            // A function that calls itself is counted once for each stack.
            if !seen.insert(at) {
                continue;
            }
            let function = &mut functions[at];
            function.all_bytes = function.all_bytes.saturating_add(sampled.bytes);
            function.samples = function.samples.saturating_add(sampled.samples);
            if depth == 0 {
                function.own_bytes = function.own_bytes.saturating_add(sampled.bytes);
            }
        }
    }
    functions
}

/// Says why there are no stacks to show.
fn why_none(context: &Context<'_>) -> String {
    let is_narrowed = !(context.code.focus.is_empty() && context.code.hidden.is_empty());
    match context.report.snapshot.stacks_measured() {
        StacksState::On if is_narrowed => "No stack is left to show: Esc takes what hides back.",
        StacksState::On if context.code.is_allocated => "No call stack has been sampled yet.",
        StacksState::On => "No sample of a call stack is live yet: a shows what was allocated.",
        StacksState::Off => "Call stacks are not sampled: MEMSCOPE_STACKS=512KiB samples them.",
        StacksState::Unsupported => "Call stacks cannot be sampled on the program's platform.",
        StacksState::Disabled => "Not measured: the program is built without `enabled`.",
    }
    .to_owned()
}
