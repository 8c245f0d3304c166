//! Where the tasks of a reading wait.

use std::collections::HashMap;

use crate::{
    await_points::{layouts, tree},
    model::{AwaitPoint, AwaitPoints},
    primitives::{MapByIndex, Nanos, order, reserve},
    snapshot::capture::{Reading, TaskReading},
};

/// Returns the rows, most live bytes first, and the index of each row by the number of its node.
pub(crate) fn await_points(
    reading: &Reading,
    measured: bool,
) -> (Vec<AwaitPoint>, MapByIndex<u32>) {
    if layouts::asked().is_none() {
        return (Vec::new(), MapByIndex::default());
    }
    let mut by_node: MapByIndex<Vec<&TaskReading>> = MapByIndex::default();
    if reserve::is_short() {
        // How many rows there would be is not known without memory for them.
        let waits = reading.living().iter().any(|task| task.record.await_point != 0);
        reserve::leave_out(u64::from(waits));
        return (Vec::new(), MapByIndex::default());
    }
    for task in reading.living().iter().filter(|task| task.record.await_point != 0) {
        let node = task.record.await_point;
        if by_node.contains_key(&node) || reserve::room(&mut by_node) {
            reserve::push(by_node.entry(node).or_default(), task);
        } else {
            reserve::leave_out(1);
        }
    }
    // The nodes of one backtrace. A type may have two roots, because each codegen unit may have a
    // static of its own for it.
    let mut by_trace: HashMap<_, (Vec<u32>, Vec<&TaskReading>)> = HashMap::new();
    for (node, tasks) in by_node {
        if let Some(trace) = tree::backtrace(node) {
            let (nodes, all) = by_trace.entry(trace).or_default();
            nodes.push(node);
            if all.is_empty() {
                *all = tasks;
            } else {
                for task in tasks {
                    reserve::push(all, task);
                }
            }
        }
    }
    let mut rows: Vec<(AwaitPoint, Vec<u32>)> = by_trace
        .into_iter()
        .map(|((frames, stops), (nodes, tasks))| {
            let sum = |bytes: u64| if measured { bytes } else { 0 };
            let mut row = AwaitPoint {
                frames,
                stops,
                branches: Vec::new(),
                tasks: tasks.len() as u64,
                measured,
                live_bytes: sum(tasks.iter().map(|task| task.live_bytes).sum()),
                future_size_bytes: tasks
                    .iter()
                    .map(|it| it.record.future.size as u64)
                    .max()
                    .unwrap_or(0),
                timed: 0,
                waited_sum_ns: 0,
                waited_p50_ns: None,
                waited_p99_ns: None,
            };
            row.note_waits(reserve::rows(&tasks, |task| task.record.idle_ns.map(Nanos::get)));
            (row, nodes)
        })
        .collect();
    order::by(&mut rows, |(a, _), (b, _)| {
        (b.live_bytes, b.tasks)
            .cmp(&(a.live_bytes, a.tasks))
            .then_with(|| a.to_string().cmp(&b.to_string()))
    });
    let mut places = MapByIndex::default();
    for ((_, nodes), place) in rows.iter().zip(0_u32..) {
        places.extend(nodes.iter().map(|node| (*node, place)));
    }
    (rows.into_iter().map(|(row, _)| row).collect(), places)
}

/// Whether it is known where tasks wait.
pub(crate) fn measured() -> AwaitPoints {
    match layouts::asked() {
        None => AwaitPoints::Off,
        Some(Ok(())) => AwaitPoints::On,
        Some(Err(why)) => AwaitPoints::Unavailable(why.to_owned()),
    }
}
