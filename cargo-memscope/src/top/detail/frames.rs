//! Lines for backtraces, variables and stacks.

use memscope_runtime::async_memory::{AwaitPoint, StackProfile, VariableProfile};

use super::Line;
use crate::top::{
    number::{bytes, several},
    report::{name, place},
    stacks::frame_name,
};

/// The most rows of one kind.
pub(super) const FEW: usize = 8;
/// The most frames of a stack.
const MOST_FRAMES: usize = 24;

/// Returns the await backtrace, the outermost function first, with the values that each function
/// keeps across its await.
pub(super) fn backtrace(point: &AwaitPoint) -> Vec<Line> {
    let mut lines = Vec::new();
    for frame in &point.frames {
        lines.push(Line::Frame(name(&frame.function), place(&frame.file, Some(frame.line))));
        lines.extend(frame.locals.iter().map(|it| {
            let text = format!("    keeps {}: {}", name(&it.name), name(&it.type_name));
            Line::Pair(text, bytes(it.bytes))
        }));
    }
    if !point.stops.is_empty() {
        lines.push(Line::Dim(name(&point.stops)));
    }
    lines
}

/// Variables, the largest first.
pub(super) fn variables<'a>(all: impl Iterator<Item = &'a VariableProfile>) -> Vec<Line> {
    let mut all: Vec<_> = all.collect();
    if all.is_empty() {
        return Vec::new();
    }
    all.sort_by_key(|it| std::cmp::Reverse(it.heap_bytes));
    let mut lines = vec![Line::Section("Variables".to_owned(), "heap")];
    for it in all.iter().take(FEW) {
        let size = if it.extent.is_followed() { bytes(it.heap_bytes) } else { "–".to_owned() };
        let text = format!("{}: {}", name(&it.name), name(&it.type_name));
        lines.push(Line::Pair(text, size));
    }
    lines.extend(more(all.len()));
    lines
}

/// Stacks, the innermost call first. Their bytes are estimates.
pub(super) fn stacks<'a>(all: impl Iterator<Item = &'a StackProfile>) -> Vec<Line> {
    let mut all: Vec<_> = all.collect();
    all.sort_by_key(|it| std::cmp::Reverse((it.live_bytes, it.allocated_bytes)));
    let mut lines = Vec::new();
    for it in all.iter().take(3) {
        lines.push(Line::Section("Stack".to_owned(), "innermost first"));
        let live = several(it.live_samples, "live sample");
        let size = format!("≈ {} from {live}", bytes(it.live_bytes));
        lines.push(Line::Text(size));
        for frame in it.frames.iter().take(MOST_FRAMES) {
            let place = place(frame.file.as_deref().unwrap_or_default(), frame.line);
            lines.push(Line::Frame(name(&frame_name(frame)), place));
        }
        let others = it.frames.len().saturating_sub(MOST_FRAMES);
        if others > 0 {
            lines.push(Line::Dim(format!("… and {}", several(others as u64, "outer frame"))));
        }
    }
    lines
}

/// Returns a line that says how many rows are not shown.
pub(super) fn more(all: usize) -> Option<Line> {
    let others = all.checked_sub(FEW).filter(|it| *it > 0)?;
    Some(Line::Dim(format!("… and {others} more")))
}
