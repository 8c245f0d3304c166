//! The collector: it drains the threads' rings of events and takes the samples of the timeline.
//!
//! Each snapshot collects too, so everything works without the collector's thread. But then rings
//! may fill up between two snapshots. From `init` on, a poll of a task starts the thread, and so
//! does the first allocation of an unannotated task or of a thread. If a poll has started it, it
//! ends by itself when nothing has happened for a while, and the next poll starts it again.
//! Otherwise it stays. The thread needs no memory from the program's heap. It also learns the rules
//! by which samples walk the stack.

pub(crate) mod points;
pub(crate) mod series;
pub(crate) mod largest;
pub(crate) mod timeline;

use std::{ffi::CStr, panic::catch_unwind, thread, time::Duration};

use super::{
    capture::Reading,
    collector::{
        largest::{Largest, Ranked},
        points::{Amounts, Points},
        timeline::{Gathering, Samples},
    },
};
use crate::{
    accounting::{Event, ThreadRing, registry, thread_ring},
    alloc::{Background, own_threads},
    config::{self, ENABLED},
    model::EventKind,
    primitives::{
        Lock, Pending, Renew, clock, frames, order, pending_starts,
        sync::{AtomicU32, Ordering},
    },
    resident, symbols,
};

/// The most life-cycle events that are kept.
const LIVES: usize = 512;
/// The most large blocks that are kept, and the most long polls. Both are rare, and kept apart so
/// that life-cycle events do not push them out.
const RARE: usize = 64;

/// An event, and the order in which it was taken out of its ring. Events of one thread that have
/// equal times stay in this order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    pub(crate) event: Event,
    pub(crate) order: u64,
}

/// Rings are drained one after the other, so an event that arrives later may be older.
impl Ranked for Kept {
    type Rank = (u64, u64);

    fn rank(&self) -> (u64, u64) {
        (self.event.at_ns, self.order)
    }
}

const NOTHING: Kept = Kept {
    event: Event { at_ns: 0, task: 0, amount: 0, site: 0, kind: EventKind::Spawned },
    order: 0,
};

/// The events and samples that the collector keeps: a fixed size, for ever.
///
/// NOTE: the thread that holds the lock needs no memory, neither from the program's heap nor from
/// elsewhere, and walks over no records.
#[derive(Debug)]
pub(crate) struct History {
    pub(crate) samples: Samples,
    lives: Largest<Kept, LIVES>,
    large_blocks: Largest<Kept, RARE>,
    long_polls: Largest<Kept, RARE>,
    /// Events taken out of rings so far.
    taken: u64,
    sampled_ns: u64,
    /// How long the last sample took.
    sampling_ns: u64,
    /// Samples taken so far, by snapshots and by the collector, and the longest time that the
    /// collector took for one.
    looks: u64,
    longest_look_ns: u64,
    /// Bytes of all allocations at the last sample, and tasks spawned and ended.
    seen: [u64; 3],
    /// When the collector last saw that something had happened.
    active_ns: u64,
}

static HISTORY: Lock<History> = Lock::new(History {
    samples: Samples::new(),
    lives: Largest::new(NOTHING),
    large_blocks: Largest::new(NOTHING),
    long_polls: Largest::new(NOTHING),
    taken: 0,
    sampled_ns: 0,
    sampling_ns: 0,
    looks: 0,
    longest_look_ns: 0,
    seen: [0; 3],
    active_ns: 0,
});

/// A lock that the thread holds which gathers a sample. No thread waits for it.
static GATHERING: Lock<()> = Lock::new(());

/// What a snapshot takes out of the history.
#[derive(Debug)]
pub(crate) struct Collected {
    pub(crate) points: Points,
    pub(crate) taken: u64,
    pub(crate) dropped: u64,
    pub(crate) looks: u64,
    pub(crate) longest_look_ns: u64,
    /// The memory of the history, as far as it was ever used.
    pub(crate) own_bytes: u64,
}

impl Collected {
    /// The memory of the whole history, for a snapshot that could not read it.
    pub(crate) const MOST_OWN_BYTES: u64 = size_of::<History>() as u64;
}

/// How often a copy is tried while other threads add to the history.
const ATTEMPTS: usize = 4;

