//! Draws the tabs, and the rows of the chosen tab.

use ratatui::{
    layout::Rect,
    style::{Color, Style},
};

use super::canvas::{Canvas, columns, end, middle, start};
use crate::top::{
    number::count,
    screen::Screen,
    table::{Kind, Row, Table, Value},
    tables::Tab,
    theme::{BOLD, CHOSEN, DIM, Theme},
};

/// The columns that a long name gets before other columns get room.
const LEAST_NAME: u16 = 22;
const GAP: u16 = 2;
/// The lines that a table below an icicle needs.
const LEAST_BELOW: u16 = 6;

/// Draws the tabs and the rows.
pub(super) fn draw(canvas: &mut Canvas<'_>, area: Rect, screen: &mut Screen) {
    if area.height == 0 {
        return;
    }
    tabs(canvas, area, screen);
    let below = Rect { y: area.y + 1, height: area.height - 1, ..area };
    if let Some(icicle) = &screen.icicle
        && icicle.nodes[0].bytes > 0
    {
        let below = super::icicle::draw(canvas, below, screen, icicle);
        // If there is room, the table of the same stacks follows.
        if below.height >= LEAST_BELOW {
            let below = Rect { y: below.y + 1, height: below.height - 1, ..below };
            rows(canvas, below, screen, None);
        }
        return;
    }
    screen.view.page = usize::from(below.height.saturating_sub(1));
    screen.view.settle(&screen.table);
    rows(canvas, below, screen, Some(screen.view.now().at));
}

/// Draws the titles of the columns, and the rows.
fn rows(canvas: &mut Canvas<'_>, area: Rect, screen: &Screen, chosen: Option<usize>) {
    if screen.table.rows.is_empty() {
        empty(canvas, area, screen);
        return;
    }
    let widths = fit(&screen.table, &screen.widths, area.width.saturating_sub(2));
    titles(canvas, Rect { height: area.height.min(1), ..area }, screen, &widths);
    let from = chosen.map_or(0, |_| screen.view.now().from);
    let shown = screen.table.rows.iter().enumerate().skip(from);
    for (y, (at, row)) in (area.y.saturating_add(1)..area.bottom()).zip(shown) {
        let line = Rect { y, height: 1, ..area };
        draw_row(canvas, line, &screen.table, row, &widths);
        if chosen == Some(at) {
            canvas.style(line, CHOSEN);
        }
    }
}

fn tabs(canvas: &mut Canvas<'_>, area: Rect, screen: &Screen) {
    let texts = |is_whole: bool, has_numbers: bool| {
        let counts = screen.tab_counts();
        let text = |(at, tab): (usize, Tab)| {
            let (whole, short) = tab.names();
            let number = counts[at].filter(|_| has_numbers);
            let number = number.map_or_else(String::new, |it| format!(" {}", count(it)));
            format!("{} {}{number}", at + 1, if is_whole { whole } else { short })
        };
        Tab::ALL.into_iter().enumerate().map(text).collect::<Vec<_>>()
    };
    let fits = |texts: &[String]| {
        let all = texts.iter().fold(0_u16, |sum, it| sum.saturating_add(columns(it) + GAP));
        all <= area.width.saturating_add(GAP)
    };
    // The longest text that fits is drawn.
    let ways = [(true, true), (false, true), (false, false)];
    let mut texts = ways.iter().map(|(is_whole, has_numbers)| texts(*is_whole, *has_numbers));
    let shortest = texts.clone().next_back();
    let texts = texts.find(|it| fits(it)).or(shortest).unwrap_or_default();
    let gap = if fits(&texts) { GAP } else { 1 };
    let mut x = area.x;
    for (tab, text) in Tab::ALL.into_iter().zip(texts) {
        let style = if tab == screen.view.tab { BOLD.patch(CHOSEN) } else { DIM };
        let room = area.right().saturating_sub(x);
        x = canvas.text(x, area.y, room, &text, style).saturating_add(gap);
    }
}

fn empty(canvas: &mut Canvas<'_>, area: Rect, screen: &Screen) {
    let is_filtered = screen.all_rows > 0;
    let why = if is_filtered { "No row matches the filter." } else { &screen.table.empty };
    for (y, line) in (area.top()..area.bottom()).zip(super::canvas::lines(why, area.width)) {
        canvas.text(area.x, y, area.width, &line, Style::new());
    }
}

