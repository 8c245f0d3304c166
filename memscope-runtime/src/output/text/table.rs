//! Aligned columns for the terminal.

use std::fmt;

use crate::{
    model::{human::count, text::width},
    primitives::reserve,
};

/// A table of cells: numbers are aligned right, words left.
///
/// All cells are stored in one text, so a table takes little more memory than it prints. Rows
/// without memory for them are left out, and the table says how many.
#[derive(Debug)]
pub(crate) struct Table {
    head: Vec<Column>,
    text: String,
    /// Where each cell ends, row by row.
    ends: Vec<usize>,
    left_out: u64,
}

/// A column's heading, and the side that its cells are aligned to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Column {
    Left(&'static str),
    Right(&'static str),
}

impl Column {
    fn title(self) -> &'static str {
        let (Self::Left(title) | Self::Right(title)) = self;
        title
    }
}

impl Table {
    pub(crate) fn new(head: &[Column]) -> Self {
        Self { head: head.to_vec(), text: String::new(), ends: Vec::new(), left_out: 0 }
    }

    /// Adds a column to the right of all others. Must be called before there are rows.
    pub(crate) fn widen(&mut self, column: Column) {
        self.head.push(column);
    }

    /// Adds a row, with a cell for each column.
    pub(crate) fn push(&mut self, row: Vec<String>) {
        debug_assert_eq!(row.len(), self.head.len());
        let bytes = row.iter().map(String::len).sum();
        reserve::spend(bytes);
        let has_room = self.text.try_reserve(bytes).is_ok()
            && self.ends.try_reserve(row.len()).is_ok()
            && !reserve::is_short();
        if !has_room {
            self.left_out += 1;
            return reserve::leave_out(1);
        }
        for cell in row {
            self.text.push_str(&cell);
            self.ends.push(self.text.len());
        }
    }

    /// Iterates over the rows, and over the cells of each row.
    fn rows(&self) -> impl Iterator<Item = impl Iterator<Item = &str>> {
        let start = |cell: usize| cell.checked_sub(1).map_or(0, |before| self.ends[before]);
        let cell = move |cell: usize| &self.text[start(cell)..self.ends[cell]];
        let columns = self.head.len();
        let rows = self.ends.len().checked_div(columns).unwrap_or(0);
        (0..rows).map(move |row| (row * columns..(row + 1) * columns).map(cell))
    }

    fn line<'c>(
        &self,
        cells: impl Iterator<Item = &'c str>,
        widths: &[usize],
        f: &mut fmt::Formatter<'_>,
    ) -> fmt::Result {
        // Pending spaces, printed only before more text: lines have no trailing spaces.
        let mut spaces = 0;
        for ((cell, column), widest) in cells.zip(&self.head).zip(widths) {
            let gap = widest.saturating_sub(width(cell));
            let word = cell.trim_end();
            if let Column::Right(_) = column {
                spaces += gap;
            }
            if !word.is_empty() {
                write!(f, "{:spaces$}{word}", "")?;
                spaces = 0;
            }
            spaces += cell.len() - word.len() + 2;
            if let Column::Left(_) = column {
                spaces += gap;
            }
        }
        writeln!(f)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let titles = || self.head.iter().map(|column| column.title());
        let mut widths: Vec<usize> = titles().map(width).collect();
        for row in self.rows() {
            for (widest, cell) in widths.iter_mut().zip(row) {
                *widest = (*widest).max(width(cell));
            }
        }
        self.line(titles(), &widths, f)?;
        for row in self.rows() {
            self.line(row, &widths, f)?;
        }
        match self.left_out {
            0 => Ok(()),
            left => writeln!(f, "… and {} rows left out for want of memory", count(left)),
        }
    }
}

/// Returns how many bytes of leading folders all paths have in common.
pub(crate) fn common_folder(paths: &mut dyn Iterator<Item = &str>) -> usize {
    let common = paths.filter(|path| !path.is_empty()).reduce(|common, path| {
        let same = common.chars().zip(path.chars()).take_while(|(a, b)| a == b);
        &common[..same.map(|(character, _)| character.len_utf8()).sum()]
    });
    common.and_then(|common| common.rfind(['/', '\\'])).map_or(0, |folder| folder + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_folders_are_common() {
        let common = |paths: &[&'static str]| common_folder(&mut paths.iter().copied());
        assert_eq!(common(&["src/db/pool.rs", "src/db/query.rs", ""]), "src/db/".len());
        assert_eq!(common(&["src/db.rs"]), "src/".len());
        assert_eq!(common(&["a/é.rs", "a/è.rs"]), "a/".len());
        assert_eq!(common(&["a.rs", "b.rs"]), 0);
        assert_eq!(common(&[]), 0);
    }

    #[test]
    fn columns_line_up_under_their_headings() {
        let mut table = Table::new(&[Column::Left("NAME"), Column::Right("BYTES")]);
        table.push(vec!["a 🦀".into(), "1".into()]);
        table.push(vec!["longer".into(), "100".into()]);
        assert_eq!(table.to_string(), "NAME    BYTES\na 🦀        1\nlonger    100\n");
    }
}