/// Drains all rings, takes a sample of this reading, and copies what the history has. Must be
/// called inside `exempt`. Returns `None` if another thread held the history for a second, or if
/// there is no memory.
pub(crate) fn collect(reading: &Reading) -> Option<Collected> {
    frames::learn_wanted();
    let resident = resident::now();
    let mut amounts = {
        let mut history = HISTORY.lock_for_a_while()?;
        history.drain();
        // A reading of only some sites would give levels that are too low.
        if !reading.is_cut {
            history.samples.take(reading, clock::now_ns(), resident);
        }
        history.looks += 1;
        history.amounts()
    };
    for _ in 0..ATTEMPTS {
        // Runs without the lock, because it allocates.
        let mut points = Points::with_room(amounts)?;
        let history = HISTORY.lock_for_a_while()?;
        amounts = history.amounts();
        if !points.fits(amounts) {
            // Another snapshot or a round of the collector came between.
            drop(history);
            continue;
        }
        history.samples.copy_to(&mut points);
        for kept in [history.lives.get(), history.large_blocks.get(), history.long_polls.get()] {
            points.events.extend_from_slice(kept);
        }
        let (taken, dropped) = (history.taken, thread_ring::dropped());
        let (looks, longest_look_ns) = (history.looks, history.longest_look_ns);
        let own_bytes = history.used_bytes();
        drop(history);
        order::by_key(&mut points.events, Kept::rank);
        return Some(Collected { points, taken, dropped, looks, longest_look_ns, own_bytes });
    }
    None
}

impl Renew for History {
    /// Starts anew in a forked child: a thread that does not exist there may have left the history
    /// half written.
    fn renew(&mut self) {
        self.samples.forget();
        self.lives.forget();
        self.large_blocks.forget();
        self.long_polls.forget();
        (self.taken, self.sampled_ns, self.sampling_ns) = (0, 0, 0);
        (self.looks, self.longest_look_ns) = (0, 0);
        (self.seen, self.active_ns) = ([0; 3], 0);
    }
}

impl History {
    fn amounts(&self) -> Amounts {
        let lists = [self.lives.get(), self.large_blocks.get(), self.long_polls.get()];
        Amounts { events: lists.map(<[Kept]>::len).iter().sum(), ..self.samples.amounts() }
    }

    fn used_bytes(&self) -> u64 {
        let events = [&self.large_blocks, &self.long_polls].map(Largest::unused_bytes);
        let unused = events.iter().sum::<usize>() + self.lives.unused_bytes();
        (size_of::<Self>() - unused - self.samples.unused_bytes()) as u64
    }

    /// Returns whether there was any event, and the largest number of events in one ring.
    fn drain(&mut self) -> (bool, u32) {
        let before = self.taken;
        let most = thread_ring::drain(|event| self.fold(event));
        (self.taken != before, most)
    }

    fn fold(&mut self, event: Event) {
        self.taken += 1;
        let kept = Kept { event, order: self.taken };
        match event.kind {
            EventKind::LargeBlock | EventKind::OverBudget => self.large_blocks.add(kept),
            EventKind::LongPoll => self.long_polls.add(kept),
            _ => self.lives.add(kept),
        }
    }

    /// The time between two samples: at least a hundred times what the last sample took. So
    /// sampling takes at most a hundredth of the time, however many tasks it walks over.
    fn period_ns(&self) -> u64 {
        config::sample_every_ns().max(self.sampling_ns.saturating_mul(100))
    }

    fn is_sample_due(&self, now_ns: u64) -> bool {
        let is_time =
            now_ns.saturating_sub(self.sampled_ns) >= self.period_ns() || self.sampled_ns == 0;
        is_time && self.samples.is_due(now_ns)
    }

    /// Returns the pause until the next round, or `None` if nothing has happened for a while. `any`
    /// says whether the last round saw an event. `most` is the largest number of events in one
    /// ring.
    fn pause(&mut self, now_ns: u64, any: bool, most: u32, allocated: u64) -> Option<Duration> {
        let counts = registry::counts();
        let seen = [allocated, counts.spawned, counts.ended];
        if any || seen != self.seen || self.active_ns == 0 {
            self.active_ns = now_ns;
            self.seen = seen;
        }
        let period_ns = self.period_ns();
        if now_ns.saturating_sub(self.active_ns) >= QUIET_NS.max(2 * period_ns) {
            self.active_ns = 0;
            return None;
        }
        let period = Duration::from_nanos(period_ns);
        Some(match most {
            // Events come fast.
            most if most > ThreadRing::SLOTS / 4 => SHORTEST,
            0 => period.clamp(SHORTEST, LONG),
            _ => period.clamp(SHORTEST, SHORT),
        })
    }
}

