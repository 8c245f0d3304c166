//! How live bytes went from snapshot to snapshot: each one leaves a sample.
//!
//! A fixed number of samples is kept of a fixed number of sites and living tasks, the largest. When they are full, every other one
//! is given up and from then on they are taken at twice the distance, so that an hour and a month take the same memory.

use std::{
    cmp::Reverse,
    collections::HashMap,
    sync::{Mutex, OnceLock, PoisonError},
};

use crate::{
    arena, clock,
    profile::{Trend, TrendPoint},
    reading::{Reading, SiteReading, TaskReading},
    rows::Names,
    task::TaskId,
};

/// Samples of one series, and series of each kind.
const POINTS: usize = 16;
const SERIES: usize = 128;

/// The samples of one task or site.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Series {
    of: Option<Of>,
    /// The index of the site that it, or its task, is at.
    site: u32,
    /// It was first seen in this sample; before it, there is none.
    first: usize,
    /// How many samples there are.
    len: usize,
    points: [TrendPoint; POINTS],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Of {
    Site(u32),
    Task(u64),
}

/// What one snapshot says of a series.
#[derive(Clone, Copy, Debug)]
struct Level {
    of: Of,
    site: u32,
    live_bytes: u64,
    allocated_bytes: u64,
}

#[derive(Debug)]
struct Samples {
    times: [u64; POINTS],
    len: usize,
    /// The last sample came too early: the next one takes its place.
    is_early: bool,
    /// The least distance of two samples.
    spacing_ns: u64,
    sites: [Series; SERIES],
    tasks: [Series; SERIES],
}

const NO_POINT: TrendPoint = TrendPoint { at_ns: 0, live_bytes: 0, allocated_bytes: 0 };
const NO_SERIES: Series =
    Series { of: None, site: 0, first: 0, len: 0, points: [NO_POINT; POINTS] };

/// Kept outside the program's heap, from the first snapshot on; `None` where there was no memory.
fn samples() -> Option<&'static Mutex<Samples>> {
    static SAMPLES: OnceLock<Option<&'static Mutex<Samples>>> = OnceLock::new();
    *SAMPLES.get_or_init(|| arena::keep(const { Mutex::new(Samples::new()) }))
}

/// Takes a sample of this reading, and returns all series with it. The caller is in `as_memscope`.
pub(crate) fn take(reading: &Reading) -> Vec<Series> {
    let Some(samples) = samples() else { return Vec::new() };
    let (sites, tasks) = (site_levels(reading), task_levels(reading));
    let mut all = Vec::with_capacity(2 * SERIES);
    let (mut new_sites, mut new_tasks) = (New::of(&sites), New::of(&tasks));
    {
        // NOTE: nothing in here needs memory, as whoever holds this may have to wait for it.
        let mut samples = samples.lock().unwrap_or_else(PoisonError::into_inner);
        samples.make_room(clock::now_ns());
        let at = (samples.len - 1, samples.times[samples.len - 1]);
        new_sites.note(&sites, &mut samples.sites, at);
        new_tasks.note(&tasks, &mut samples.tasks, at);
        all.extend(samples.sites.iter().chain(&samples.tasks).filter(|series| series.of.is_some()));
    }
    all
}

/// The series as a snapshot shows them.
pub(crate) fn trends(series: &[Series], names: &Names) -> Vec<Trend> {
    let shown = series.iter().filter_map(|series| {
        let task = match series.of? {
            Of::Site(_) => None,
            Of::Task(id) => Some(TaskId::new(id)?),
        };
        let points = series.points[series.first..series.len].to_vec();
        Some(Trend { task, place: names.get(series.site)?, points })
    });
    shown.collect()
}

fn task_levels(reading: &Reading) -> Vec<Level> {
    let living = reading.open.iter().filter(|task| !task.record.state.is_ended());
    let level = |task: &TaskReading| Level {
        of: Of::Task(task.id),
        site: task.record.row.index(),
        live_bytes: task.live_bytes,
        allocated_bytes: task.tally.allocated_bytes,
    };
    living.map(level).collect()
}

