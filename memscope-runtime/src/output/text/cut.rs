//! Lines that fit a terminal: cut, with `…` at their end.

use std::fmt;

use crate::model::text::width;

/// Passes lines on, each cut to a number of columns.
pub(super) struct Cut<'f, 'o> {
    out: &'f mut fmt::Formatter<'o>,
    columns: usize,
    /// The line so far, as far as it can be shown.
    line: String,
    is_full: bool,
}

impl<'f, 'o> Cut<'f, 'o> {
    pub(super) fn new(out: &'f mut fmt::Formatter<'o>, columns: usize) -> Self {
        Self { out, columns, line: String::new(), is_full: false }
    }

    fn end_line(&mut self) -> fmt::Result {
        if width(&self.line) > self.columns {
            while !self.line.is_empty() && width(&self.line) >= self.columns {
                self.line.pop();
            }
            self.line.push('…');
        }
        self.out.write_str(&self.line)?;
        self.line.clear();
        self.is_full = false;
        Ok(())
    }

    /// Must be called at the end of the text.
    pub(super) fn finish(mut self) -> fmt::Result {
        self.end_line()
    }
}

impl fmt::Write for Cut<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for (number, piece) in text.split('\n').enumerate() {
            if number != 0 {
                self.end_line()?;
                self.out.write_char('\n')?;
            }
            if !self.is_full {
                // What is beyond the columns is never shown. A character has one column at least,
                // or it is one of three marks on another one.
                let most = 4 * (self.columns + 1);
                let end = piece.char_indices().nth(most).map_or(piece.len(), |(at, _)| at);
                self.line.push_str(&piece[..end]);
                self.is_full = width(&self.line) > self.columns;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::{self, Write};

    use super::*;

    struct Text<'t>(&'t [&'t str]);

    impl fmt::Display for Text<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let columns = f.width().unwrap_or(usize::MAX);
            let mut cut = Cut::new(f, columns);
            self.0.iter().try_for_each(|piece| cut.write_str(piece))?;
            cut.finish()
        }
    }

    #[test]
    fn a_line_that_is_too_long_ends_with_a_mark() {
        for (pieces, expected) in [
            (&["12345\n123456\n", "1"][..], "12345\n1234…\n1"),
            (&["12", "34", "56", "78\n\n9"], "1234…\n\n9"),
            (&["漢字漢字\n"], "漢字…\n"),
            (&["a漢字漢\n"], "a漢…\n"),
            (&["\n"], "\n"),
            (&[""], ""),
        ] {
            assert_eq!(format!("{:5}", Text(pieces)), expected);
        }
        assert_eq!(format!("{:1}", Text(&["12\n漢"])), "…\n…");
    }
}
