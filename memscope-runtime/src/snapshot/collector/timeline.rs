//! How live bytes changed: of the process, of the largest sites and shared owners, of the largest
//! living tasks, and of the largest call stacks.
//!
//! A fixed number of samples is kept; each snapshot takes one, and so does the collector. When they
//! are full, every other sample is dropped, and from then on samples are taken at twice the
//! distance. So a second and a month take the same memory. Nothing in here needs memory from the
//! program's heap.

use super::{
    largest::Largest,
    points::{self, Amounts, Points},
    series::{Group, Level, NO_LEVEL, POINTS, Point, SERIES, STACKS, Series, hash},
};
use crate::{
    accounting::{Site, shared_owner, site, stacks},
    model::{ProcessPoint, TrendPoint},
    resident,
    snapshot::{
        capture::{Reading, TaskReading},
        live_sample::{self, LiveSample},
    },
};

/// The samples of the process, the sites, the tasks, the shared owners and the call stacks.
///
/// All of it is zero at the start. So, as a static, it takes no room in the program's file, and no
/// page of memory until it is used.
#[derive(Debug)]
pub(crate) struct Samples {
    times: [u64; POINTS],
    process: [Process; POINTS],
    len: usize,
    /// Whether the last sample came too early, so that the next one replaces it.
    is_early: bool,
    /// The least distance between two samples.
    spacing_ns: u64,
    sites: Group<SERIES>,
    tasks: Group<SERIES>,
    shared: Group<SERIES>,
    stacks: Group<STACKS>,
}

/// Live bytes of the process.
#[derive(Clone, Copy, Debug)]
struct Process {
    tracked: u64,
    untracked: u64,
    /// 0 if it is not known.
    resident: u64,
}

impl Samples {
    pub(crate) const fn new() -> Self {
        Self {
            times: [0; POINTS],
            process: [Process { tracked: 0, untracked: 0, resident: 0 }; POINTS],
            len: 0,
            is_early: false,
            spacing_ns: 0,
            sites: Group::new(),
            tasks: Group::new(),
            shared: Group::new(),
            stacks: Group::new(),
        }
    }

    /// Whether a sample taken at this time would be kept. Before the first sample, any would be.
    pub(crate) fn is_due(&self, now_ns: u64) -> bool {
        let last = match self.len {
            0 => return true,
            1 => self.times[0],
            len if self.is_early => self.times[len - 2],
            len => self.times[len - 1],
        };
        now_ns.saturating_sub(last) >= self.spacing_ns
    }

    /// Takes a sample from a reading.
    pub(crate) fn take(&mut self, reading: &Reading, now_ns: u64, resident: Option<u64>) {
        let place = self.begin(now_ns);
        for site in &reading.sites {
            site.site.level.set(site.left.bytes, site.sums.counters.allocated_bytes);
        }
        for (site, open) in &reading.open_sums {
            if let Some(site) = Site::at(*site) {
                site.level.add(open.live_bytes, open.counters.allocated_bytes);
            }
        }
        for TaskReading { id, tally, record, live_bytes, .. } in reading.living() {
            let point =
                Point { live_bytes: *live_bytes, allocated_bytes: tally.counters.allocated_bytes };
            self.tasks.note(place, id.as_u64(), record.counted_site.index(), point);
        }
        for stack in reading.stacks.iter().filter(|stack| stack.live_bytes != 0) {
            self.note_stack(place, stack.place, stack.live_bytes, stack.allocated_bytes);
        }
        let sites = reading.sites.iter().map(|site| (site.site, &site.site.level));
        self.end(place, sites, reading.untracked.live_bytes, resident);
    }

    /// Prepares a sample without a reading: returns the keys that it has to look for.
    pub(crate) fn gather(&self) -> Gathering {
        let mut gathering = Gathering::new();
        for series in self.tasks.known() {
            gathering.expect(series.key);
        }
        gathering
    }

    /// Takes a gathered sample, unless a later one has been taken meanwhile.
    pub(crate) fn take_gathered(&mut self, gathered: &Gathering) {
        let at_ns = gathered.at_ns;
        if !self.is_due(at_ns) || self.times[..self.len].last().is_some_and(|last| *last > at_ns) {
            return;
        }
        let place = self.begin(at_ns);
        for Level { key, site, point } in gathered.tasks() {
            self.tasks.note(place, *key, *site, *point);
        }
        for (index, live_bytes, allocated_bytes) in stacks::levels() {
            self.note_stack(place, index, live_bytes, allocated_bytes);
        }
        let sites = Site::rows().map(|site| (site, &site.sampled));
        self.end(place, sites, gathered.untracked_bytes, gathered.resident_bytes);
    }

