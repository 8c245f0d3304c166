//! The tool `verdict`: what looks lost, how sure that is, and what to do.

use memscope_runtime::{
    analysis::{Backlog, Leak, NotJudged},
    async_memory::MemorySnapshot,
};
use serde_json::{Value, json};

use super::{
    answer::{Answer, Facts, Row, Rows},
    finding,
    quote::{Width, bytes, quoted, several, shown},
    source::Taken,
};

/// The most bytes of a reason that is not the server's own.
const WHY_BYTES: usize = 300;

enum Line<'a> {
    Finding(&'a Leak),
    NotJudged(&'a NotJudged),
    Backlog(&'a Backlog),
}

/// Answers with all findings. `no_graph` says why there is no graph of the heap, if one was asked
/// for.
pub(super) fn answer<'a>(taken: &'a Taken, no_graph: Option<&str>) -> Answer<'a> {
    let (snapshot, leaks) = (&taken.snapshot, taken.leaks());
    let mut lines = memory_lines(snapshot);
    let mut facts = Facts::new();
    facts.insert("memory".to_owned(), memory(snapshot));
    let found = leaks.len();
    if snapshot.measured().is_yes() {
        lines.push(match found {
            0 => "no finding: of what could be judged, nothing looks lost; rows below say what \
                  could not be judged"
                .to_owned(),
            _ => format!(
                "{} with {} of live memory",
                several(found as u64, "finding", "findings"),
                bytes(leaks.bytes())
            ),
        });
    }
    if let Some(why) = no_graph {
        lines.push(format!("what holds the bytes is not known: {}", quoted(why, WHY_BYTES)));
    } else if snapshot.heap_graph().is_none() && found != 0 && taken.is_live {
        lines.push(
            "what holds the bytes was not looked for: ask again with holders: true, for which the \
             program stands still for some milliseconds"
                .to_owned(),
        );
    }
    facts.insert("findings".to_owned(), found.into());
    facts.insert("finding_bytes".to_owned(), leaks.bytes().into());
    facts.insert("not_judged".to_owned(), leaks.not_judged().len().into());
    let has_graph = snapshot.heap_graph().is_some();
    let rows: Vec<Line<'a>> = leaks
        .iter()
        .map(Line::Finding)
        .chain(leaks.not_judged().iter().map(Line::NotJudged))
        .chain(leaks.backlogs().iter().map(Line::Backlog))
        .collect();
    let rows = Rows::of(rows, move |line, width| match line {
        Line::Finding(leak) => finding::row(leak, has_graph, width),
        Line::NotJudged(note) => finding::not_judged(note, width),
        Line::Backlog(backlog) => backlog_row(backlog, width),
    });
    Answer { lines, facts, rows }
}

fn backlog_row(backlog: &Backlog, width: Width) -> Row {
    let words = backlog.to_string();
    let text = format!("waiting in a channel: {}", quoted(&words, width.sentence()));
    let data = json!({
        "row": "backlog",
        "estimated_channel_bytes": backlog.channel_bytes,
        "samples": backlog.samples,
        "live_bytes": backlog.live_bytes,
        "says": shown(&words, width.sentence()),
    });
    Row { text, data }
}

/// Returns lines on the whole memory, its parts, and the figures of the system. If sizes are not
/// measured, returns only a line on that.
pub(super) fn memory_lines(snapshot: &MemorySnapshot) -> Vec<String> {
    let measured = snapshot.measured();
    if !measured.is_yes() {
        return vec![format!(
            "sizes are not measured: {}; nothing can be said of memory",
            measured.reason()
        )];
    }
    let process = snapshot.process();
    let mut lines = vec![format!(
        "live memory: {} = {} in tasks + {} outside of tasks",
        bytes(process.whole_bytes),
        bytes(process.tracked_bytes),
        bytes(process.untracked_bytes),
    )];
    let resident = snapshot.resident();
    if let Some(all) = resident.resident_bytes {
        let part = |name: &str, part: Option<u64>| {
            part.map_or_else(
                || format!("{name} not measured"),
                |it| format!("{name} {}", bytes(it)),
            )
        };
        let mut line = format!(
            "resident memory: {}; {}; {}",
            bytes(all),
            part("of memscope itself", resident.memscope_bytes),
            part("free in the allocator", resident.allocator_free_bytes),
        );
        match resident.limit_bytes {
            Some(limit) => say!(line, "; limit {}", bytes(limit)),
            None => line.push_str("; no limit is known"),
        }
        lines.push(line);
    }
    lines
}

/// Returns the figures of [`memory_lines`] as data.
pub(super) fn memory(snapshot: &MemorySnapshot) -> Value {
    let (process, resident) = (snapshot.process(), snapshot.resident());
    let measured = snapshot.measured();
    if !measured.is_yes() {
        return json!({ "measured": false, "why": measured.reason() });
    }
    json!({
        "measured": true,
        "live_bytes": process.whole_bytes,
        "in_tasks_bytes": process.tracked_bytes,
        "outside_of_tasks_bytes": process.untracked_bytes,
        "resident_bytes": resident.resident_bytes,
        "memscope_bytes": resident.memscope_bytes,
        "allocator_free_bytes": resident.allocator_free_bytes,
        "limit_bytes": resident.limit_bytes,
    })
}
