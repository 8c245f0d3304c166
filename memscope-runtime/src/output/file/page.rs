//! Reports as a page: the crate that draws it is registered before `main`.

use std::io;

use crate::{primitives::StaticRef, snapshot::MemorySnapshot};

/// Writes a snapshot as a page that is opened from its file.
pub type WritePage = fn(&MemorySnapshot, &mut dyn io::Write) -> io::Result<()>;

static WRITE: StaticRef<WritePage> = StaticRef::none();

/// How each page begins, so that it is known as a report.
pub const FIRST_LINES: &str = "<!doctype html>\n<html lang=\"en\" data-memscope-report>\n";

/// Registers the function that writes reports whose name ends in `.html`. May be called before
/// `main`.
pub fn register(write: &'static WritePage) {
    WRITE.set(write);
}

/// The registered function; `None` if the program is built without the page.
pub(crate) fn write() -> Option<WritePage> {
    WRITE.get().copied()
}