    /// Starts anew, because a thread that is gone has left the samples half written.
    pub(crate) fn forget(&mut self) {
        (self.len, self.is_early, self.spacing_ns) = (0, false, 0);
        self.sites.forget();
        self.tasks.forget();
        self.shared.forget();
        self.stacks.forget();
    }

    fn note_stack(&mut self, place: usize, index: u32, live_bytes: u64, allocated_bytes: u64) {
        let point = Point { live_bytes, allocated_bytes };
        self.stacks.note(place, u64::from(index) + 1, index, point);
    }

    /// Makes room for a sample at this time and returns its index, which is the last one in
    /// `times`.
    fn begin(&mut self, now_ns: u64) -> usize {
        if self.is_early {
            self.len -= 1;
        } else if self.len == POINTS {
            for place in 0..POINTS / 2 {
                self.times[place] = self.times[2 * place + 1];
                self.process[place] = self.process[2 * place + 1];
            }
            self.len = POINTS / 2;
            self.spacing_ns = (self.times[self.len - 1] - self.times[0]) / (self.len as u64 - 1);
            self.sites.halve();
            self.tasks.halve();
            self.shared.halve();
            self.stacks.halve();
        }
        let since = self.len.checked_sub(1).map(|last| now_ns.saturating_sub(self.times[last]));
        self.is_early = since.is_some_and(|since| since < self.spacing_ns);
        let place = self.len;
        self.times[place] = now_ns;
        self.len += 1;
        self.sites.begin(place);
        self.tasks.begin(place);
        self.shared.begin(place);
        self.stacks.begin(place);
        place
    }

    /// Ends the sample, once the levels of the sites are complete.
    fn end(
        &mut self,
        place: usize,
        sites: impl Iterator<Item = (&'static Site, &'static site::Level)>,
        untracked: u64,
        resident: Option<u64>,
    ) {
        let mut tracked = 0;
        for (site, level) in sites {
            let (live_bytes, allocated_bytes) = level.get();
            tracked += live_bytes;
            let key = u64::from(site.index()) + 1;
            self.sites.note(place, key, site.index(), Point { live_bytes, allocated_bytes });
        }
        self.process[place] = Process { tracked, untracked, resident: resident.unwrap_or(0) };
        for shared_owner::SharedReading { index, memory, .. } in shared_owner::read() {
            let point =
                Point { live_bytes: memory.live_bytes, allocated_bytes: memory.allocated_bytes };
            self.shared.note(place, u64::from(index) + 1, index, point);
        }
        self.sites.end(place);
        self.tasks.end(place);
        self.shared.end(place);
        self.stacks.end(place);
    }

    /// Bytes of the series that were never used.
    pub(super) fn unused_bytes(&self) -> usize {
        let groups = [&self.sites, &self.tasks, &self.shared].map(Group::unused_bytes);
        groups.iter().sum::<usize>() + self.stacks.unused_bytes()
    }

    /// How many points and series there are.
    pub(super) fn amounts(&self) -> Amounts {
        let whole = self.sites.known().chain(self.shared.known());
        let whole = whole.map(|series| series.len - series.first);
        let tasks = self.tasks.known().map(|task| points::shown(task.len - task.first));
        let stacks = self.stacks.known().map(|stack| points::spread(stack.len - stack.first));
        let (series, points) = whole
            .chain(tasks)
            .chain(stacks)
            .fold((0, 0), |(series, sum), points| (series + 1, sum + points));
        Amounts { process: self.len, series, points, events: 0 }
    }

