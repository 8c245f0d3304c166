//! The tool `compare`: what changed since an earlier snapshot.

use memscope_runtime::{
    __terminal::json,
    async_memory::{MemorySnapshot, StackDiff, VariableSiteDiff},
};
use serde_json::{Value, json as data};

use super::{
    answer::{Answer, Facts, Row, Rows},
    course::difference,
    quote::{Width, at, bytes, change, place, quoted, shown},
    source::Taken,
    stack::OUTSIDE,
};
use crate::{
    error::Error,
    model::{
        aligned::aligned,
        growth::{self, Figure, growth},
    },
};

enum Line {
    Site(growth::Row),
    Variable(VariableSiteDiff),
    Stack(StackDiff),
}

/// Answers with the changes from `then` to `now`, the largest growth first.
pub(super) fn answer<'a>(now: &'a Taken, then: &Taken) -> Result<Answer<'a>, Error> {
    for taken in [now, then] {
        let measured = taken.snapshot.measured();
        if !measured.is_yes() {
            return Err(Error::new(format!(
                "snapshot {} cannot be compared: its sizes are not measured: {}",
                taken.number,
                measured.reason()
            )));
        }
    }
    let is_same = now.snapshot.origin() == then.snapshot.origin();
    let earlier = if is_same { None } else { moved(&then.snapshot, &now.snapshot) };
    let earlier = earlier.as_ref().unwrap_or(&then.snapshot);
    let growth = growth(earlier, &now.snapshot, None, &[], None);
    let (before, after) = (earlier.process(), now.snapshot.process());
    let whole = difference(after.whole_bytes, before.whole_bytes);
    let elapsed =
        is_same.then(|| now.snapshot.observed_seconds() - then.snapshot.observed_seconds());
    let mut lines = vec![format!("compared with {}", then.line(false))];
    lines.push(match elapsed {
        Some(seconds) if seconds.abs() < 1e-6 && now.is_live && then.is_live => {
            "both are the same look at the program, so nothing can differ: it is looked at about \
             once a second"
                .to_owned()
        }
        Some(seconds) if seconds >= 0.0 => {
            format!("both are of one run, {seconds:.3} s apart")
        }
        Some(seconds) => format!(
            "both are of one run, and the one compared with is {:.3} s later: changes are those \
             back in time",
            -seconds
        ),
        None => "they are of two runs: a difference is no growth over time".to_owned(),
    });
    lines.push(format!(
        "live memory: {} then, {} now: {}; in tasks {}, outside of tasks {}",
        bytes(before.whole_bytes),
        bytes(after.whole_bytes),
        change(whole),
        change(difference(after.tracked_bytes, before.tracked_bytes)),
        change(difference(after.untracked_bytes, before.untracked_bytes)),
    ));
    let mut facts = Facts::new();
    facts.insert("then".to_owned(), then.data());
    facts.insert(
        "change".to_owned(),
        data!({
            "same_process": is_same,
            "elapsed_seconds": elapsed,
            "before_bytes": before.whole_bytes,
            "after_bytes": after.whole_bytes,
            "live_bytes": whole,
            "in_tasks_bytes": difference(after.tracked_bytes, before.tracked_bytes),
            "outside_of_tasks_bytes": difference(after.untracked_bytes, before.untracked_bytes),
        }),
    );
    let mut rows: Vec<Line> = growth.rows.into_iter().map(Line::Site).collect();
    rows.extend(growth.diff.variable_sites.into_iter().map(Line::Variable));
    rows.extend(growth.diff.stacks.into_iter().map(Line::Stack));
    if rows.is_empty() {
        lines.push("no site, variable or stack changed".to_owned());
    }
    let rows = Rows::of(rows, |line, width| match line {
        Line::Site(row) => site_row(row, width),
        Line::Variable(row) => variable_row(row, width),
        Line::Stack(row) => stack_row(row, width),
    });
    Ok(Answer { lines, facts, rows })
}

/// Returns the earlier snapshot with the later one's lines, if an edit has moved them.
fn moved(then: &MemorySnapshot, now: &MemorySnapshot) -> Option<MemorySnapshot> {
    let text = |snapshot| String::from_utf8(json(snapshot).ok()?).ok();
    aligned(&text(then)?, &text(now)?)
}

fn figure(figure: Figure) -> String {
    let by = difference(figure.after, figure.before);
    format!("{}, {} then, {} now", change(by), bytes(figure.before), bytes(figure.after))
}

fn figure_data(figure: Figure) -> Value {
    data!({
        "before": figure.before, "after": figure.after,
        "change": difference(figure.after, figure.before),
    })
}

fn site_row(row: &growth::Row, width: Width) -> Row {
    let place = place(row.file.as_deref().unwrap_or_default(), row.line, width.place());
    let mut text = format!(
        "site {}{}: live {}; allocated {}",
        quoted(&row.name, width.name()),
        at(&place),
        figure(row.live),
        figure(row.allocated),
    );
    if let Some(peak) = row.peak.filter(|peak| peak.before != peak.after) {
        say!(text, "; at most in one task {}", figure(peak));
    }
    let data = data!({
        "row": "site",
        "name": shown(&row.name, width.name()),
        "at": place,
        "live_bytes": figure_data(row.live),
        "allocated_bytes": figure_data(row.allocated),
        "peak_bytes": row.peak.map(figure_data),
    });
    Row { text, data }
}

fn variable_row(row: &VariableSiteDiff, width: Width) -> Row {
    let place = place(&row.file, Some(row.line), width.place());
    let text = format!(
        "variable {}{}: live {}; {:+} live variables, {:+} registered, {:+} ended",
        quoted(&row.name, width.name()),
        at(&place),
        change(row.live_bytes),
        row.live,
        row.registered,
        row.ended,
    );
    let data = data!({
        "row": "variable",
        "name": shown(&row.name, width.name()),
        "type": shown(&row.type_name, width.name()),
        "at": place,
        "live_bytes_change": row.live_bytes,
        "live_change": row.live,
        "registered_change": row.registered,
        "ended_change": row.ended,
    });
    Row { text, data }
}

fn stack_row(row: &StackDiff, width: Width) -> Row {
    // The innermost calls that have names identify the code.
    let named = row.frames.iter().filter(|frame| !frame.function.is_empty()).take(4);
    let calls: Vec<(String, String)> = named
        .map(|frame| {
            let file = frame.file.as_deref().unwrap_or_default();
            (shown(&frame.function, width.name() / 2), place(file, frame.line, width.place() / 2))
        })
        .collect();
    let site = row.site.as_ref().map_or(OUTSIDE, |site| &*site.name);
    let mut text = format!(
        "stack of {}: live ≈ {}, give or take {}; allocated ≈ {}",
        quoted(site, width.name()),
        change(row.live_bytes),
        bytes(row.live_error_bytes),
        change(row.allocated_bytes),
    );
    for (function, place) in &calls {
        say!(text, "\n  {}{}", quoted(function, usize::MAX), at(place));
    }
    let calls: Vec<Value> =
        calls.iter().map(|(function, at)| data!({ "function": function, "at": at })).collect();
    let data = data!({
        "row": "stack",
        "site": shown(site, width.name()),
        "estimated_live_bytes_change": row.live_bytes,
        "live_error_bytes": row.live_error_bytes,
        "estimated_allocated_bytes_change": row.allocated_bytes,
        "calls": calls,
    });
    Row { text, data }
}
