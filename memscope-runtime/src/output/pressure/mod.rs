//! The black box: a thread that watches the limit of memory, and leaves a report near it.
//!
//! The thread needs no runtime, and sleeps most of the time: [`pace`] says how long. When memory
//! crosses a share of the limit, it writes the report and then calls the program. Near the limit
//! there is little memory left. So a report may take only a part of the room, besides memory that
//! the thread holds for it.

mod levels;
mod looks;
mod pace;

use std::{
    ffi::CStr,
    hint::black_box,
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
    time::Instant,
};

use crate::{
    alloc::{Background, Entered, own_threads, warn},
    config,
    model::Pressure,
    primitives::{
        Pending, pending_starts,
        sync::{AtomicU8, Ordering},
    },
    resident::Usage,
    symbols,
};
use levels::Levels;
use looks::Looks;
use pace::Pace;

/// What the thread is for, and whether it runs: the three bits below.
static STATE: AtomicU8 = AtomicU8::new(0);
/// Flag: the thread writes reports.
const REPORTS: u8 = 1;
/// Flag: the thread calls a function of the program.
const CALLS: u8 = 2;
const RUNS: u8 = 4;

/// Makes the thread watch the limit for reports, from the next occasion on.
#[cfg(feature = "report-file")]
pub(crate) fn want_reports() {
    want(REPORTS);
}

/// Makes the thread watch the limit if the program asks for that. Must be called when its settings
/// have changed.
pub(crate) fn settings_changed() {
    want(if config::on_pressure().is_some() { CALLS } else { 0 });
}

fn want(what: u8) {
    static START: fn() = start;
    let state = STATE.fetch_or(what, Ordering::Relaxed) | what;
    if state & (REPORTS | CALLS) != 0 && state & RUNS == 0 {
        pending_starts::want(Pending::Watch, &START);
    }
}

/// Starts the thread if it does not run. May be called in the allocator: takes no lock and no
/// memory from the program's heap.
pub(crate) fn start() {
    if STATE.fetch_or(RUNS, Ordering::Relaxed) & RUNS == 0
        && own_threads::spawn::<Watch>(0).is_err()
    {
        // The system refuses to create a thread; the next settings try again.
        STATE.fetch_and(!RUNS, Ordering::Relaxed);
    }
}

/// Starts the thread if there is a limit. Must not be called in the allocator.
#[cfg(feature = "report-file")]
pub(crate) fn start_if_limited() {
    if STATE.load(Ordering::Relaxed) & RUNS == 0 && looks::is_limited() {
        start();
    }
}

/// Must be called in a forked child, which has no such thread. The child writes no reports, because
/// the files are its parent's.
#[cfg(unix)]
pub(crate) fn forked() {
    let state = STATE.load(Ordering::Relaxed);
    STATE.store(state & CALLS, Ordering::Relaxed);
    want(0);
}

struct Watch;

impl Background for Watch {
    const NAME: &'static CStr = c"memscope-limit";
    const STACK_BYTES: usize = 2 << 20;

    fn run(_: u32) {
        watch();
        STATE.fetch_and(!RUNS, Ordering::Relaxed);
    }
}

/// Watches until there is no limit.
fn watch() {
    let mut at = config::report_at();
    let mut levels = Levels::new(at);
    let mut pace = Pace::default();
    let mut held = Held::default();
    let looks = Looks::start();
    let mut named_at = 0;
    loop {
        let begun = Instant::now();
        if at != config::report_at() {
            at = config::report_at();
            levels = Levels::new(at);
        }
        let Some(usage) = looks.look().filter(|_| at.shares().next().is_some()) else {
            return;
        };
        let looked = begun.elapsed();
        held.hold(&usage);
        if let Some(share) = levels.crossed(&usage, begun) {
            report(&usage, held.release());
            levels.note_report(share, begun.elapsed());
            tell(&usage, share);
        } else if levels.is_half_way(&usage) && usage.used_bytes >= named_at {
            // Names are looked up while there is room for it, so that the report at the first share
            // has them. They are looked up again when memory has risen by a twentieth of the limit.
            symbols::want_stack_names();
            named_at = usage.used_bytes.saturating_add(usage.limit_bytes / 20);
        }
        thread::sleep(pace.pause(&usage, levels.next(&usage), looked));
    }
}

/// Memory that the thread has touched beforehand, for the report.
#[derive(Default)]
struct Held(Vec<u8>);

impl Held {
    const MOST_BYTES: u64 = 1 << 20;

    /// Takes the memory while there is plenty of room.
    fn hold(&mut self, usage: &Usage) {
        let bytes = (usage.limit_bytes / 64).min(Self::MOST_BYTES);
        if self.0.is_empty()
            && usage.room() >= usage.limit_bytes / 8
            && let Ok(bytes) = usize::try_from(bytes)
            && self.0.try_reserve_exact(bytes).is_ok()
        {
            // The bytes are not zero, so that the pages are in memory.
            self.0.resize(bytes, 1);
            black_box(&self.0);
        }
    }

    /// Frees the memory, and returns its size.
    fn release(&mut self) -> usize {
        std::mem::take(&mut self.0).len()
    }
}

/// Writes the report. Its lists may take the memory that was held for it, and an eighth of the
/// room.
#[cfg(feature = "report-file")]
fn report(usage: &Usage, held_bytes: usize) {
    const LEAST_BYTES: usize = 256 << 10;
    if STATE.load(Ordering::Relaxed) & REPORTS != 0 {
        let room = usize::try_from(usage.room() / 8).unwrap_or(usize::MAX);
        super::auto_report::write_near_limit(room.saturating_add(held_bytes).max(LEAST_BYTES));
    }
}

#[cfg(not(feature = "report-file"))]
fn report(_: &Usage, _: usize) {}

/// Calls the program's function, outside of every task.
fn tell(usage: &Usage, share: f64) {
    let Some(call) = config::on_pressure() else { return };
    let pressure = Pressure {
        share,
        used_bytes: usage.used_bytes,
        limit_bytes: usage.limit_bytes,
        limit_source: usage.source,
    };
    let called = catch_unwind(AssertUnwindSafe(|| {
        let _untracked = Entered::untracked();
        call(&pressure);
    }));
    if called.is_err() {
        warn(format_args!("the function of `on_pressure` has panicked"));
    }
}
