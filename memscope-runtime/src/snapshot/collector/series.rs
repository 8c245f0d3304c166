//! The series of the timeline: the largest tasks and sites, point by point.

use super::{
    largest::{Largest, Ranked},
    timeline::SLOTS,
};

/// How many samples are kept; a series has a point in each.
pub(super) const POINTS: usize = 64;

/// How many series of each kind are kept.
pub(super) const SERIES: usize = 128;
/// How many series of call stacks are kept.
pub(super) const STACKS: usize = 64;

#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub(super) live_bytes: u64,
    pub(super) allocated_bytes: u64,
}

/// The samples of one task, site, shared owner or call stack.
#[derive(Clone, Copy, Debug)]
pub(super) struct Series {
    /// The task's id, or the index + 1 of the site, shared owner or place; 0 if the series is
    /// empty.
    pub(super) key: u64,
    /// The index of the site, shared owner or place of a stack; of a task, that of its site.
    pub(super) site: u32,
    /// The index of the first sample that has this task or site; there are no points before it.
    pub(super) first: usize,
    /// The index of the last sample that has it, + 1.
    pub(super) len: usize,
    pub(super) points: [Point; POINTS],
}

/// The live and allocated bytes of one task or site in one sample.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    pub(super) key: u64,
    pub(super) site: u32,
    pub(super) point: Point,
}

/// The series of one kind, and the tables that match the levels of a sample with them.
#[derive(Debug)]
pub(super) struct Group<const SERIES: usize> {
    series: [Series; SERIES],
    /// A hash table from a key to the index of its series + 1.
    table: [u8; SLOTS],
    /// The largest levels that have no series yet.
    new: Largest<Level, SERIES>,
    /// The most series that there were at one time.
    most: usize,
}

const NO_POINT: Point = Point { live_bytes: 0, allocated_bytes: 0 };

pub(super) const NO_LEVEL: Level = Level { key: 0, site: 0, point: NO_POINT };

const NO_SERIES: Series = Series { key: 0, site: 0, first: 0, len: 0, points: [NO_POINT; POINTS] };

pub(super) fn hash(key: u64) -> usize {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize
}

impl<const SERIES: usize> Group<SERIES> {
    pub(super) const fn new() -> Self {
        Self {
            series: [NO_SERIES; SERIES],
            table: [0; SLOTS],
            new: Largest::new(NO_LEVEL),
            most: 0,
        }
    }

    /// Bytes of the series that were never used. [`end`](Self::end) takes the first free one.
    pub(super) fn unused_bytes(&self) -> usize {
        (SERIES - self.most) * size_of::<Series>() + self.new.unused_bytes()
    }

    pub(super) fn forget(&mut self) {
        for series in self.known_mut() {
            series.key = 0;
        }
    }

    pub(super) fn known(&self) -> impl Iterator<Item = &Series> {
        self.series.iter().filter(|series| series.key != 0)
    }

    /// The series that are in use. NOTE: empty series are not written, so their pages are not
    /// resident until they are needed.
    fn known_mut(&mut self) -> impl Iterator<Item = &mut Series> {
        self.series.iter_mut().filter(|series| series.key != 0)
    }

    pub(super) fn halve(&mut self) {
        for series in self.known_mut() {
            for place in 0..POINTS / 2 {
                series.points[place] = series.points[2 * place + 1];
            }
            series.first /= 2;
            series.len = POINTS / 2;
        }
    }

    pub(super) fn begin(&mut self, place: usize) {
        self.new.forget();
        self.table.fill(0);
        for index in 0..SERIES {
            let series = &mut self.series[index];
            if series.key != 0 {
                // A sample that came too early is replaced.
                series.len = series.len.min(place);
                let slot = self.slot(self.series[index].key);
                self.table[slot] = (index + 1).to_le_bytes()[0];
            }
        }
    }

    /// The slot of a key in the hash table, or the free slot where it belongs.
    fn slot(&self, key: u64) -> usize {
        let start = hash(key);
        let slots = (0..self.table.len()).map(|step| start.wrapping_add(step) % self.table.len());
        // The table is never more than a quarter full.
        slots
            .into_iter()
            .find(|slot| match self.table[*slot] {
                0 => true,
                index => self.series[usize::from(index) - 1].key == key,
            })
            .unwrap_or(0)
    }

    pub(super) fn note(&mut self, place: usize, key: u64, site: u32, point: Point) {
        match self.table[self.slot(key)] {
            0 => self.new.add(Level { key, site, point }),
            index => {
                let series = &mut self.series[usize::from(index) - 1];
                // A task that has got a name has moved to another site.
                series.site = site;
                series.points[place] = point;
                series.len = place + 1;
            }
        }
    }

    /// Drops the series that got no point, and gives their room, and that of smaller ones, to the
    /// largest new levels.
    pub(super) fn end(&mut self, place: usize) {
        for series in self.known_mut().filter(|series| series.len != place + 1) {
            series.key = 0;
        }
        for level in self.new.take() {
            // The first free one, so that all that was ever used lies together.
            let rank = |series: &Series| match series.key {
                0 => None,
                _ => Some(series.live_bytes()),
            };
            let smallest = self.series.iter_mut().min_by_key(|series| rank(series));
            let is_larger = |than: &Series| rank(than) < Some(level.point.live_bytes);
            let Some(smallest) = smallest.filter(|than| is_larger(than)) else { break };
            *smallest = NO_SERIES;
            (smallest.key, smallest.site) = (level.key, level.site);
            (smallest.first, smallest.len) = (place, place + 1);
            smallest.points[place] = level.point;
        }
        self.most = self.most.max(self.known().count());
    }
}

impl Series {
    fn live_bytes(&self) -> u64 {
        self.len.checked_sub(1).map_or(0, |last| self.points[last].live_bytes)
    }
}

impl Ranked for Level {
    type Rank = (u64, u64);

    fn rank(&self) -> (u64, u64) {
        (self.point.live_bytes, self.point.allocated_bytes)
    }
}
