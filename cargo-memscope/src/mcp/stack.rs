//! A call stack as a row: estimates with their samples, and the calls with their lines.

use memscope_layout::Place;
use memscope_runtime::async_memory::{MemorySnapshot, StackFrame, StackProfile, StacksState};
use serde_json::json;

use super::{
    answer::Row,
    quote::{Width, about, at, json_bytes, place, quoted, several, shown},
};
use crate::model::{Origin, Packages};

/// The name of the bytes outside of tasks.
pub(super) const OUTSIDE: &str = "(outside of tasks)";

/// Returns the calls of a stack that are shown, and the number of the others. Shown are the
/// innermost call and the program's own calls, or the innermost calls if none is the program's own.
fn calls(stack: &StackProfile, width: Width) -> (Vec<(String, String)>, usize) {
    let has_own = stack.frames.iter().any(is_own);
    let mut room = 2 * width.sentence();
    let mut calls = Vec::new();
    for (depth, frame) in stack.frames.iter().enumerate() {
        if has_own && depth != 0 && !is_own(frame) {
            continue;
        }
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

/// Whether a call is in the program's own code, by its file or, if no file is known, by its name.
fn is_own(frame: &StackFrame) -> bool {
    const LIBRARIES: [&str; 6] = ["alloc::", "core::", "std::", "hashbrown::", "tokio::", "__"];
    match (&frame.file, frame.line) {
        // Code of the C library has paths of the machine that built it.
        (Some(file), _) if file.ends_with(".c") || file.ends_with(".S") => false,
        (Some(file), line) => {
            let place = Place { file: (&**file).into(), line: line.unwrap_or(0) };
            Origin::of(Some(&place), &Packages::default()) == Origin::Own
        }
        (None, _) => {
            let name = frame.function.trim_start_matches(['<', '&']);
            !name.is_empty()
                && frame.library.is_none()
                && !LIBRARIES.iter().any(|library| name.starts_with(library))
        }
    }
}

/// Returns a function and its place. A function without a name is shown as an address.
fn call(frame: &StackFrame, width: Width) -> (String, String) {
    let place = place(frame.file.as_deref().unwrap_or_default(), frame.line, width.place());
    let name = if frame.function.is_empty() {
        // The display of such a frame is an address in the file or the process.
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
        say!(text, "; all of it is task #{task}'s");
    }
    for (function, place) in &calls {
        say!(text, "\n  {}{}", quoted(function, usize::MAX), at(place));
    }
    if left != 0 {
        say!(
            text,
            "\n  … and {}: memscope://stacks has all",
            several(
                left as u64,
                "call of libraries or further out",
                "calls of libraries or further out"
            )
        );
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
        "calls_left_out": left,
        "is_cut": stack.is_cut,
    });
    Row { text, data }
}

/// Says why there are no stacks, or how they are sampled.
pub(super) fn how(snapshot: &MemorySnapshot) -> String {
    match snapshot.stacks_measured() {
        StacksState::On => {
            let pending = match snapshot.stack_names_pending() {
                0 => String::new(),
                pending => format!(
                    "; {pending} calls are still looked up: ask again for their names and lines"
                ),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_call_and_the_programs_own_are_shown() {
        let frame = |function: &str, file: Option<&str>| StackFrame {
            function: function.to_owned().into(),
            file: file.map(|file| file.to_owned().into()),
            line: file.map(|_| 7),
            ..StackFrame::default()
        };
        let frames = vec![
            frame("alloc::raw_vec::grow", Some("/rustc/1/library/alloc/src/raw_vec.rs")),
            frame("alloc::vec::push", None),
            frame("app::keep", Some("src/keep.rs")),
            frame("tokio::run", Some("/home/me/.cargo/registry/src/x/tokio-1/src/run.rs")),
            frame("app::main", None),
            frame("start_thread", Some("./nptl/pthread_create.c")),
        ];
        let stack = StackProfile { frames, live_bytes: 5, live_samples: 1, ..Default::default() };
        let (shown, left) = calls(&stack, Width::Normal);
        let names: Vec<&str> = shown.iter().map(|call| &*call.0).collect();
        assert_eq!(names, ["alloc::raw_vec::grow", "app::keep", "app::main"]);
        assert_eq!((left, &*shown[1].1), (3, "src/keep.rs:7"));
        let row = row(&crate::mcp::random_snapshots::empty(), &stack, Width::Normal);
        assert!(row.text.contains("live ≈ 5 B from 1 sample, give or take"), "{}", row.text);
        assert!(row.text.contains("\"app::keep\" at \"src/keep.rs:7\""), "{}", row.text);
    }
}