/// Runs one round: drains the rings, and takes a sample if one is due. Returns the pause until the
/// next round, or `None` if nothing has happened for a while.
fn one_round() -> Option<Duration> {
    frames::learn_wanted();
    let Some(mut history) = HISTORY.lock_for_a_while() else { return Some(LONG) };
    let (any, most) = history.drain();
    let now_ns = clock::now_ns();
    let gathering = if history.is_sample_due(now_ns) { GATHERING.try_lock() } else { None };
    let gathered = gathering.as_ref().map(|_| history.samples.gather());
    drop(history);
    // Runs without the lock, because it walks over all accounts.
    let gathered = gathered.map(|mut gathered: Gathering| {
        gathered.fill(now_ns);
        gathered
    });
    let Some(mut history) = HISTORY.lock_for_a_while() else { return Some(LONG) };
    let mut allocated = history.seen[0];
    if let Some(gathered) = gathered {
        history.samples.take_gathered(&gathered);
        allocated = gathered.allocated_bytes;
        history.sampled_ns = now_ns;
        history.sampling_ns = clock::now_ns().saturating_sub(now_ns);
        history.longest_look_ns = history.longest_look_ns.max(history.sampling_ns);
        history.looks += 1;
    }
    drop(gathering);
    history.pause(now_ns, any, most, allocated)
}

/// The pause between two rounds: at least `SHORTEST`, at most `SHORT` while there are events, and
/// at most `LONG` while there are none.
const SHORTEST: Duration = Duration::from_millis(10);
const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(1);
/// The thread ends when nothing was allocated, started or ended for this long.
const QUIET_NS: u64 = 10_000_000_000;

/// The state of the thread, in the bits of `WHAT`. The upper bits count its starts, so that a
/// thread that is to end does not mistake the next thread's state for its own.
static STATE: AtomicU32 = AtomicU32::new(OFF);
const OFF: u32 = 0;
/// The thread is started as soon as something happens.
const ARMED: u32 = 1;
const RUNNING: u32 = 2;
const WHAT: u32 = 3;

fn want() {
    static START: fn() = start;
    pending_starts::want(Pending::Collector, &START);
}

/// Allows the thread to be started from now on.
pub(crate) fn arm() {
    let _ = STATE.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |state| {
        (state & WHAT == OFF).then_some(state | ARMED)
    });
    want();
}

/// Makes the thread end, and forbids to start it again.
pub(crate) fn disarm() {
    STATE.fetch_and(!WHAT, Ordering::Relaxed);
}

/// Starts the thread if it may be started and is not running.
#[cold]
fn start() {
    let state = STATE.load(Ordering::Relaxed);
    let next = (state & !WHAT).wrapping_add(WHAT + 1) | RUNNING;
    let is_ours = state & WHAT == ARMED
        && STATE.compare_exchange(state, next, Ordering::Relaxed, Ordering::Relaxed).is_ok();
    if !is_ours {
        return;
    }
    if own_threads::spawn::<Collector>(next).is_err() {
        // The system refuses to create a thread; then the snapshots collect.
        let _ = STATE.compare_exchange(next, next & !WHAT, Ordering::Relaxed, Ordering::Relaxed);
    }
}

struct Collector;

impl Background for Collector {
    const NAME: &'static CStr = c"memscope";
    const STACK_BYTES: usize = 256 << 10;
    const SHARES_FILES: bool = false;

    fn run(start: u32) {
        run(start);
    }
}

fn run(state: u32) {
    let rounds = || {
        while STATE.load(Ordering::Relaxed) == state {
            let _ = symbols::want_if_waiting();
            symbols::want_ahead();
            match one_round() {
                Some(pause) => thread::sleep(pause),
                // Tasks and threads that are there already would not start it again.
                None if pending_starts::was_in_allocator() => thread::sleep(LONG),
                None => break,
            }
        }
    };
    // A panic in here would be a fault of memscope, and ends nothing but this thread.
    let result = catch_unwind(rounds);
    let next = if result.is_ok() { ARMED } else { OFF };
    // Whatever happens from here on starts the next thread.
    let _ =
        STATE.compare_exchange(state, state & !WHAT | next, Ordering::Relaxed, Ordering::Relaxed);
    want();
}

/// Must be called in a forked child, which has no such thread. The next event starts the thread
/// again.
pub(crate) fn forked() {
    let state = STATE.load(Ordering::Relaxed);
    if state & WHAT == RUNNING {
        STATE.store(state & !WHAT | ARMED, Ordering::Relaxed);
        want();
    }
}

/// Whether the thread is running.
pub(crate) fn is_running() -> bool {
    STATE.load(Ordering::Relaxed) & WHAT == RUNNING
}

/// Runs one round of the collector now, on this thread; for tests that set the clock forward.
pub fn round() {
    if ENABLED {
        one_round();
    }
}