    /// Copies all points. Allocates nothing if there is room for as many as `amounts` says.
    pub(super) fn copy_to(&self, points: &mut Points) {
        let process = self.times.iter().zip(&self.process).take(self.len);
        points.add_process(process.map(|(at_ns, Process { tracked, untracked, resident })| {
            ProcessPoint {
                at_ns: *at_ns,
                tracked_bytes: *tracked,
                untracked_bytes: *untracked,
                whole_bytes: tracked + untracked,
                resident_bytes: Some(*resident).filter(|bytes| *bytes != 0),
            }
        }));
        for site in self.sites.known() {
            points.add_site(site.site, self.points_of(site));
        }
        for shared in self.shared.known() {
            points.add_shared(shared.site, self.points_of(shared));
        }
        for task in self.tasks.known() {
            points.add_task(task.key, task.site, self.points_of(task));
        }
        for stack in self.stacks.known() {
            points.add_stack(stack.site, self.points_of(stack));
        }
    }

    fn points_of(&self, series: &Series) -> impl ExactSizeIterator<Item = TrendPoint> {
        (series.first..series.len).map(|place| TrendPoint {
            at_ns: self.times[place],
            live_bytes: series.points[place].live_bytes,
            allocated_bytes: series.points[place].allocated_bytes,
        })
    }
}

/// A sample that is made without a reading, and without the lock of the history. It takes 20 KiB,
/// which belong to the gathering thread alone.
#[derive(Debug)]
pub(crate) struct Gathering {
    at_ns: u64,
    /// A hash table of the levels that have a series: their keys, and what was found. A free slot
    /// has the key 0.
    known: [Level; SLOTS],
    new: Largest<Level, SERIES>,
    untracked_bytes: u64,
    resident_bytes: Option<u64>,
    /// The bytes of all allocations so far, which tell whether anything goes on.
    pub(crate) allocated_bytes: u64,
}

/// Stands for the site of a task that has a series but was not found.
const NOT_FOUND: u32 = u32::MAX;

/// Four times as many slots as series, so that probes stay short.
pub(super) const SLOTS: usize = 4 * SERIES;

impl Gathering {
    fn new() -> Self {
        Self {
            at_ns: 0,
            known: [NO_LEVEL; SLOTS],
            new: Largest::new(NO_LEVEL),
            untracked_bytes: 0,
            resident_bytes: None,
            allocated_bytes: 0,
        }
    }

    fn expect(&mut self, key: u64) {
        let slot = self.slot(key);
        self.known[slot] = Level { key, site: NOT_FOUND, ..NO_LEVEL };
    }

    fn slot(&self, key: u64) -> usize {
        let start = hash(key);
        let mut slots = (0..SLOTS).map(|step| start.wrapping_add(step) % SLOTS);
        // The table is never more than a quarter full.
        slots.find(|slot| [0, key].contains(&self.known[*slot].key)).unwrap_or(0)
    }

    /// Reads each account once. Must be called by one thread at a time: until the sample is taken,
    /// the sites' levels belong to this one.
    pub(crate) fn fill(&mut self, now_ns: u64) {
        self.at_ns = now_ns;
        Site::rows().for_each(|row| row.sampled.set(0, 0));
        for site in Site::all() {
            site.row().sampled.add(0, site.sums.read().counters.allocated_bytes);
        }
        let (mut untracked, mut allocated) = (0, 0);
        live_sample::for_each(|sample| match sample {
            LiveSample::Thread { live_bytes, allocated_bytes } => {
                untracked += live_bytes;
                allocated += allocated_bytes;
            }
            LiveSample::Task { id, site, live_bytes, allocated_bytes, is_living, .. } => {
                let site = Site::row_index(site);
                if let Some(row) = Site::at(site) {
                    row.sampled.add(live_bytes, allocated_bytes);
                }
                if is_living {
                    let point = Point { live_bytes, allocated_bytes };
                    self.note(Level { key: id, site, point });
                }
            }
        });
        stacks::sample_levels();
        self.untracked_bytes = untracked;
        self.resident_bytes = resident::now();
        let of_tasks: u64 = Site::rows().map(|site| site.sampled.get().1).sum();
        self.allocated_bytes = allocated + of_tasks;
    }

    fn note(&mut self, level: Level) {
        let slot = self.slot(level.key);
        if self.known[slot].key == level.key {
            self.known[slot] = level;
        } else {
            self.new.add(level);
        }
    }

    /// The levels that were found. A task that has a series and was not found has ended.
    fn tasks(&self) -> impl Iterator<Item = &Level> {
        let known = self.known.iter().filter(|level| level.key != 0 && level.site != NOT_FOUND);
        known.chain(self.new.get())
    }
}
