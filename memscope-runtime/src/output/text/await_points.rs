//! The table of await points: where tasks wait.

use std::fmt;

use super::{
    MOST_ROWS, NAME_COLUMNS, NONE, NOT_MEASURED, folder, futures, more, place, size,
    table::{Column, Table},
};
use crate::{
    analysis::leaks::age,
    model::{
        AwaitFrame, AwaitPoint, AwaitPoints, HumanBytes, TaskState,
        human::{cell, count, path_end},
    },
    snapshot::MemorySnapshot,
};

const FOR_COLUMNS: usize = 44;

impl MemorySnapshot {
    /// Prints one row for each chain of `.await`s; the long form prints the chains below it.
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
        let own = points.iter().map(AwaitPoint::own).flat_map(|(at, above)| [at, above]);
        let files = own.flatten().map(|frame| &*frame.file);
        let folder = folder(f, files);
        let mut table = Table::new(&[
            Column::Right("WAITS"),
            Column::Right("TASKS"),
            Column::Right("LIVE"),
            Column::Right("FUTURE"),
            Column::Right("WAITED"),
            Column::Right("p50"),
            Column::Right("p99"),
            Column::Left("AT"),
            Column::Left("UNDER"),
            Column::Left("FOR"),
        ]);
        for (number, point) in points.iter().enumerate().take(most) {
            table.push(row(number, point, folder));
        }
        writeln!(f, "where tasks wait")?;
        if !points.is_empty() {
            write!(f, "{table}{}", more(points.len(), most, "await points"))?;
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

fn row(number: usize, point: &AwaitPoint, folder: usize) -> Vec<String> {
    let at = |frame: Option<&AwaitFrame>| {
        frame.map_or_else(|| NONE.to_owned(), |frame| place(&frame.file, frame.line, folder))
    };
    let time = |ns: Option<u64>| ns.map_or_else(|| NOT_MEASURED.to_owned(), age);
    let (innermost, above) = point.own();
    let waits_for = point.stops.strip_prefix("waits for ").unwrap_or(&point.stops);
    vec![
        format!("@{number}"),
        count(point.tasks),
        size(point.measured, point.live_bytes),
        HumanBytes(point.future_size_bytes).to_string(),
        time((point.timed != 0).then_some(point.waited_sum_ns)),
        time(point.waited_p50_ns),
        time(point.waited_p99_ns),
        at(innermost),
        at(above),
        cell(waits_for, FOR_COLUMNS),
    ]
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
