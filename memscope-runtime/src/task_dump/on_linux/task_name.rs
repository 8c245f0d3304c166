//! What the names of types say of tasks.

use super::waits::{Known, written};
use crate::{
    accounting::{Site, UNNAMED},
    alloc::cells::CellType,
    config,
};

/// Whether such a task is a thread of a runtime.
pub(super) fn is_worker(type_name: &str) -> bool {
    type_name
        .starts_with("tokio::runtime::blocking::task::BlockingTask<tokio::runtime::scheduler::")
}

const BOX: &str = "core::pin::Pin<alloc::boxed::Box<";

/// Whether it is a box, which Tokio puts a large future in.
pub(super) fn is_boxed(type_name: &str) -> bool {
    type_name.starts_with(BOX)
}

/// The type in that box.
pub(super) fn without_box(type_name: &str) -> &str {
    let boxed = type_name.strip_prefix(BOX);
    boxed.map_or(type_name, |inner| inner.strip_suffix(", alloc::alloc::Global>>").unwrap_or(inner))
}

/// The name of a task: its site's, else its type's.
pub(super) fn task_name(
    site: Option<&'static Site>,
    kind: &CellType,
    known: Result<Known, &'static str>,
) -> String {
    let is_named = |site: &&'static Site| site.name != UNNAMED && !site.stands_in();
    let site = site.filter(is_named).or_else(|| kind.site().filter(|_| config::names()));
    match (site, known) {
        (Some(site), _) => site.name.to_owned(),
        (None, Ok(known)) => written(without_box(known.name())),
        (None, Err(_)) => UNNAMED.to_owned(),
    }
}
