//! Every task of the process at one moment, and where each one waits.
//!
//! `on_linux` has the process copied (`picture`). The copy tells which tasks there are (`listing`),
//! and then, when it is asked, what is in its memory. So the process reads the futures of all tasks
//! (`rows`, `waits`) while they stand still, and a wrong address costs an answer.
//!
//! Without debug information their memory can be written into the dump (`save`). `decode` reads
//! it where there is some.
//! `docs/TASKS.md` says how to read the result.

#[cfg(all(
    feature = "enabled",
    feature = "symbols",
    feature = "tokio",
    target_os = "linux",
    target_pointer_width = "64"
))]
mod on_linux;
#[cfg(all(feature = "decode", target_pointer_width = "64"))]
pub(crate) mod decode;

use crate::model::{Error, TaskDump};

/// Says of every Tokio task of the process, annotated or not, whether it waits, and at which
/// `.await`s.
///
/// Nothing is measured until this is called. The process is copied (`fork`), which stops it for
/// some milliseconds: [`TaskDump::pause_ns`]. What is in the futures is read in the copy, while the
/// process goes on. Calls at the same time share one dump. The call blocks its thread, so async
/// code calls it in `tokio::task::spawn_blocking`.
///
/// The places where tasks wait need the feature `layout` and debug information about types, which
/// the first call reads and keeps. Without them the dump has all else, and says what to do:
/// [`TaskDump::await_points`].
///
/// ```
/// use memscope_runtime::async_memory::task_dump;
///
/// # #[global_allocator]
/// # static A: memscope_runtime::TrackingAllocator = memscope_runtime::TrackingAllocator::new(std::alloc::System);
/// # let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
/// let task = runtime.spawn(std::future::pending::<()>());
/// match task_dump() {
///     Ok(dump) => {
///         assert!(dump.tasks.iter().all(|task| !task.name.is_empty()));
///         println!("{dump}");
///     }
///     // Elsewhere than on Linux.
///     Err(why) => println!("{why}"),
/// }
/// # drop(task);
/// ```
///
/// # Errors
///
/// Returns an error if memscope's allocator is not installed, if the system is not Linux on a
/// 64-bit processor, if the pause would be longer than
/// [`Builder::holders_pause`](crate::Builder::holders_pause), if there is no memory for the copy,
/// and if the system refuses the copy or ends it.
pub fn task_dump() -> Result<TaskDump, Error> {
    #[cfg(all(
        feature = "enabled",
        feature = "symbols",
        feature = "tokio",
        target_os = "linux",
        target_pointer_width = "64"
    ))]
    return on_linux::task_dump();
    #[cfg(not(all(
        feature = "enabled",
        feature = "symbols",
        feature = "tokio",
        target_os = "linux",
        target_pointer_width = "64"
    )))]
    Err(Error::no_task_dump(
        "it needs Linux on a 64-bit processor, and memscope's features `enabled`, `symbols` and \
         `tokio`"
            .to_owned(),
    ))
}
