//! Findings as rows: what is lost and where, how sure that is, what holds it, and the cure.

use memscope_runtime::analysis::{Leak, LeakCause, NotJudged};
use serde_json::{Value, json};

use super::{
    answer::Row,
    quote::{Width, at, bytes, place, quoted, seconds, several, shown},
};

/// Makes the row of a finding. `has_graph` says whether a graph of the heap was asked for.
pub(super) fn row(leak: &Leak, has_graph: bool, width: Width) -> Row {
    let sentence = |text: &str| quoted(text, width.sentence());
    let place = place(&leak.place.file, Some(leak.place.line), width.place());
    let mut text = format!(
        "finding: {} {} {}{}: {}",
        leak.severity,
        leak.kind,
        quoted(&leak.place.name, width.name()),
        at(&place),
        bytes(leak.bytes)
    );
    if leak.count != 0 {
        say!(text, " in {}", several(leak.count, "task", "tasks"));
    }
    if let Some(task) = leak.task {
        say!(text, ", task #{task}");
    }
    if let Some(ns) = leak.oldest_ns {
        say!(text, ", for {} s", seconds(ns));
    }
    if let Some(per_day) = leak.bytes_per_day {
        say!(text, ", at this rate {} a day", bytes(per_day));
    }
    say!(
        text,
        "\n  how sure: {}: {}\n  evidence: {}",
        leak.certainty,
        if leak.certainty_reason.is_empty() {
            "the report is of a version that does not say why".to_owned()
        } else {
            sentence(&leak.certainty_reason)
        },
        sentence(&leak.evidence)
    );
    let optional = [("allocated at", &leak.allocated_at), ("waits at", &leak.waits_at)];
    for (what, value) in optional {
        if let Some(value) = value {
            say!(text, "\n  {what}: {}", sentence(value));
        }
    }
    if !leak.variables.is_empty() {
        let names: Vec<String> =
            leak.variables.iter().take(5).map(|it| quoted(it, width.name() / 4)).collect();
        say!(text, "\n  variables in it: {}", names.join(", "));
    }
    let held_by = match &leak.held_by {
        Some(holder) => sentence(holder),
        None if has_graph => "no root holds half of it alone".to_owned(),
        None => "not looked for: no graph of the heap".to_owned(),
    };
    let cure =
        if leak.cause == LeakCause::Unknown { "cause not known; usual cure" } else { "cure" };
    say!(text, "\n  held by: {held_by}\n  {cure}: {}", sentence(&leak.fix));
    Row { text, data: data(leak, &place, width) }
}

fn data(leak: &Leak, place: &str, width: Width) -> Value {
    let sentence = |text: &String| shown(text, width.sentence());
    let variables: Vec<String> =
        leak.variables.iter().take(5).map(|it| shown(it, width.name() / 4)).collect();
    json!({
        "row": "finding",
        "severity": leak.severity,
        "kind": leak.kind,
        "name": shown(&leak.place.name, width.name()),
        "at": place,
        "task": leak.task,
        "bytes": leak.bytes,
        "tasks": leak.count,
        "oldest_ns": leak.oldest_ns,
        "bytes_per_day": leak.bytes_per_day,
        "certainty": leak.certainty,
        "certainty_reason": sentence(&leak.certainty_reason),
        "cause": leak.cause,
        "evidence": sentence(&leak.evidence),
        "allocated_at": leak.allocated_at.as_ref().map(sentence),
        "waits_at": leak.waits_at.as_ref().map(sentence),
        "variables": variables,
        "held_by": leak.held_by.as_ref().map(sentence),
        "cure": sentence(&leak.fix),
    })
}

/// Makes the row of something that could not be judged.
pub(super) fn not_judged(note: &NotJudged, width: Width) -> Row {
    let kind = note.kind.map_or_else(|| "any kind".to_owned(), |kind| kind.to_string());
    let text = format!("not judged: {kind}: {}", quoted(&note.why, width.sentence()));
    let why = shown(&note.why, width.sentence());
    Row { text, data: json!({ "row": "not_judged", "kind": note.kind, "why": why }) }
}
