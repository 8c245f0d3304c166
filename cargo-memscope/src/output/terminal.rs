//! The terminal: styles of text, and lines that fit its width.

use anstyle::{AnsiColor, Style};

// The styles of text. They have no effect if the output is not a terminal, or if `NO_COLOR` is set.
pub(crate) const SIZE: Style = Style::new().bold();
pub(crate) const NAME: Style = AnsiColor::Cyan.on_default();
pub(crate) const PLACE: Style = Style::new().dimmed();
pub(crate) const ADVICE: Style = AnsiColor::Green.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();

/// The most columns of a line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Width(usize);

/// The least width. On a narrower terminal, the terminal itself breaks the lines.
const LEAST: usize = 40;

impl Width {
    /// Returns the width of the terminal. In files and pipes the width is unlimited, so that no
    /// text is lost.
    pub(crate) fn of_output() -> Self {
        let terminal = terminal_size::terminal_size_of(std::io::stdout());
        Self(terminal.map_or(usize::MAX, |it| usize::from(it.0.0).max(LEAST)))
    }

    /// Returns the width that is left after an indent.
    pub(crate) fn minus(self, columns: usize) -> Self {
        Self(self.0.saturating_sub(columns).max(LEAST / 2))
    }

    /// Cuts the middle out of a text that is too long. Names begin with their crate, and their ends
    /// tell them apart.
    pub(crate) fn middle(self, text: &str) -> String {
        let count = text.chars().count();
        if count <= self.0 {
            return text.to_owned();
        }
        let tail = (self.0 - 1) / 2;
        let head = self.0 - 1 - tail;
        let start: String = text.chars().take(head).collect();
        let end: String = text.chars().skip(count - tail).collect();
        format!("{start}…{end}")
    }

    /// Breaks the text into lines.
    pub(crate) fn lines(self, text: &str) -> Vec<String> {
        let mut lines = vec![String::new()];
        let mut column = 0;
        for word in text.split(' ') {
            let len = word.chars().count();
            if column > 0 && column + 1 + len > self.0 {
                lines.push(String::new());
                column = 0;
            }
            if let Some(line) = lines.last_mut() {
                if column > 0 {
                    line.push(' ');
                    column += 1;
                }
                line.push_str(word);
            }
            column += len;
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_loses_its_middle() {
        assert_eq!(Width(9).middle("app::db::query"), "app:…uery");
        assert_eq!(Width(14).middle("app::db::query"), "app::db::query");
        assert_eq!(Width(5).middle("ä€öüß€ä"), "ä€…€ä");
    }

    #[test]
    fn lines_are_no_wider_than_they_may_be() {
        assert_eq!(
            Width(8).lines("box this argument, please"),
            ["box this", "argument,", "please"]
        );
        assert_eq!(Width(usize::MAX).lines("a b"), ["a b"]);
    }
}
