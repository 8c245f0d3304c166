//! Draws the screen: the process, its memory over time, the findings, and a table.

mod canvas;
mod plain;
mod header;
mod memory;
mod icicle;
mod table;
mod panel;

use std::time::Instant;

use canvas::Canvas;
use ratatui::{buffer::Buffer, layout::Rect};

use super::{screen::Screen, theme::Theme};

/// The columns and rows that a terminal needs for tables. A smaller one shows the sums.
const LEAST: (u16, u16) = (32, 8);
/// From this width on, the open panel stands beside the table.
const WIDE: u16 = 150;

/// Draws everything onto these cells.
pub(super) fn draw(buffer: &mut Buffer, screen: &mut Screen, theme: Theme, now: Instant) {
    let area = buffer.area;
    let mut canvas = Canvas { buffer, theme };
    let standing = screen.standing(now);
    if area.width < LEAST.0 || area.height < LEAST.1 {
        memory::small(&mut canvas, area, screen, &standing);
        plain::fit(canvas.buffer, theme);
        return;
    }
    let mut rest = header::draw(&mut canvas, area, screen, &standing);
    rest.height -= 1;
    rest = memory::draw(&mut canvas, rest, screen);
    header::keys(&mut canvas, area, screen);
    match &screen.view.panel {
        Some(_) if area.width >= WIDE => {
            let left = Rect { width: area.width / 20 * 11, ..rest };
            let from = left.right() + 3;
            let right = Rect { x: from, width: area.right() - from, ..rest };
            let below = memory::findings(&mut canvas, left, screen);
            table::draw(&mut canvas, below, screen);
            for y in rest.top()..rest.bottom() {
                canvas.text(left.right() + 1, y, 1, "│", super::theme::DIM);
            }
            panel::draw(&mut canvas, right, screen);
        }
        Some(_) => panel::draw(&mut canvas, rest, screen),
        None => {
            let below = memory::findings(&mut canvas, rest, screen);
            table::draw(&mut canvas, below, screen);
        }
    }
    if !standing.is_fresh() {
        let old = Rect { y: rest.y, height: rest.height, ..area };
        canvas.style(old, super::theme::DIM);
    }
    plain::fit(canvas.buffer, theme);
}
