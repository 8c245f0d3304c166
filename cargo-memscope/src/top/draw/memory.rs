//! Draws the memory: the bar up to the limit, the sparkline of live bytes, and the findings.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Style},
    widgets::{Sparkline, Widget},
};

use super::canvas::{Canvas, columns, middle, start};
use crate::top::{
    connection::Standing,
    memory::{Memory, Part, PartKind},
    number::{bytes, duration, percent},
    screen::Screen,
    theme::{BOLD, DIM, Theme},
};

/// The columns of the labels `resident` and `live`.
const LABEL: u16 = 10;
/// From this height on, the sparkline has three rows.
const TALL: u16 = 36;
/// Below this height there is no legend, and only one finding.
const SHORT: u16 = 18;

/// Draws the memory of the process. Returns the area below.
pub(super) fn draw(canvas: &mut Canvas<'_>, area: Rect, screen: &Screen) -> Rect {
    let memory = &screen.memory;
    let mut y = area.y;
    sums(canvas, row(area, y), memory);
    y += 1;
    if memory.not_measured.is_none() && area.height >= SHORT - 4 {
        bar(canvas, row(area, y), memory);
        y += 1;
        if area.height >= SHORT {
            y += legend(canvas, Rect { y, height: 2, ..area }, memory);
        }
    }
    if memory.not_measured.is_none() {
        let rows = if area.height >= TALL { 3 } else { 1 };
        history(canvas, Rect { y, height: rows, ..area }, screen);
        y += rows;
    }
    Rect { y, height: area.bottom() - y, ..area }
}

fn row(area: Rect, y: u16) -> Rect {
    Rect { y, height: 1, ..area }
}

/// Draws the resident memory, the limit, and how full it is.
fn sums(canvas: &mut Canvas<'_>, area: Rect, memory: &Memory) {
    let (x, y, right) = (area.x, area.y, area.right());
    if let Some(why) = memory.not_measured {
        let text = format!("not measured: {why}");
        canvas.text(x, y, area.width, &start(&text, area.width), Style::new().fg(Color::Yellow));
        return;
    }
    canvas.text(x, y, area.width, "resident", DIM);
    let mut x = x + LABEL;
    let mut put = |text: &str, style: Style| {
        if x.saturating_add(columns(text)) <= right {
            x = canvas.text(x, y, right - x, text, style);
        }
    };
    match memory.resident {
        Some(resident) => put(&bytes(resident), BOLD),
        None => put("not measured", DIM),
    }
    match (memory.limit, memory.resident) {
        (Some(limit), Some(resident)) => {
            put(&format!("  {}", percent(resident, limit)), fullness(resident, limit));
            put(&format!(" of {} limit", bytes(limit)), Style::new());
            put(&format!(" ({})", memory.limit_words), DIM);
        }
        (Some(limit), None) => put(&format!("  limit {}", bytes(limit)), Style::new()),
        (None, _) => put("  no limit is known", DIM),
    }
    if let Some(growth) = &memory.growth {
        put(&format!("  △ {growth}"), Style::new().fg(Color::Yellow));
    }
}

/// Returns the style for a limit that is filled up to `used`.
fn fullness(used: u64, limit: u64) -> Style {
    let is_over = |share: u128| u128::from(used) * 100 >= u128::from(limit) * share;
    match () {
        () if is_over(90) => BOLD.fg(Color::Red),
        () if is_over(75) => BOLD.fg(Color::Yellow),
        () => BOLD,
    }
}

/// Draws the parts of the memory, one after the other, and the room up to the limit.
fn bar(canvas: &mut Canvas<'_>, area: Rect, memory: &Memory) {
    let scale = u128::from(memory.scale()).max(1);
    let width = u128::from(area.width);
    let mut sum = 0_u128;
    let mut from = 0;
    let limit = memory.limit.unwrap_or(0);
    let used = memory.parts.iter().fold(0_u64, |sum, it| sum.saturating_add(it.bytes));
    let room = Part { kind: PartKind::Room, label: "room", bytes: limit.saturating_sub(used) };
    for part in memory.parts.iter().chain([&room]) {
        sum += u128::from(part.bytes);
        let to = u16::try_from((sum * width + scale / 2) / scale).unwrap_or(area.width);
        let (sign, style) = canvas.theme.part(part.kind);
        for x in from..to.min(area.width) {
            canvas.text(area.x + x, area.y, 1, sign, style);
        }
        from = from.max(to);
    }
}

/// Draws the names of the parts, in at most two rows. Returns the number of rows.
fn legend(canvas: &mut Canvas<'_>, area: Rect, memory: &Memory) -> u16 {
    let (mut x, mut y) = (area.x, area.y);
    let mut room = memory.limit.and_then(|it| it.checked_sub(memory.used())).map(|bytes| Part {
        kind: PartKind::Room,
        label: "room",
        bytes,
    });
    let parts: Vec<Part> = memory.parts.iter().cloned().chain(room.take()).collect();
    for (at, part) in parts.iter().enumerate() {
        let (sign, style) = canvas.theme.part(part.kind);
        let size = bytes(part.bytes);
        let needed = 2 + columns(part.label) + 1 + columns(&size);
        let is_last_row = y + 1 == area.bottom();
        // The room for the words that other parts are left out, unless this part is the last.
        let more = if is_last_row && at + 1 < parts.len() { 10 } else { 0 };
        if x.saturating_add(needed + more) > area.right() {
            if is_last_row || x == area.x {
                canvas.text(x, y, area.right() - x, &format!("+{} more", parts.len() - at), DIM);
                break;
            }
            (x, y) = (area.x, y + 1);
        }
        x = canvas.text(x, y, 1, sign, style) + 1;
        x = canvas.text(x, y, needed, part.label, DIM) + 1;
        x = canvas.text(x, y, needed, &size, Style::new()) + 2;
        x = x.min(area.right());
    }
    y + 1 - area.y
}

