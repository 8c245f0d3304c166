//! Code: functions in sampled call stacks, by what they allocate. All bytes are estimates.

use std::collections::{HashMap, HashSet};

use memscope_runtime::async_memory::{StackFrame, StacksState};

use crate::top::{
    context::Context,
    number::share,
    report::{name, place},
    table::{Column, Row, Table, Value, names, numbers, text},
};

const COLUMNS: &[Column] = &[
    names("FUNCTION"),
    text("PLACE", 40, 3),
    numbers("OWN", 0),
    numbers("WITH CALLEES", 0),
    numbers("SAMPLES", 2),
];

/// What the live samples of a function say.
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
    let whole = context.whole();
    let row = |it: Function| Row {
        key: format!("fn:{}", it.name),
        level: 0,
        search: format!("{} {}", it.name, it.place),
        values: vec![
            Value::text(name(&it.name)),
            Value::text(it.place),
            Value::AboutBytes(it.own_bytes),
            Value::AboutBytes(it.all_bytes),
            Value::Count(it.samples),
        ],
        share: share(it.own_bytes, whole),
        is_left: false,
        severity: None,
    };
    let rows = functions.into_iter().map(row).collect();
    Table { columns: COLUMNS, rows, sort: 2, left_out: 0, empty: why_none(context) }
}

/// The name of a frame. A function without a name is an address, and no guess.
pub(in crate::top) fn frame_name(frame: &StackFrame) -> String {
    if frame.function.is_empty() {
        let plain = StackFrame { file: None, line: None, ..frame.clone() };
        return plain.to_string();
    }
    frame.function.to_string()
}

fn functions(context: &Context<'_>) -> Vec<Function> {
    let mut indices: HashMap<String, usize> = HashMap::new();
    let mut functions: Vec<Function> = Vec::new();
    for stack in context.report.snapshot.stacks().iter().filter(|it| it.live_bytes > 0) {
        let mut seen = HashSet::new();
        for (depth, frame) in stack.frames.iter().enumerate() {
            let name = frame_name(frame);
            let at = *indices.entry(name.clone()).or_insert_with(|| {
                let file = frame.file.as_deref().unwrap_or_default();
                let place = place(file, frame.line);
                functions.push(Function { name, place, ..Function::default() });
                functions.len() - 1
            });
            // A function that calls itself is counted once a stack.
            if !seen.insert(at) {
                continue;
            }
            let function = &mut functions[at];
            function.all_bytes = function.all_bytes.saturating_add(stack.live_bytes);
            function.samples = function.samples.saturating_add(stack.live_samples);
            if depth == 0 {
                function.own_bytes = function.own_bytes.saturating_add(stack.live_bytes);
            }
        }
    }
    functions
}

fn why_none(context: &Context<'_>) -> String {
    match context.report.snapshot.stacks_measured() {
        StacksState::On => "No sample of a call stack is live yet.",
        StacksState::Off => "Call stacks are not sampled: MEMSCOPE_STACKS=512KiB samples them.",
        StacksState::Unsupported => "Call stacks cannot be sampled on the program's platform.",
        StacksState::Disabled => "Not measured: the program is built without `enabled`.",
    }
    .to_owned()
}
