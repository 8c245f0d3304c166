//! A call stack as a row: estimates, from how many samples, and the calls with their lines.

use memscope_runtime::async_memory::{MemorySnapshot, StackFrame, StackProfile, StacksState};
use serde_json::json;

use super::{
    answer::Row,
    quote::{Width, about, at, json_bytes, place, quoted, several, shown},
};

/// The name of what no task has.
pub(super) const OUTSIDE: &str = "(outside of tasks)";

/// The calls of a stack that are shown: the innermost, until there is no room.
fn calls(stack: &StackProfile, width: Width) -> (Vec<(String, String)>, usize) {
    let mut room = 2 * width.sentence();
    let mut calls = Vec::new();
    for frame in &stack.frames {
        let call = call(frame, width);
        let needed = json_bytes(&call.0) + json_bytes(&call.1) + 20;
        if needed > room {
            break;
        }
        room -= needed;
        calls.push(call);
    }
    let left = stack.frames.len() - calls.len();
    (calls, left)
}

/// A function and its line, or its address where that is all that is known.
fn call(frame: &StackFrame, width: Width) -> (String, String) {
    let place = place(frame.file.as_deref().unwrap_or_default(), frame.line, width.place());
    let name = if frame.function.is_empty() {
        // Its display is an address in the file or the process.
        shown(&frame.to_string(), width.name())
    } else {
        shown(&frame.function, width.name())
    };
    (name, place)
}

/// The row of a stack.
pub(super) fn row(snapshot: &MemorySnapshot, stack: &StackProfile, width: Width) -> Row {
    let site = stack.site.and_then(|site| snapshot.sites().get(site));
    let name = match site {
        Some(site) => shown(&site.name, width.name()),
        None if stack.is_untracked => OUTSIDE.to_owned(),
        None => "(a site without a row)".to_owned(),
    };
    let site_place =
        site.map_or_else(String::new, |it| place(&it.file, Some(it.line), width.place()));
    let (calls, left) = calls(stack, width);
    let percent = |error: Option<f64>| error.map(|error| (100.0 * error).round());
    let within = percent(stack.live_error())
        .map_or_else(String::new, |percent| format!(", give or take {percent:.0} %"));
    let mut text = format!(
        "stack of {}{}: live {}{within}; allocated so far {}",
        quoted(&name, usize::MAX),
        at(&site_place),
        about(stack.live_bytes, stack.live_samples),
        about(stack.allocated_bytes, stack.samples),
    );
    if let Some(task) = stack.task {
        text += &format!("; all of it is task #{task}'s");
    }
    for (function, place) in &calls {
        text += &format!("\n  {}{}", quoted(function, usize::MAX), at(place));
    }
    if left != 0 {
        text += &format!("\n  … {}", several(left as u64, "outer call", "outer calls"));
    }
    let frames: Vec<_> =
        calls.iter().map(|(function, at)| json!({ "function": function, "at": at })).collect();
    let data = json!({
        "row": "stack",
        "site": name,
        "site_at": site_place,
        "task": stack.task,
        "estimated_live_bytes": stack.live_bytes,
        "live_samples": stack.live_samples,
        "live_error_percent": percent(stack.live_error()),
        "estimated_allocated_bytes": stack.allocated_bytes,
        "samples": stack.samples,
        "calls": frames,
        "outer_calls_left_out": left,
        "is_cut": stack.is_cut,
    });
    Row { text, data }
}

/// Why there are no stacks, or how they are sampled.
pub(super) fn how(snapshot: &MemorySnapshot) -> String {
    match snapshot.stacks_measured() {
        StacksState::On => {
            let pending = match snapshot.stack_names_pending() {
                0 => String::new(),
                pending => format!("; {pending} names are still looked up: ask again for them"),
            };
            format!(
                "stacks are sampled, about one in {} allocated bytes: all their bytes are \
                 estimates; {} smaller stacks are in no row{pending}",
                snapshot.stack_interval_bytes(),
                snapshot.tool().stacks_left_out,
            )
        }
        StacksState::Off => "stacks are not sampled: the setting is off; \
             `MEMSCOPE_STACKS=512KiB` turns it on"
            .to_owned(),
        StacksState::Unsupported => "stacks are not sampled: this platform cannot unwind a stack \
             without a lock (on Linux it takes glibc 2.35)"
            .to_owned(),
        StacksState::Disabled => {
            "stacks are not sampled: memscope's feature `enabled` is off".to_owned()
        }
    }
}
