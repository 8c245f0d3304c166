//! The await points: where tasks wait.

use std::fmt;

use super::{
    MOST_ROWS, NAME_COLUMNS, NOT_MEASURED, await_tree::Lines, folder, futures,
    heap_graph::number_of, more,
};
use crate::{
    model::{
        AwaitFrame, AwaitPoint, AwaitPoints, HumanBytes, TaskState,
        human::{cell, count, path_end},
    },
    snapshot::MemorySnapshot,
};

impl MemorySnapshot {
    /// Prints the chains of `.await`s as a tree; the long form prints each chain below it.
    pub(super) fn await_point_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.await_points_measured() {
            AwaitPoints::Off => return Ok(()),
            AwaitPoints::Unavailable(why) => {
                return writeln!(f, "where tasks wait: {NOT_MEASURED} ({})\n", cell(why, 400));
            }
            AwaitPoints::On => {}
        }
        let points = self.await_points();
        let is_long = f.alternate();
        let most = if is_long { usize::MAX } else { MOST_ROWS };
        let nodes = self.await_tree_of(|point| shown(point, is_long));
        let folder = folder(f, nodes.iter().map(|node| node.file));
        writeln!(f, "where tasks wait")?;
        if !points.is_empty() {
            let lines = Lines { points, most, is_long, folder };
            write!(f, "{}{}", lines.table(&nodes), more(points.len(), most, "await points"))?;
        }
        let libraries = points.iter().take(most);
        let libraries = libraries.map(|point| point.frames.len() - shown(point, is_long).len());
        match libraries.sum::<usize>() as u64 {
            0 => {}
            frames => {
                let frames = number_of(frames, "library frame");
                writeln!(f, "… and {frames} between these lines and at their ends")?;
            }
        }
        self.unknown_line(f)?;
        if is_long {
            for (number, point) in points.iter().enumerate() {
                writeln!(f, "@{number}")?;
                backtrace(point, f)?;
            }
        } else if let Some(point) = points.first() {
            largest(point, folder, f)?;
        }
        writeln!(f)
    }

    /// Prints how many idle tasks are not in the table, because their await point is not known.
    fn unknown_line(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let idle = self.tasks().iter().filter(|task| task.state == TaskState::Idle);
        let unknown = idle.filter(|task| task.await_point.is_none()).count() as u64;
        match unknown {
            0 => Ok(()),
            1 => writeln!(f, "… and 1 idle task that was not polled since this is noted"),
            _ => writeln!(
                f,
                "… and {} idle tasks that were not polled since this is noted",
                count(unknown)
            ),
        }
    }
}

/// The frames of an await point that have lines: those of the program, if there are any.
fn shown(point: &AwaitPoint, is_long: bool) -> Vec<&AwaitFrame> {
    let own: Vec<&AwaitFrame> = point.frames.iter().filter(|frame| frame.is_own()).collect();
    if is_long || own.is_empty() { point.frames.iter().collect() } else { own }
}

/// Prints the functions, innermost first, as in other backtraces.
fn backtrace(point: &AwaitPoint, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "  {}", cell(&point.stops, 400))?;
    for frame in point.frames.iter().rev() {
        let size = HumanBytes(frame.size_bytes);
        let (place, function) = (path_end(&frame.to_string(), 120), cell(&frame.function, 120));
        writeln!(f, "  at {place} in {function} ({size})")?;
        for local in &frame.locals {
            writeln!(f, "       {}", futures::shown(local, 0))?;
        }
    }
    Ok(())
}

/// Prints the largest value that lives across the first await point of the table.
fn largest(point: &AwaitPoint, folder: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Some((place, local)) = point.largest_locals().first().copied() else { return Ok(()) };
    let function = point.frames.get(place).map_or("", |frame| &*frame.function);
    writeln!(
        f,
        "alive across @0: {} in {}",
        futures::shown(local, folder).trim_start(),
        cell(function, NAME_COLUMNS)
    )
}