fn site_levels(reading: &Reading) -> Vec<Level> {
    let level = |site: &SiteReading| {
        let index = site.site.index();
        let level = Level {
            of: Of::Site(index),
            site: index,
            live_bytes: site.retained_bytes,
            allocated_bytes: site.sums.allocated_bytes,
        };
        (index, level)
    };
    let mut levels: HashMap<u32, Level> = reading.sites.iter().map(level).collect();
    for task in &reading.open {
        if let Some(level) = levels.get_mut(&task.record.row.index()) {
            level.live_bytes += task.live_bytes;
            level.allocated_bytes += task.tally.allocated_bytes;
        }
    }
    levels.into_values().collect()
}

impl Samples {
    #[expect(clippy::large_stack_arrays, reason = "a constant that is copied to its place once")]
    const fn new() -> Self {
        Self {
            times: [0; POINTS],
            len: 0,
            is_early: false,
            spacing_ns: 0,
            sites: [NO_SERIES; SERIES],
            tasks: [NO_SERIES; SERIES],
        }
    }

    /// Makes a place for a sample at this time: the last one of `times`.
    fn make_room(&mut self, now_ns: u64) {
        if self.is_early {
            self.len -= 1;
        } else if self.len == POINTS {
            for place in 0..POINTS / 2 {
                self.times[place] = self.times[2 * place + 1];
            }
            self.len = POINTS / 2;
            self.spacing_ns = (self.times[self.len - 1] - self.times[0]) / (self.len as u64 - 1);
            for series in self.sites.iter_mut().chain(&mut self.tasks) {
                series.halve();
            }
        }
        let since = self.len.checked_sub(1).map(|last| now_ns.saturating_sub(self.times[last]));
        self.is_early = since.is_some_and(|since| since < self.spacing_ns);
        self.times[self.len] = now_ns;
        self.len += 1;
    }
}

impl Series {
    fn halve(&mut self) {
        for place in 0..POINTS / 2 {
            self.points[place] = self.points[2 * place + 1];
        }
        self.first /= 2;
        self.len = POINTS / 2;
    }
}

/// Room to find out which levels go on with a series and which are new.
struct New {
    places: HashMap<Of, usize>,
    levels: Vec<Level>,
}

impl New {
    fn of(levels: &[Level]) -> Self {
        Self {
            places: HashMap::with_capacity(2 * SERIES),
            levels: Vec::with_capacity(levels.len()),
        }
    }

    /// Goes on with the series that are there; those that are over, and smaller ones, make room for the largest new ones.
    fn note(&mut self, levels: &[Level], table: &mut [Series; SERIES], at: (usize, u64)) {
        let (place, at_ns) = at;
        let known =
            table.iter().enumerate().filter_map(|(index, series)| Some((series.of?, index)));
        self.places.extend(known);
        for series in table.iter_mut() {
            // A sample that came too early is taken anew.
            series.len = series.len.min(place);
        }
        for level in levels {
            if let Some(series) = self.places.get(&level.of).and_then(|index| table.get_mut(*index))
            {
                series.points[place] = level.at(at_ns);
                series.len = place + 1;
            } else {
                self.levels.push(*level);
            }
        }
        for series in table.iter_mut().filter(|series| series.len != place + 1) {
            series.of = None;
        }
        let size = |level: &Level| Reverse((level.live_bytes, level.allocated_bytes));
        if self.levels.len() > SERIES {
            self.levels.select_nth_unstable_by_key(SERIES, size);
            self.levels.truncate(SERIES);
        }
        self.levels.sort_unstable_by_key(size);
        for level in &self.levels {
            let rank = |series: &Series| (series.of.is_some(), series.live_bytes());
            let Some(smallest) = table.iter_mut().min_by_key(|series| rank(series)) else { return };
            if smallest.of.is_some() && smallest.live_bytes() >= level.live_bytes {
                return;
            }
            *smallest = NO_SERIES;
            (smallest.of, smallest.site) = (Some(level.of), level.site);
            (smallest.first, smallest.len) = (place, place + 1);
            smallest.points[place] = level.at(at_ns);
        }
    }
}

impl Series {
    fn live_bytes(&self) -> u64 {
        self.len.checked_sub(1).map_or(0, |last| self.points[last].live_bytes)
    }
}

impl Level {
    fn at(&self, at_ns: u64) -> TrendPoint {
        TrendPoint { at_ns, live_bytes: self.live_bytes, allocated_bytes: self.allocated_bytes }
    }
}
