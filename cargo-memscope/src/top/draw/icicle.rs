//! Draws the icicle: one line for each level, the root at the top, and widths in proportion to the
//! bytes.

use ratatui::{
    layout::Rect,
    style::{Color, Modifier, Style},
};

use super::canvas::{Canvas, columns, end, middle, start};
use crate::top::{
    icicle::{Icicle, Node},
    number::{bytes, percent, several},
    own_code::Origin,
    screen::Screen,
    theme::{BOLD, CHOSEN, DIM},
};

/// Draws the tree, below lines about all of it and about the chosen box. Returns the area below.
pub(super) fn draw(canvas: &mut Canvas<'_>, area: Rect, screen: &Screen, icicle: &Icicle) -> Rect {
    let code = &screen.view.code;
    let top = icicle.find(&code.focus).unwrap_or(0);
    let chosen = icicle.find(&code.at).unwrap_or(top);
    let (places, too_narrow) = icicle.places(top, area.width);
    let lines = [whole(screen, icicle, too_narrow), String::new()];
    for (y, line) in (area.top()..area.bottom()).zip(&lines) {
        canvas.text(area.x, y, area.width, &start(line, area.width), Style::new());
    }
    read_out(canvas, area, icicle, chosen);
    let (first, page) = (area.y.saturating_add(2), usize::from(area.height.saturating_sub(2)));
    // The chosen box is on the screen, with as many of its callers as there is room for.
    let deepest = places.iter().map(|it| icicle.nodes[it.node].level).max().unwrap_or(0);
    let from = (icicle.nodes[chosen].level + 2).min(deepest + 1).saturating_sub(page);
    let has_filter = !screen.view.now().filter.is_empty() && !screen.is_bad_filter;
    for place in places {
        let node = &icicle.nodes[place.node];
        let Some(row) = node.level.checked_sub(from).filter(|it| *it < page) else { continue };
        let y = first.saturating_add(u16::try_from(row).unwrap_or(u16::MAX));
        let is_above = node.level < icicle.nodes[top].level;
        let mut style = look(node.origin);
        if is_above || has_filter && node.hit == 0 {
            style = style.add_modifier(Modifier::DIM).remove_modifier(Modifier::BOLD);
        }
        let line = Rect { x: area.x + place.column, y, width: place.width, height: 1 };
        draw_box(canvas, line, node, style);
        if place.node == chosen {
            canvas.style(line, CHOSEN);
        }
    }
    let used = u16::try_from(deepest + 3).unwrap_or(u16::MAX).min(area.height);
    Rect { y: area.y + used, height: area.height - used, ..area }
}

/// Returns the style of a box. Own code is also seen without colour, as its line is double.
fn look(origin: Origin) -> Style {
    match origin {
        Origin::Own => Style::new().fg(Color::Blue).add_modifier(Modifier::BOLD),
        Origin::Site => BOLD,
        Origin::Dependency => Style::new(),
        Origin::Standard => DIM,
    }
}

fn draw_box(canvas: &mut Canvas<'_>, area: Rect, node: &Node, style: Style) {
    let fill = if node.origin == Origin::Own { "═" } else { "─" };
    let line = fill.repeat(usize::from(area.width));
    canvas.text(area.x, area.y, area.width, &line, style);
    canvas.text(area.x, area.y, 1, "│", style);
    let size = format!(" {}", about(node.bytes));
    let size_width = columns(&size);
    // The size is never cut: it is either whole or absent.
    let has_size = area.width >= size_width + 14;
    let room = area.width.saturating_sub(if has_size { size_width + 2 } else { 2 });
    if room < 3 {
        return;
    }
    let name = middle(last_two(&node.name), room);
    let after = canvas.text(area.x + 1, area.y, room, &name, style);
    if has_size {
        canvas.right(area.right(), area.y, size_width, &size, style);
    }
    if after < area.right() {
        canvas.text(
            after,
            area.y,
            1,
            if has_size || room > columns(&name) { " " } else { fill },
            style,
        );
    }
}

/// Returns the last two segments of a path, such as `db::query`. A name with generic arguments
/// stays whole.
fn last_two(name: &str) -> &str {
    if name.contains(['<', '{', ' ', '(']) {
        return name;
    }
    name.rmatch_indices("::").nth(1).map_or(name, |(at, _)| &name[at + 2..])
}

fn about(size: u64) -> String {
    if size == 0 { bytes(0) } else { format!("≈ {}", bytes(size)) }
}

fn whole(screen: &Screen, icicle: &Icicle, too_narrow: usize) -> String {
    let root = &icicle.nodes[0];
    let interval = screen.report.snapshot.stack_interval_bytes();
    let mut parts = vec![format!(
        "{} {}, {}",
        about(root.bytes),
        screen.view.code.bytes_word(),
        several(root.samples, "sample")
    )];
    if !screen.view.now().filter.is_empty() && !screen.is_bad_filter {
        parts.push(format!("the filter matches {}", percent(root.hit, root.bytes)));
    }
    let hidden = screen.view.code.hidden.len() as u64;
    if hidden > 0 {
        parts.push(format!("{} hidden", several(hidden, "frame")));
    }
    if interval > 0 {
        parts.push(format!("one in {} allocated is sampled", bytes(interval)));
    }
    if too_narrow > 0 {
        parts.push(format!("{too_narrow} too narrow to draw"));
    }
    parts.join("; ")
}

/// Draws the facts about the chosen box.
fn read_out(canvas: &mut Canvas<'_>, area: Rect, icicle: &Icicle, chosen: usize) {
    if area.height < 2 {
        return;
    }
    let (node, all) = (&icicle.nodes[chosen], icicle.nodes[0].bytes);
    let figures = format!(
        "  {}, {}, {}",
        about(node.bytes),
        several(node.samples, "sample"),
        percent(node.bytes, all)
    );
    let place = end(&node.place, area.width / 3);
    let taken = columns(&place) + u16::from(!place.is_empty());
    canvas.right(area.right(), area.y + 1, columns(&place), &place, DIM);
    let room = area.width.saturating_sub(taken);
    let name = middle(&node.name, room.saturating_sub(columns(&figures)));
    let x = canvas.text(area.x, area.y + 1, room, &name, BOLD);
    canvas.text(x, area.y + 1, room.saturating_sub(x - area.x), &figures, Style::new());
}
