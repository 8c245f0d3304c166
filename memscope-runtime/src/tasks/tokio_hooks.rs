//! The hooks of a Tokio runtime: they report what is otherwise not known of its tasks.

use tokio::runtime::Builder;

use crate::{alloc::unannotated, config::ENABLED};

/// Makes a Tokio runtime report its tasks: their polls, their exact end, and where they were
/// spawned.
///
/// It is for unannotated tasks. Without hooks these are known by what they allocate. With hooks:
///
/// - Each task has a row from its first poll on, even if it does not allocate. The row ends when
///   the task does: what it leaves behind is `retained` from then on. The task is `Idle` or
///   `Running`, then `Ended`: it completed, was aborted or panicked, and Tokio does not say which.
///   If the shutdown of the runtime dropped it, it is `Cancelled`.
/// - `poll_count` is how often Tokio ran the task. The last run of an aborted task is the one that
///   drops it.
/// - Tasks that were spawned at one line have a site of their own, named after it:
///   `(spawned at server.rs:223)`.
///
/// Tracked tasks on that runtime keep the one row that they have anyway. There is one exception: if
/// the shutdown drops such a task at the moment when a worker takes it for its first poll, it may
/// have a second row, which has ended and holds nothing. For a task of `spawn_blocking` the end and
/// the place are known, and the row begins with the first allocation. Tokio calls no hooks for
/// tasks of a `LocalSet`, so these are as without hooks. So are the tasks of other runtimes in the
/// process. A task that is dropped before its first poll has no row. If more than about 65,000
/// tasks live at one time, some lose their row and get a new one, whose polls are counted anew:
/// `tasks_split` says how many.
///
/// This function exists only in builds with `--cfg tokio_unstable` (`RUSTFLAGS`, or
/// `build.rustflags` in `.cargo/config.toml`), as the hooks of Tokio do. Tokio keeps one hook of
/// each kind. This call replaces hooks that were set with `on_before_task_poll`,
/// `on_after_task_poll` and `on_task_terminate`; a later call of these replaces its hooks.
///
/// ```
/// # #[global_allocator]
/// # static A: memscope_runtime::TrackingAllocator = memscope_runtime::TrackingAllocator::new(std::alloc::System);
/// use memscope_runtime::async_memory::get_memory_snapshot;
///
/// let mut builder = tokio::runtime::Builder::new_current_thread();
/// let runtime = memscope_runtime::tokio_hooks(&mut builder).build()?;
/// runtime.block_on(async { tokio::spawn(async { vec![0u8; 1000] }).await })?;
///
/// let snapshot = get_memory_snapshot();
/// let site = snapshot.sites().iter().find(|site| site.file == file!()).unwrap();
/// assert_eq!((site.spawned, site.active, site.ended_unknown), (1, 0, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Cost
///
/// Two calls a poll, each of which finds the task's slot in a table. Each task takes a record from
/// its first poll to its end. No lock is taken, and nothing is allocated in the program's heap.
pub fn tokio_hooks(builder: &mut Builder) -> &mut Builder {
    if !ENABLED {
        return builder;
    }
    builder
        .on_before_task_poll(|task| unannotated::poll_begins(task.id(), task.spawned_at()))
        .on_after_task_poll(|task| unannotated::poll_ends(task.id()))
        .on_task_terminate(|task| unannotated::task_ends(task.id(), task.spawned_at()))
}
