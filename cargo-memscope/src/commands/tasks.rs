//! `cargo memscope tasks`: prints every task of a program, and where it waits.

use memscope_runtime::async_memory::TaskDump;

use super::served;
use crate::{arguments::Tasks, error::Error};

/// Prints a dump that a program serves or has saved, as text or as JSON.
pub(crate) fn run(options: &Tasks) -> Result<(), Error> {
    let made = "dump that `task_dump()`";
    let value: TaskDump = served::value(&options.from, "tasks.json", made)?;
    served::print(&value, options.json, options.full)
}
