//! What the terminal can show: colours, and characters beyond ASCII.

use std::env;

use memscope_runtime::analysis::Severity;
use ratatui::style::{Color, Modifier, Style};

use super::memory::PartKind;

/// What the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Theme {
    pub(super) is_coloured: bool,
    pub(super) is_unicode: bool,
}

impl Theme {
    /// Reads the theme from the environment: `NO_COLOR` and the locale.
    pub(super) fn of_environment() -> Self {
        let value = |name: &str| env::var_os(name).filter(|it| !it.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|it| value(it));
        let locale = locale.map(|it| it.to_string_lossy().to_ascii_lowercase());
        Self {
            is_coloured: value("NO_COLOR").is_none(),
            // Windows has no such variable, but its terminal shows these characters.
            is_unicode: match locale {
                Some(locale) => locale.contains("utf-8") || locale.contains("utf8"),
                None => cfg!(windows),
            },
        }
    }

    /// Returns the style for a share of the whole. Small shares are dim.
    pub(super) fn share(share: f64, is_left: bool) -> Style {
        let style = Style::new();
        match share {
            _ if is_left && share >= 0.01 => style.fg(LEFT),
            it if it >= 0.25 => style.fg(Color::Red).add_modifier(Modifier::BOLD),
            it if it >= 0.10 => style.fg(Color::Yellow),
            it if it >= 0.01 => style,
            _ => style.add_modifier(Modifier::DIM),
        }
    }

    /// Returns the sign of a severity. Its shape differs too, so that it is seen without colour.
    pub(super) fn severity(severity: Severity) -> (&'static str, Style) {
        match severity {
            Severity::High => ("●", Style::new().fg(Color::Red).add_modifier(Modifier::BOLD)),
            Severity::Medium => ("▲", Style::new().fg(Color::Yellow)),
            Severity::Low => ("○", DIM),
        }
    }

    /// Returns the character that fills a part of the bar, and its colour.
    pub(super) fn part(self, kind: PartKind) -> (&'static str, Style) {
        let (plain, colour) = match kind {
            PartKind::Alive => ("█", Color::Blue),
            PartKind::Left => ("▓", LEFT),
            PartKind::Unannotated => ("▒", Color::Cyan),
            PartKind::Outside => ("▚", Color::Gray),
            PartKind::Own => ("▞", Color::Magenta),
            PartKind::Free => ("░", Color::DarkGray),
            PartKind::Rest => ("╱", Color::DarkGray),
            PartKind::Room => ("·", Color::DarkGray),
        };
        let is_solid = self.is_coloured && self.is_unicode;
        let solid = match kind {
            PartKind::Room => "·",
            PartKind::Rest => "▒",
            PartKind::Free => "░",
            _ => "█",
        };
        (if is_solid { solid } else { plain }, Style::new().fg(colour))
    }
}

/// The colour of bytes that outlived their task.
pub(super) const LEFT: Color = Color::Indexed(208);
pub(super) const DIM: Style = Style::new().add_modifier(Modifier::DIM);
pub(super) const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
pub(super) const CHOSEN: Style = Style::new().add_modifier(Modifier::REVERSED);
pub(super) const TROUBLE: Style = Style::new().fg(Color::Black).bg(Color::Yellow);
