//! The hooks of a Tokio runtime, which tell what is not known of its tasks otherwise.

use tokio::runtime::Builder;

use crate::{alloc::unannotated, config::ENABLED};

/// Has a Tokio runtime tell of its tasks: their polls, their exact end, and where they were
/// spawned.
///
/// For tasks that nobody annotated. Without it they are known by what they allocate; with it
///
/// - each has a row from its first poll on, also if it does not allocate, and the row ends when the
///   task does: what it leaves behind is `retained` from then on. It is `Idle` or `Running`, then
///   `Ended` (it completed, was aborted or panicked: Tokio does not say which) or, where the
///   shutdown of the runtime dropped it, `Cancelled`;
/// - `poll_count` is how often Tokio ran it (of an aborted task the last time is the one that drops
///   it);
/// - tasks that were spawned at one line have a site of their own, named after it:
///   `(spawned at server.rs:223)`.
///
/// Tracked tasks on that runtime have the one row that they have anyway. Of `spawn_blocking` the
/// end and the place are known, and the row begins with the first allocation. Tasks of a `LocalSet`
/// are as without hooks, as Tokio calls none there; and so are those of other runtimes in the
/// process. A task that is dropped before its first poll has no row. Where more than some 65,000
/// tasks live at one time, some lose their row and get a new one, whose polls count anew:
/// `tasks_split` says how many.
///
/// It exists only in builds with `--cfg tokio_unstable` (`RUSTFLAGS`, or `build.rustflags` in
/// `.cargo/config.toml`), as the hooks of Tokio do. Tokio keeps one hook of each kind: this call
/// replaces those that were set with `on_before_task_poll`, `on_after_task_poll` and
/// `on_task_terminate`, and is replaced by them.
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
/// Two calls a poll, each of which finds the task's place in a table, and for each task a record
/// from its first poll to its end. No lock is taken, and nothing is allocated in the program's
/// heap.
pub fn tokio_hooks(builder: &mut Builder) -> &mut Builder {
    if !ENABLED {
        return builder;
    }
    builder
        .on_before_task_poll(|task| unannotated::poll_begins(task.id(), task.spawned_at()))
        .on_after_task_poll(|task| unannotated::poll_ends(task.id()))
        .on_task_terminate(|task| unannotated::task_ends(task.id(), task.spawned_at()))
}
