//! Draws the first line, which says what is shown and how old it is, and the last line, with the
//! keys.

use ratatui::{
    layout::Rect,
    style::{Color, Style},
};

use super::canvas::{Canvas, columns, start};
use crate::top::{
    connection::Standing,
    number::{bytes, count, several, uptime},
    screen::Screen,
    tables::Tab,
    theme::{BOLD, DIM, TROUBLE},
    view::Panel,
};

/// Draws the first line, and a line on problems. Returns the area below.
pub(super) fn draw(
    canvas: &mut Canvas<'_>,
    area: Rect,
    screen: &Screen,
    standing: &Standing,
) -> Rect {
    let words = standing.words();
    let style = match standing {
        Standing::Live => Style::new().fg(Color::Green),
        Standing::Saved => BOLD,
        _ => TROUBLE,
    };
    let sign = match standing {
        Standing::Live => "● live".to_owned(),
        _ => format!(" {words} "),
    };
    let right = columns(&sign).min(area.width);
    canvas.right(area.right(), area.y, right, &sign, style);
    let most = area.width.saturating_sub(right + 1);
    let program = screen.report.program();
    let mut x = canvas.text(area.x, area.y, most, &start(&program, most), BOLD);
    for fact in facts(screen) {
        let text = format!(" · {fact}");
        if x.saturating_add(columns(&text)) > area.x + most {
            break;
        }
        x = canvas.text(x, area.y, most, &text, Style::new());
    }
    let mut below = Rect { y: area.y + 1, height: area.height - 1, ..area };
    let trouble = standing.why().or_else(|| screen.note.clone());
    if let Some(why) = trouble {
        let room = below.width;
        canvas.style(Rect { height: 1, ..below }, TROUBLE);
        canvas.text(below.x, below.y, room, &start(&format!(" {why}"), room), TROUBLE);
        below = Rect { y: below.y + 1, height: below.height - 1, ..below };
    }
    if let Some(words) = &screen.compared
        && below.height > 1
    {
        canvas.text(below.x, below.y, below.width, &start(words, below.width), BOLD);
        below = Rect { y: below.y + 1, height: below.height - 1, ..below };
    }
    below
}

fn whole_seconds(seconds: f64) -> u64 {
    std::time::Duration::try_from_secs_f64(seconds).map_or(0, |it| it.as_secs())
}

/// Returns facts about the process, the most important first.
fn facts(screen: &Screen) -> Vec<String> {
    let snapshot = &screen.report.snapshot;
    let tool = snapshot.tool();
    let pid = screen.report.origin().pid;
    let mut facts = Vec::new();
    if pid > 0 {
        facts.push(format!("pid {pid}"));
    }
    facts.push(format!("up {}", uptime(whole_seconds(snapshot.observed_seconds()))));
    facts.push(if snapshot.is_still() { "exact" } else { "read while tasks ended" }.to_owned());
    let own = snapshot.resident().memscope_bytes.unwrap_or(tool.own_bytes);
    facts.push(format!("memscope {}", bytes(own)));
    let lost = [
        (tool.events_dropped, "rows of ended tasks dropped"),
        (tool.tasks_without_record, "tasks without a record"),
        (tool.tasks_in_other, "tasks in (other)"),
        (tool.rows_left_out, "rows left out"),
        (tool.stacks_dropped, "samples lost"),
        (tool.unnamed_tasks, "tasks without a name"),
    ];
    let lost = lost.iter().filter(|it| it.0 > 0);
    facts.extend(lost.map(|(number, what)| format!("{} {what}", count(*number))));
    facts.push(screen.from.clone());
    facts
}

/// Draws the last line: the filter while it is typed, or the keys. The position of the chosen row
/// is to the right.
pub(super) fn keys(canvas: &mut Canvas<'_>, area: Rect, screen: &Screen) {
    let y = area.bottom() - 1;
    let where_ = position(screen);
    let right = columns(&where_).min(area.width / 2);
    canvas.right(area.right(), y, right, &where_, DIM);
    let most = area.width.saturating_sub(right + 2);
    let filter = &screen.view.now().filter;
    if screen.view.is_typing || !filter.is_empty() {
        let cursor = if screen.view.is_typing { "_" } else { "  (Esc clears)" };
        let shown = memscope_runtime::__terminal::visible(filter).to_string();
        let text = format!("/{}{cursor}", super::canvas::end(&shown, most.saturating_sub(16)));
        let bad =
            if screen.is_bad_filter { "  no regular expression: nothing is filtered" } else { "" };
        let x = canvas.text(area.x, y, most, &text, BOLD);
        canvas.text(x, y, most.saturating_sub(x), bad, Style::new().fg(Color::Red));
        return;
    }
    let keys: &[&str] = match screen.view.panel {
        Some(Panel::Keys) => &["Esc close", "q quit"],
        Some(_) => &["Esc close", "j k scroll", "space pause", "? keys", "q quit"],
        None if screen.icicle.is_some() => &[
            "q quit",
            "? keys",
            "Enter zoom",
            "Esc back",
            "v table",
            "a live/allocated",
            "x hide",
            "e all frames",
            "h j k l boxes",
        ],
        None if screen.view.tab == Tab::Functions => &[
            "q quit",
            "? keys",
            "Enter open",
            "v icicle",
            "a live/allocated",
            "/ filter",
            "s sort",
            "i invert",
        ],
        None => &[
            "q quit",
            "? keys",
            "Enter open",
            "/ filter",
            "s sort",
            "i invert",
            "c compare",
            "b group",
            "space pause",
            "f findings",
            "1-8 tabs",
            "j k g G rows",
        ],
    };
    let mut x = area.x;
    for key in keys {
        let text = if x == area.x { (*key).to_owned() } else { format!("  {key}") };
        if x.saturating_add(columns(&text)) > area.x + most {
            break;
        }
        x = canvas.text(x, y, most, &text, DIM);
    }
}

fn position(screen: &Screen) -> String {
    if let Some(icicle) = &screen.icicle {
        return format!("{} boxes", count(icicle.nodes.len() as u64));
    }
    let (rows, all) = (screen.found_rows as u64, screen.all_rows as u64);
    // Rows of groups are not counted.
    let above = screen.table.rows.iter().take(screen.view.now().at + 1);
    let at = above.filter(|it| !it.is_group()).count() as u64;
    let mut text = format!("{} of {}", count(at), several(rows, "row"));
    if rows < all {
        text = format!("{text} ({} filtered out)", count(all - rows));
    }
    if let Some(group) = screen.view.group() {
        text = format!("{text}, by {group}");
    }
    if screen.table.left_out > 0 {
        text = format!("{text}, {} smaller not sent", count(screen.table.left_out));
    }
    text
}