/// Draws the live bytes: now, in proportion to their most, and over time.
fn history(canvas: &mut Canvas<'_>, area: Rect, screen: &Screen) {
    let history = &screen.history;
    canvas.text(area.x, area.y, LABEL, "live", DIM);
    let text = bytes(history.now);
    let x = canvas.text(area.x + LABEL, area.y, area.width, &text, BOLD);
    let of_most =
        format!("  {} of max {}", percent(history.now, history.most), bytes(history.most));
    let mut x = canvas.text(x, area.y, area.right().saturating_sub(x), &of_most, Style::new());
    let over = format!("over {}", duration(history.span_ns()));
    if area.height > 1 {
        canvas.text(area.x + LABEL, area.y + 1, area.width, &over, DIM);
        x = x.max(area.x + LABEL + columns(&over));
    }
    let mut line = Rect { x: x + 2, width: area.right().saturating_sub(x + 2), ..area };
    if area.height == 1 && line.width > columns(&over) + 12 {
        line.width -= columns(&over) + 1;
        canvas.right(area.right(), area.y, columns(&over), &over, DIM);
    }
    if line.width < 4 {
        return;
    }
    sparkline(canvas.buffer, line, &history.columns(usize::from(line.width)), history.most);
}

fn sparkline(buffer: &mut Buffer, area: Rect, data: &[u64], most: u64) {
    let style = Style::new().fg(Color::Blue);
    Sparkline::default().data(data).max(most.max(1)).style(style).render(area, buffer);
}

/// Draws the findings. Returns the area below.
pub(super) fn findings(canvas: &mut Canvas<'_>, area: Rect, screen: &Screen) -> Rect {
    let most = match area.height {
        0..8 => 0,
        8..12 => 1,
        12..30 => 3,
        _ => 6,
    };
    let mut y = area.y;
    if screen.findings.is_empty() && most > 0 {
        let text = start(&screen.calm, area.width);
        canvas.text(area.x, y, area.width, &text, DIM);
        y += 1;
    }
    let shown = screen.findings.len().min(most);
    // The last row says how many others there are.
    let others = screen.findings.len() - shown;
    let shown = if others > 0 { shown.saturating_sub(1) } else { shown };
    for it in &screen.findings[..shown] {
        let (sign, style) = Theme::severity(it.severity);
        canvas.text(area.x, y, 1, sign, style);
        let place = if area.width >= 110 { &*it.place } else { "" };
        let place = super::canvas::end(place, area.width / 4);
        canvas.right(area.right(), y, area.width / 4, &place, DIM);
        let right = area.right().saturating_sub(columns(&place) + u16::from(!place.is_empty()));
        // If there is little room, the title is cut before the figures, which begin with bytes.
        let room = right.saturating_sub(area.x + 4);
        let title = room.saturating_sub(columns(&it.figures)).max(room / 5 * 2);
        let x = canvas.text(area.x + 2, y, title, &middle(&it.title, title), style);
        let left = right.saturating_sub(x + 2);
        canvas.text(x + 2, y, left, &start(&it.figures, left), Style::new());
        y += 1;
    }
    if most > 0 && shown < screen.findings.len() {
        let number = screen.findings.len() - shown;
        let which = if shown == 0 { "" } else { "more " };
        let text = format!("  {number} {which}findings: f shows all");
        canvas.text(area.x, y, area.width, &start(&text, area.width), DIM);
        y += 1;
    }
    Rect { y, height: area.bottom() - y, ..area }
}

/// Draws a terminal without room for tables: the sums, one in each row.
pub(super) fn small(canvas: &mut Canvas<'_>, area: Rect, screen: &Screen, standing: &Standing) {
    let memory = &screen.memory;
    let used = match memory.not_measured {
        Some(_) => "not measured".to_owned(),
        None => bytes(memory.used()),
    };
    let mut rows = vec![(used, BOLD)];
    if let (Some(limit), Some(resident)) = (memory.limit, memory.resident) {
        rows.push((format!("{} of {}", percent(resident, limit), bytes(limit)), Style::new()));
    }
    let style = if standing.is_fresh() { DIM } else { crate::top::theme::TROUBLE };
    // The words on the connection come first if they are not fresh.
    let at = if standing.is_fresh() { rows.len() } else { 0 };
    rows.insert(at, (standing.words(), style));
    rows.push((screen.report.program(), Style::new()));
    for (y, (text, style)) in (area.top()..area.bottom()).zip(rows) {
        canvas.text(area.x, y, area.width, &start(&text, area.width), style);
    }
}
