//! Checks that a file is of the same build as a report or a dump, with the messages if it is not.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use memscope_layout::Symbols;
use memscope_runtime::__terminal::visible_path;

use crate::error::Error;

/// The words for a report and a dump in messages: how the program made it, and its name.
pub(super) const REPORT: (&str, &str) = ("wrote", "report");
pub(super) const DUMP: (&str, &str) = ("made", "dump");

/// Returns the error that a file is of another build than the report or the dump.
pub(super) fn another_build(path: &Path, its: &str, own: &str, (made, it): (&str, &str)) -> Error {
    Error::new(format!(
        "{} is another build than the one that {made} the {it}: its build id is {its}, the {it}'s {own}",
        visible_path(path)
    ))
}

/// Returns the message that a folder on the command line has nothing of the build with this id.
/// Returns `None` if the id is too short to name a file.
pub(super) fn not_in_folder(folder: &Path, id: &str) -> Option<String> {
    let (first, rest) = id.split_at_checked(2)?;
    Some(format!(
        "{} has no debug information of this build: expected `.build-id/{first}/{rest}.debug` there, or a file named like the program with that build id",
        visible_path(folder)
    ))
}

/// The build id of a file, in hexadecimal digits.
pub(super) fn build_id(symbols: &Symbols) -> Option<String> {
    let digits = symbols.build_id()?.iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    });
    Some(digits)
}

/// Returns the path without the suffix that Linux adds if the file was replaced while the program
/// ran.
pub(super) fn without_deleted_suffix(path: &Path) -> PathBuf {
    let text = path.to_str().and_then(|it| it.strip_suffix(" (deleted)"));
    text.filter(|_| !path.exists()).map_or_else(|| path.to_owned(), PathBuf::from)
}