/// Returns the width of each column, or `None` for a column without room. Numbers are never cut, so
/// their columns are either whole or absent.
fn fit(table: &Table, widest: &[u16], width: u16) -> Vec<Option<u16>> {
    // A tree indents its names.
    let indent = table.rows.iter().map(|it| it.level).max().unwrap_or(0).saturating_mul(2);
    let wanted = |at: usize| {
        let wanted = widest.get(at).copied().unwrap_or(0);
        match table.columns[at].kind {
            Kind::Name => wanted.saturating_add(indent),
            Kind::Text(most) => wanted.min(most),
            Kind::Number => wanted,
        }
    };
    let is_name = |at: &usize| table.columns[*at].kind == Kind::Name;
    let least = |at: usize| if is_name(&at) { wanted(at).min(LEAST_NAME) } else { wanted(at) };
    let mut widths: Vec<Option<u16>> = (0..table.columns.len()).map(|at| Some(least(at))).collect();
    let room = width.saturating_add(GAP);
    let sum = |widths: &[Option<u16>]| {
        widths.iter().flatten().fold(0_u16, |sum, it| sum.saturating_add(*it).saturating_add(GAP))
    };
    // The name and one number stay.
    while sum(&widths) > room && widths.iter().flatten().count() > 2 {
        let there = (0..widths.len()).filter(|at| widths[*at].is_some() && !is_name(at));
        let Some(worst) = there.max_by_key(|at| table.columns[*at].drop) else { break };
        widths[worst] = None;
    }
    let (used, name) = (sum(&widths), (0..widths.len()).find(is_name));
    if let Some(at) = name
        && let Some(columns) = &mut widths[at]
    {
        let most = columns.saturating_add(room.saturating_sub(used)).min(wanted(at));
        *columns = most.saturating_sub(used.saturating_sub(room));
    }
    widths
}

/// Calls `each` for every column that has room, with its index, its first cell and its width.
fn each_column(area: Rect, widths: &[Option<u16>], mut each: impl FnMut(usize, u16, u16)) {
    let mut x = area.x + 2;
    for (at, width) in widths.iter().enumerate() {
        let Some(width) = width else { continue };
        if x >= area.right() {
            return;
        }
        each(at, x, (*width).min(area.right() - x));
        x = x.saturating_add(*width).saturating_add(GAP);
    }
}

fn titles(canvas: &mut Canvas<'_>, area: Rect, screen: &Screen, widths: &[Option<u16>]) {
    each_column(area, widths, |at, x, width| {
        let column = screen.table.columns[at];
        let mut title = column.title.to_owned();
        let mut style = DIM;
        if screen.sort.column == at {
            title.push_str(if screen.sort.is_descending { " ▼" } else { " △" });
            style = BOLD;
        }
        match column.kind {
            Kind::Number => canvas.right(x + width, area.y, width, &title, style),
            _ => drop(canvas.text(x, area.y, width, &start(&title, width), style)),
        }
    });
    let hidden = widths.iter().filter(|it| it.is_none()).count();
    if hidden > 0 {
        let text = format!("+{hidden}");
        let used = widths.iter().flatten().fold(2, |sum: u16, it| sum.saturating_add(it + GAP));
        let right = area.right().saturating_sub(columns(&text));
        if used <= right {
            canvas.right(area.right(), area.y, 4, &text, DIM);
        }
    }
}

fn draw_row(canvas: &mut Canvas<'_>, area: Rect, table: &Table, row: &Row, widths: &[Option<u16>]) {
    if let Some(severity) = row.severity {
        let (sign, style) = Theme::severity(severity);
        canvas.text(area.x, area.y, 1, sign, style);
    }
    let of_share = Theme::share(row.share, row.is_left);
    each_column(area, widths, |at, x, width| {
        let Some(value) = row.values.get(at) else { return };
        let text = value.shown();
        match table.columns[at].kind {
            Kind::Name => {
                let indent = row.level.saturating_mul(2).min(width / 2);
                let room = width - indent;
                canvas.text(
                    x + indent,
                    area.y,
                    room,
                    &middle(&text, room),
                    if row.is_group() { BOLD } else { Style::new() },
                );
            }
            Kind::Text(_) => {
                let is_type = table.columns[at].title == "TYPE";
                let cut = if is_type { middle(&text, width) } else { end(&text, width) };
                canvas.text(x, area.y, width, &cut, DIM);
            }
            Kind::Number => {
                let style = match value {
                    Value::Unknown => DIM,
                    Value::Change(1..) => Style::new().fg(Color::Yellow),
                    Value::Change(..=-1) => Style::new().fg(Color::Green),
                    _ if at == table.sort => of_share,
                    _ => Style::new(),
                };
                canvas.right(x + width, area.y, width, &text, style);
            }
        }
    });
}
