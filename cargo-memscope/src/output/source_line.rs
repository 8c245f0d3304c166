//! Lines of source files, if the files still exist.

use std::{collections::HashMap, fs, path::Path};

use memscope_layout::Place;
use memscope_runtime::__terminal::{read, visible};

/// The most characters of a line that are shown.
const LONGEST: usize = 100;
/// The largest file that is read. Larger files are not sources.
const MOST_BYTES: u64 = 16 << 20;

/// Reads source files and caches them.
#[derive(Debug, Default)]
pub(crate) struct SourceFiles {
    files: HashMap<String, Option<String>>,
}

impl SourceFiles {
    /// Returns the line without surrounding whitespace; `None` if it is empty or does not exist.
    pub(crate) fn line(&mut self, place: &Place) -> Option<String> {
        let file = self
            .files
            .entry(place.file.to_string())
            .or_insert_with(|| read_file(Path::new(&*place.file)));
        let index = usize::try_from(place.line).ok()?.checked_sub(1)?;
        let line = file.as_ref()?.lines().nth(index)?.trim();
        if line.is_empty() {
            return None;
        }
        let mut characters = line.chars();
        let start: String = characters.by_ref().take(LONGEST).collect();
        let more = if characters.next().is_some() { "…" } else { "" };
        // The file may contain anything, so control characters are escaped. A tab becomes a space.
        Some(format!("{}{more}", visible(&start.replace('\t', " "))))
    }
}

/// Reads a regular file as text. A path from debug information may lead anywhere.
fn read_file(path: &Path) -> Option<String> {
    fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    String::from_utf8(read(path, MOST_BYTES, None).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_shown_without_what_moves_the_cursor_and_not_all_of_it() {
        let path = std::env::temp_dir().join(format!("memscope-source-{}", std::process::id()));
        fs::write(&path, format!("\n  a\u{1b}[2Jb  \n{0}\n{0}c\n", "x".repeat(LONGEST))).unwrap();
        let mut source = SourceFiles::default();
        let mut line = |line| source.line(&Place { file: path.to_str().unwrap().into(), line });
        assert_eq!(line(1), None, "empty");
        assert_eq!(line(2).unwrap(), "a\\u{1b}[2Jb");
        assert_eq!(line(3).unwrap(), "x".repeat(LONGEST));
        assert_eq!(line(4).unwrap(), "x".repeat(LONGEST) + "…");
        assert_eq!((line(0), line(5)), (None, None), "not there");
        fs::remove_file(path).unwrap();
    }
}
