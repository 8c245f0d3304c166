//! The last step of drawing: replaces what the terminal cannot show, cell by cell.

use ratatui::{buffer::Buffer, style::Color};

use crate::top::theme::Theme;

/// Replaces characters beyond ASCII, and colours, if the terminal has none. One cell stays one
/// cell, so nothing moves.
pub(super) fn fit(buffer: &mut Buffer, theme: Theme) {
    for cell in &mut buffer.content {
        if !theme.is_coloured {
            cell.fg = Color::Reset;
            cell.bg = Color::Reset;
        }
        if !theme.is_unicode && !cell.symbol().is_ascii() {
            let plain = plain(cell.symbol());
            cell.set_symbol(plain);
        }
    }
}

fn plain(symbol: &str) -> &'static str {
    match symbol {
        "…" | "≈" => "~",
        "–" | "─" | "·" | "▃" => "-",
        "│" => "|",
        "█" | "●" | "▇" => "#",
        "▓" => "%",
        "▒" | "▲" | "▄" | "═" => "=",
        "▚" | "▅" => "+",
        "▞" => "m",
        "░" => ":",
        "╱" => "/",
        "○" => "o",
        "▼" | "▾" => "v",
        "▸" => ">",
        "Δ" => "d",
        "△" => "^",
        "×" => "x",
        "µ" => "u",
        "▁" => "_",
        "▂" => ".",
        "▆" => "*",
        _ => "?",
    }
}
