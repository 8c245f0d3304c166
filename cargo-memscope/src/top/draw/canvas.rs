//! The cells of the terminal. Text is written within bounds, and cut so that its important part
//! stays.

use memscope_runtime::__terminal::width;
use ratatui::{buffer::Buffer, layout::Rect, style::Style};

use crate::top::theme::Theme;

/// The character in place of text that was cut.
const CUT: &str = "…";

/// The cells of the terminal.
#[derive(Debug)]
pub(super) struct Canvas<'a> {
    pub(super) buffer: &'a mut Buffer,
    pub(super) theme: Theme,
}

impl Canvas<'_> {
    /// Writes text from this cell on, in at most `most` columns. Returns the column after it.
    pub(super) fn text(&mut self, x: u16, y: u16, most: u16, text: &str, style: Style) -> u16 {
        let area = self.buffer.area;
        if x >= area.right() || y >= area.bottom() {
            return x;
        }
        let most = usize::from(most.min(area.right() - x));
        self.buffer.set_stringn(x, y, text, most, style).0
    }

    /// Writes text that ends before column `right`, in at most `most` columns.
    pub(super) fn right(&mut self, right: u16, y: u16, most: u16, text: &str, style: Style) {
        let columns = columns(text).min(most);
        self.text(right.saturating_sub(columns), y, columns, text, style);
    }

    /// Gives cells of a row another style.
    pub(super) fn style(&mut self, area: Rect, style: Style) {
        self.buffer.set_style(area.intersection(self.buffer.area), style);
    }
}

/// The columns of the terminal that an escaped text takes.
pub(super) fn columns(text: &str) -> u16 {
    u16::try_from(width(text)).unwrap_or(u16::MAX)
}

/// Returns the start of a text, cut to `most` columns.
pub(super) fn start(text: &str, most: u16) -> String {
    if columns(text) <= most {
        return text.to_owned();
    }
    format!("{}{}", taken(text.chars(), most.saturating_sub(1)), if most > 0 { CUT } else { "" })
}

/// Returns the end of a text, cut to `most` columns. The end of a path is the file and the line.
pub(super) fn end(text: &str, most: u16) -> String {
    if columns(text) <= most {
        return text.to_owned();
    }
    let end = taken(text.chars().rev(), most.saturating_sub(1));
    format!("{}{}", if most > 0 { CUT } else { "" }, end.chars().rev().collect::<String>())
}

/// Returns a text with its middle cut out. Names begin with their crate, and their ends tell them
/// apart.
pub(super) fn middle(text: &str, most: u16) -> String {
    if columns(text) <= most || most < 3 {
        return start(text, most);
    }
    let tail = (most - 1) / 2;
    let last = taken(text.chars().rev(), tail).chars().rev().collect::<String>();
    format!("{}{CUT}{last}", taken(text.chars(), most - 1 - tail))
}

/// Returns as many characters as fit.
fn taken(characters: impl Iterator<Item = char>, most: u16) -> String {
    let mut taken = String::new();
    let mut used = 0;
    let mut buffer = [0; 4];
    for character in characters {
        used += columns(character.encode_utf8(&mut buffer));
        if used > most {
            break;
        }
        taken.push(character);
    }
    taken
}

/// Breaks text into lines of at most `most` columns.
pub(super) fn lines(text: &str, most: u16) -> Vec<String> {
    let most = most.max(1);
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let mut word = word.to_owned();
        loop {
            let line = lines.last().map_or(0, |it| columns(it));
            let gap = u16::from(line > 0);
            if line.saturating_add(gap).saturating_add(columns(&word)) <= most {
                break;
            }
            if line > 0 {
                lines.push(String::new());
                continue;
            }
            let first = taken(word.chars(), most);
            if first.is_empty() {
                // The character is wider than the whole line.
                word.clear();
                break;
            }
            word.drain(..first.len());
            if let Some(last) = lines.last_mut() {
                last.push_str(&first);
            }
            lines.push(String::new());
        }
        if let Some(last) = lines.last_mut() {
            if !last.is_empty() {
                last.push(' ');
            }
            last.push_str(&word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_cut_keeps_what_tells_it_apart() {
        assert_eq!(middle("app::db::query", 9), "app:…uery");
        assert_eq!(end("src/db/query.rs:88", 12), "…query.rs:88");
        assert_eq!(start("1.6 MiB in all", 9), "1.6 MiB …");
        assert_eq!(
            (start("ab", 0), middle("ab", 1), end("ab", 1)),
            (String::new(), "…".into(), "…".into())
        );
        assert_eq!(lines("one two three", 7), ["one two", "three"]);
        assert_eq!(lines("abcdefgh i", 3), ["abc", "def", "gh", "i"]);
    }

    proptest! {
        #[test]
        fn no_text_is_wider_than_it_may_be(text in "\\PC{0,40}", most in 0_u16..50) {
            for cut in [start(&text, most), middle(&text, most), end(&text, most)] {
                prop_assert!(columns(&cut) <= most, "{cut:?}");
            }
            for line in lines(&text, most.max(2)) {
                prop_assert!(columns(&line) <= most.max(2), "{line:?}");
            }
        }
    }
}
