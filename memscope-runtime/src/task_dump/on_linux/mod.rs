//! The dump: a picture of the process, and what is read in it.
#![allow(clippy::cast_possible_truncation, reason = "addresses have 64 bits here")]

mod listing;
mod listed;
#[cfg(feature = "layout")]
mod waits;
#[cfg(not(feature = "layout"))]
#[path = "no_waits.rs"]
mod waits;
mod open_task;
mod task_name;
mod tracked_types;
mod save;
mod rows;

use std::time::Instant;

use listed::Listed;

use crate::{
    alloc::{cells, own_work, unannotated},
    await_points::image,
    config,
    model::{AwaitPoint, DumpedMemory, Error, MemoryPiece, TaskCells, TaskDump},
    picture::{self, Asker, BYTES_ALWAYS, Channel, Picture, Refused},
    snapshot::Sharing,
    symbols,
};

/// Callers that wait look about every millisecond: until a dump is made or given up.
static DUMP: Sharing<Result<TaskDump, Error>> = Sharing::patient(60_000);

pub(super) fn task_dump() -> Result<TaskDump, Error> {
    picture::shared(&DUMP, take)
}

/// The await point, with what is known of the task itself.
fn sized(point: AwaitPoint, measured: bool, live_bytes: u64, size: u64) -> AwaitPoint {
    AwaitPoint { measured, live_bytes, future_size_bytes: size, ..point }
}

#[inline(never)]
fn take() -> Result<TaskDump, Error> {
    picture::may_take(Error::no_task_dump)?;
    let _work = own_work::work();
    let begun = Instant::now();
    // The layout of cells, and the types and names of tasks that are there.
    unannotated::observe();
    symbols::look_up_tasks();
    let await_points = waits::prepare();
    let mut dump = read().map_err(|why| Error::no_task_dump(why.to_string()))?;
    dump.await_points = await_points;
    dump.missing = missing();
    dump.taken_ns = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
    Ok(dump)
}

fn read() -> Result<TaskDump, Refused> {
    let picture = Picture::take(&(), listing::run, Channel::Socket, BYTES_ALWAYS)?;
    let pause_ns = u64::try_from(picture.pause.as_nanos()).unwrap_or(u64::MAX);
    let mut asker = Asker::new(&picture);
    let listed = Listed::read(&mut asker)?;
    let rows = rows::read(&mut asker, &listed)?;
    let saved = save::save(&mut asker, &rows.wanted)?;
    let copy_bytes = picture.end()?;
    Ok(TaskDump {
        pause_ns,
        copy_bytes,
        tasks: rows.tasks,
        workers: rows.workers,
        without_types: rows.without_types,
        memory: (!rows.wanted.is_empty()).then(|| memory(saved.pieces)),
        memory_left_out: saved.left_out,
        ..TaskDump::default()
    })
}

/// Memory of this program.
fn memory(pieces: Vec<MemoryPiece>) -> DumpedMemory {
    let program = image::here();
    let (start, end) = image::range().unwrap_or_default();
    DumpedMemory {
        build_id: program.as_ref().and_then(|it| it.build_id.clone()),
        program: program.map(|it| it.path),
        image: start,
        image_bytes: end - start,
        pieces,
    }
}

/// Why tasks without annotations may be missing.
fn missing() -> Option<String> {
    if !config::unannotated() {
        return Some("they are not looked at: `builder().unannotated(false)`".to_owned());
    }
    if cells::state() == TaskCells::Refused {
        return Some("memscope does not understand the tasks of this version of Tokio".to_owned());
    }
    let refused = cells::refused();
    (refused != 0).then(|| format!("there was no memory to note {refused} of them"))
}
