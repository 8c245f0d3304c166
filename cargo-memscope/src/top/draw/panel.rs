//! Draws the panel that is open over the table: a row, all findings, or the keys.

use ratatui::{layout::Rect, style::Style};

use super::canvas::{Canvas, columns, end, lines, middle};
use crate::top::{
    detail::Line,
    screen::Screen,
    theme::{BOLD, DIM, LEFT, Theme},
    view::Panel,
};

/// The keys and what they do.
const KEYS: [(&str, &str); 25] = [
    ("j k", "next and previous row (also the arrows)"),
    ("g G", "first and last row (also Home, End)"),
    ("PgUp PgDn", "a screen up and down"),
    ("Enter", "open the row: await backtrace, variables, stacks"),
    ("Esc", "close, clear the filter"),
    ("1 ... 8", "tables (also Tab and the arrows)"),
    ("/", "filter by a regular expression; Enter keeps it"),
    ("s", "sort by the next column"),
    ("i", "invert the order"),
    ("b", "group rows: by crate, file, task type, …; Enter folds a group"),
    ("c", "compare with now; again: end it"),
    ("f", "all findings, with evidence and what helps"),
    ("r", "in `Who holds`: ask again"),
    ("space", "pause, go on"),
    ("?", "this list"),
    ("q", "quit (also Ctrl-C)"),
    ("", ""),
    ("In `Code`", ""),
    ("v", "icicle or table"),
    ("h j k l", "boxes of the icicle (also the arrows)"),
    ("Enter Esc", "look through a box, and back"),
    ("a e x", "live or allocated, all frames, hide a frame"),
    ("", ""),
    ("colours", "red from a quarter of all live bytes, yellow from a tenth"),
    ("orange", "bytes that outlived their tasks"),
];

/// The columns for a name and its figure, if they fit.
const PAIR: u16 = 52;
const GAP: u16 = 2;

/// A line that is drawn: its text, the text to the right, and their styles.
#[derive(Debug, Default)]
struct Drawn {
    left: String,
    left_style: Style,
    right: String,
    right_style: Style,
    /// Whether the right part stands near the left one.
    is_pair: bool,
}

/// Draws the open panel.
pub(super) fn draw(canvas: &mut Canvas<'_>, area: Rect, screen: &mut Screen) {
    let drawn = match &screen.view.panel {
        Some(Panel::Keys) => keys(),
        Some(Panel::Findings) => findings(area.width, screen),
        Some(Panel::Row { is_gone, .. }) => row(area.width, screen, *is_gone),
        None => return,
    };
    // If not all lines fit, the last row says how many there are below.
    let is_long = drawn.len() > usize::from(area.height);
    let page = usize::from(area.height.saturating_sub(u16::from(is_long)));
    screen.view.panel_page = page;
    screen.view.lines = drawn.len();
    let most = drawn.len().saturating_sub(page);
    screen.view.scrolled = screen.view.scrolled.min(most);
    let shown = drawn.iter().skip(screen.view.scrolled).take(page);
    for (y, line) in (area.top()..area.bottom()).zip(shown) {
        let needed = columns(&line.left).saturating_add(columns(&line.right)).saturating_add(GAP);
        let width = if line.is_pair { needed.max(PAIR).min(area.width) } else { area.width };
        let right = columns(&line.right).min(width);
        canvas.right(area.x + width, y, right, &line.right, line.right_style);
        let room = width.saturating_sub(right + u16::from(right > 0));
        canvas.text(area.x, y, room, &middle(&line.left, room), line.left_style);
    }
    if screen.view.scrolled < most && area.height > 0 {
        let text = format!("{} more lines: j", most - screen.view.scrolled);
        canvas.text(area.x, area.bottom() - 1, area.width, &text, DIM);
    }
}

fn text(left: impl Into<String>, left_style: Style) -> Drawn {
    Drawn { left: left.into(), left_style, ..Drawn::default() }
}

fn keys() -> Vec<Drawn> {
    let lines = KEYS.iter().map(|(key, what)| text(format!("{key:>12}  {what}"), Style::new()));
    [text("Keys", BOLD), Drawn::default()].into_iter().chain(lines).collect()
}

fn wrapped(drawn: &mut Vec<Drawn>, indent: &str, what: &str, width: u16, style: Style) {
    let room = width.saturating_sub(columns(indent));
    drawn.extend(lines(what, room).into_iter().map(|it| text(format!("{indent}{it}"), style)));
}

fn findings(width: u16, screen: &Screen) -> Vec<Drawn> {
    let mut drawn = vec![text("What stands out", BOLD), Drawn::default()];
    for it in &screen.findings {
        let (sign, style) = Theme::severity(it.severity);
        let left = format!("{sign} {} {}", it.severity, it.title);
        let right = end(&it.place, width / 3);
        drawn.push(Drawn { left, left_style: style, right, right_style: DIM, ..Drawn::default() });
        wrapped(&mut drawn, "  ", &it.figures, width, BOLD);
        wrapped(&mut drawn, "  ", &it.evidence, width, Style::new());
        wrapped(&mut drawn, "  ", &format!("fix: {}", it.fix), width, Style::new());
        drawn.push(Drawn::default());
    }
    if screen.findings.is_empty() {
        wrapped(&mut drawn, "", &screen.calm, width, Style::new());
    }
    let not_judged = screen.report.leaks.not_judged();
    if !not_judged.is_empty() {
        drawn.push(text("Not judged", BOLD));
        for it in not_judged {
            wrapped(&mut drawn, "  ", &it.to_string(), width, DIM);
        }
    }
    drawn
}

fn row(width: u16, screen: &Screen, is_gone: bool) -> Vec<Drawn> {
    let Some(detail) = &screen.detail else { return Vec::new() };
    let right = end(&detail.place, width / 2);
    let mut drawn = vec![Drawn {
        left: detail.kind.to_owned(),
        left_style: DIM,
        right,
        right_style: DIM,
        ..Drawn::default()
    }];
    wrapped(&mut drawn, "", &detail.title, width, BOLD);
    if is_gone {
        let why = "It has ended, or the snapshot leaves its row out: these are the last figures.";
        wrapped(&mut drawn, "", why, width, Style::new().fg(LEFT));
    }
    for line in &detail.lines {
        match line {
            Line::Section(title, side) => {
                drawn.push(Drawn::default());
                let (left, right) = (title.clone(), (*side).to_owned());
                drawn.push(Drawn {
                    left,
                    left_style: BOLD,
                    right,
                    right_style: DIM,
                    ..Drawn::default()
                });
            }
            Line::Pair(left, right) => drawn.push(Drawn {
                left: left.clone(),
                right: right.clone(),
                is_pair: true,
                ..Drawn::default()
            }),
            Line::Frame(function, place) => {
                let right = end(place, width / 2);
                let left = format!("  {function}");
                drawn.push(Drawn { left, right, right_style: DIM, ..Drawn::default() });
            }
            Line::Text(it) => wrapped(&mut drawn, "", it, width, Style::new()),
            Line::Dim(it) => wrapped(&mut drawn, "", it, width, DIM),
            Line::Finding(severity, title) => {
                let (sign, style) = Theme::severity(*severity);
                wrapped(&mut drawn, "", &format!("{sign} {title}"), width, style);
            }
        }
    }
    drawn
}
