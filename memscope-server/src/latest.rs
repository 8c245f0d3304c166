//! One snapshot for all clients of one second, and what is made of it.
//!
//! However many clients ask, a snapshot of the program is taken about once a second. Each format is
//! made once, when the first client asks for it.

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use memscope_export::{
    CounterFloors, MetricFamily, PprofKind, html, metrics, page_json, page_update_with, pprof,
    text_of,
};
use memscope_runtime::{
    __server::{own, snapshot},
    analysis::Leaks,
    async_memory::MemorySnapshot,
};
use tokio::{sync::Notify, time::sleep};

/// How long a snapshot serves: a little less than the second between two updates, so that each
/// update has a new snapshot.
const SERVES: Duration = Duration::from_millis(900);

/// The period in which an old snapshot is looked for and freed.
const TIDY: Duration = Duration::from_secs(3);

/// The most bytes of one update. The page gets one update a second.
const MOST_UPDATE_BYTES: usize = 190_000;

/// How long findings serve the page's updates at least. Findings are about minutes, and looking for
/// them is the longest part of an update of many tasks.
const FINDINGS_SERVE: Duration = Duration::from_millis(9_900);

/// Findings serve at least for this many times the duration of the search. So the search takes at
/// most a hundredth of a core, even with very many tasks.
const FINDINGS_SHARE: u32 = 100;

/// A format in which a snapshot is served.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Format {
    Json,
    /// An event of the stream that the page reads.
    Update,
    Text,
    Html,
    Metrics,
    Heap,
    Allocs,
}

const FORMATS: usize = 7;

/// A snapshot, and the formats that were made of it so far.
#[derive(Debug)]
pub(crate) struct Taken {
    at: Instant,
    snapshot: MemorySnapshot,
    families: OnceLock<Vec<MetricFamily>>,
    made: [OnceLock<Bytes>; FORMATS],
}

static LATEST: Mutex<Option<Arc<Taken>>> = Mutex::new(None);

/// The findings of an earlier snapshot.
#[derive(Debug)]
struct Found {
    at: Instant,
    serves: Duration,
    leaks: Arc<Leaks>,
}

static FOUND: Mutex<Option<Found>> = Mutex::new(None);

/// Notified of each new snapshot.
static TAKEN: Notify = Notify::const_new();

/// The snapshot of this second. Must be called inside `own`.
pub(crate) fn latest() -> Arc<Taken> {
    // NOTE: held while a snapshot is taken, so that the others wait for it and take none.
    let mut latest = lock(&LATEST);
    if let Some(taken) = latest.as_ref().filter(|taken| taken.at.elapsed() < SERVES) {
        return Arc::clone(taken);
    }
    // Two snapshots at a time would take twice the memory.
    *latest = None;
    let made = [const { OnceLock::new() }; FORMATS];
    let (snapshot, families) = (snapshot(), OnceLock::new());
    let taken = Arc::new(Taken { snapshot, at: Instant::now(), families, made });
    *latest = Some(Arc::clone(&taken));
    TAKEN.notify_one();
    taken
}

/// Frees each snapshot soon after no client has asked for it. Never ends.
pub(crate) async fn tidy() {
    loop {
        TAKEN.notified().await;
        while !forget_old() {
            sleep(TIDY).await;
        }
    }
}

/// Frees the snapshot, at the end of a server. Another server takes its own snapshot.
pub(crate) fn forget() {
    own(|| {
        *lock(&LATEST) = None;
        *lock(&FOUND) = None;
    });
}

/// Frees the snapshot if it no longer serves. Returns whether there is none.
fn forget_old() -> bool {
    let mut latest = lock(&LATEST);
    let is_old = latest.as_ref().is_none_or(|taken| taken.at.elapsed() >= SERVES);
    if is_old {
        own(|| {
            *latest = None;
            *lock(&FOUND) = None;
        });
    }
    is_old
}

impl Taken {
    pub(crate) fn snapshot(&self) -> &MemorySnapshot {
        &self.snapshot
    }

    /// Must be called inside `own`.
    pub(crate) fn in_format(&self, format: Format) -> Bytes {
        self.made[format as usize].get_or_init(|| self.make(format)).clone()
    }

    /// The metrics, whose counters never fall from snapshot to snapshot. Must be called inside
    /// `own`.
    pub(crate) fn families(&self) -> &[MetricFamily] {
        static FLOORS: Mutex<Option<CounterFloors>> = Mutex::new(None);
        self.families.get_or_init(|| {
            let mut families = metrics(&self.snapshot);
            lock(&FLOORS).get_or_insert_default().hold(&mut families);
            families
        })
    }

    /// The findings of this snapshot, or of one of the last seconds.
    fn found(&self) -> Arc<Leaks> {
        let mut found = lock(&FOUND);
        let age = |found: &Found| self.at.saturating_duration_since(found.at);
        if let Some(found) = found.as_ref().filter(|found| age(found) < found.serves) {
            return Arc::clone(&found.leaks);
        }
        let begun = Instant::now();
        let leaks = Arc::new(self.snapshot.leaks());
        let serves = begun.elapsed().saturating_mul(FINDINGS_SHARE).max(FINDINGS_SERVE);
        *found = Some(Found { at: self.at, serves, leaks: Arc::clone(&leaks) });
        leaks
    }

    fn make(&self, format: Format) -> Bytes {
        let snapshot = &self.snapshot;
        match format {
            Format::Json => page_json(snapshot).into(),
            Format::Update => {
                let update = page_update_with(snapshot, &self.found(), MOST_UPDATE_BYTES);
                format!("event: snapshot\ndata: {update}\n\n").into()
            }
            Format::Text => snapshot.to_string().into(),
            Format::Html => html(snapshot).into(),
            Format::Metrics => text_of(self.families()).into(),
            Format::Heap => pprof(snapshot, PprofKind::Live).into(),
            Format::Allocs => pprof(snapshot, PprofKind::Allocated).into(),
        }
    }
}

/// Locks the mutex. A panic of a holder does no harm, as the value is whole at each moment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
