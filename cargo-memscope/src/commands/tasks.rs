//! `cargo memscope tasks`: prints every task of a program, and where it waits.

use memscope_runtime::{__terminal::visible_lines, async_memory::TaskDump};

use super::{served, task_layouts};
use crate::{arguments::Tasks, error::Error};

/// Prints a dump that a program serves or has saved, as text or as JSON. Memory in the dump is
/// decoded first.
pub(crate) fn run(options: &Tasks) -> Result<(), Error> {
    let made = "dump that `task_dump()`";
    let dump: TaskDump = served::value(&options.from, "tasks.json", made)?;
    let (dump, note) = task_layouts::decoded(dump, options)?;
    served::print(&dump, options.json, options.full)?;
    if let Some(note) = note {
        anstream::eprintln!("{}", visible_lines(&note));
    }
    Ok(())
}
