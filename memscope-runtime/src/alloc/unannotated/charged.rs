//! The owner that a thread charged last outside of tracked tasks, and the id that Tokio reports as
//! long as that owner is current.
//!
//! Tokio keeps the id of the current task in a word of a thread-local. Asking Tokio takes a call
//! for each allocation and each free. So memscope learns where that word lies, as it learns where
//! the byte beside the thread-local lies (`context`). A thread of memscope's own runs sample tasks,
//! and searches its thread-local memory. The place is believed if exactly one word is equal to what
//! Tokio reports in each sample's poll, in the drop of its future, and outside of tasks. The word
//! is equally far from a thread-local of memscope's on every thread.
//!
//! Once the thread-locals of a thread are destroyed, Tokio reports no task. The word then keeps its
//! value. That value is not zero only in a process that exits within a poll. What follows is then
//! still charged to that task.

use std::{cell::Cell, ptr};

use crate::{
    accounting::{Record, Tally},
    alloc::{current::UNREGISTERED, recent::RECENT},
    primitives::sync::{AtomicUsize, Ordering},
};

/// How far Tokio's word is from the thread's [`Charged`], as long as the fast path may read that
/// word. Otherwise 0, which is the distance of a word that is equal to no id.
static WATCHED: AtomicUsize = AtomicUsize::new(0);
/// How far Tokio's word is from the thread's [`Charged`]; 0 if that is not known.
static DISTANCE: AtomicUsize = AtomicUsize::new(0);

/// Equal to no id, and not to [`NONE`].
const UNKNOWN: u64 = u64::MAX - 1;
/// Stands for an id where there is no owner. It is equal to no id.
const NONE: u64 = u64::MAX;

/// The owner that a thread charged last.
#[repr(C)]
pub(in crate::alloc) struct Charged {
    /// Stands for Tokio's word where that is not watched.
    unknown: u64,
    /// What Tokio's word holds while the owner is current; 0 for the thread itself.
    id: Cell<u64>,
    tally: Cell<&'static Tally>,
}

impl Charged {
    pub(in crate::alloc) const fn new() -> Self {
        Self { unknown: UNKNOWN, id: Cell::new(NONE), tally: Cell::new(&UNREGISTERED) }
    }

    /// Returns the tally of that owner, if it is still current. Must be called on its own thread.
    ///
    /// PERF: one comparison, without a call.
    #[inline]
    pub(in crate::alloc) fn current(&self) -> Option<&'static Tally> {
        let word = read(self.address().wrapping_add(WATCHED.load(Ordering::Relaxed)));
        (word == self.id.get()).then(|| self.tally.get())
    }

    #[inline]
    fn address(&self) -> usize {
        ptr::from_ref(self).expose_provenance()
    }
}

/// Notes that this thread charges the task with this id, or its own tally for 0.
#[inline]
pub(super) fn charge(id: u64, tally: &'static Tally) {
    RECENT.with(|recent| {
        recent.charged.id.set(id);
        recent.charged.tally.set(tally);
    });
}

/// Notes that this thread charges the thread itself, outside of tasks.
#[inline]
pub(crate) fn charge_thread(record: &'static Record) {
    charge(0, record.tally());
}

/// Notes that the next allocation has to find its owner.
#[inline]
pub(super) fn forget() {
    RECENT.with(|recent| recent.charged.id.set(NONE));
}

/// Lets the fast path read Tokio's word, or forbids it: then unannotated tasks get no rows.
pub(crate) fn watch(is_on: bool) {
    let distance = if is_on { DISTANCE.load(Ordering::Relaxed) } else { 0 };
    WATCHED.store(distance, Ordering::Relaxed);
}

/// Returns the word with the id of the task that Tokio polls or drops here, 0 for none. Returns
/// `None` if it is not known where the word lies.
#[inline]
pub(super) fn word() -> Option<u64> {
    let distance = DISTANCE.load(Ordering::Relaxed);
    (distance != 0).then(|| read(address_here().wrapping_add(distance)))
}

/// The address of this thread's [`Charged`].
#[inline]
fn address_here() -> usize {
    RECENT.with(|recent| recent.charged.address())
}

/// Reads a word of this thread's thread-local memory.
#[inline]
fn read(address: usize) -> u64 {
    let word = ptr::with_exposed_provenance::<u64>(address);
    // SAFETY: an aligned address in this thread's thread-local memory of this module. The caller
    // found it by the program's headers, or by its distance from `RECENT`, which is the same on
    // every thread. That memory lives as long as the thread, and only this thread writes there.
    unsafe { word.read_volatile() }
}

#[cfg(all(target_os = "linux", any(target_env = "gnu", target_env = "musl")))]
pub(super) use learned::learn;

#[cfg(all(target_os = "linux", any(target_env = "gnu", target_env = "musl")))]
mod learned {
    use std::{
        future::Future,
        ops::Range,
        panic::catch_unwind,
        pin::Pin,
        sync::{Arc, Mutex, PoisonError},
        task::{Context, Poll},
    };

    use tokio::{runtime::Builder, task::yield_now};

    use super::{DISTANCE, address_here, read, watch};
    use crate::{
        alloc::{current::exempt, unannotated::tokio_digits},
        config,
        primitives::sync::Ordering,
    };

    /// The number of sample tasks.
    const SAMPLES: usize = 5;

    /// Learns where Tokio's word lies, in this thread's thread-local memory of the module. Must be
    /// called on a thread of memscope's own, outside of the allocator.
    pub(in crate::alloc::unannotated) fn learn(memory: &Range<usize>) {
        let found = exempt(|| catch_unwind(|| look(memory)).ok().flatten());
        if let Some(address) = found {
            DISTANCE.store(address.wrapping_sub(address_here()), Ordering::Relaxed);
            watch(config::unannotated());
        }
    }

    /// Addresses of words that were equal to each id that Tokio has reported.
    struct Candidates {
        addresses: Mutex<Vec<usize>>,
    }

    impl Candidates {
        fn narrow(&self) {
            let id = tokio_digits();
            let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
            addresses.retain(|address| read(*address) == id);
        }
    }

    /// A future that compares the words in its poll, and when it is dropped.
    struct Looks(Arc<Candidates>);

    impl Future for Looks {
        type Output = ();

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            self.0.narrow();
            Poll::Ready(())
        }
    }

    impl Drop for Looks {
        fn drop(&mut self) {
            self.0.narrow();
        }
    }

    pub(super) fn look(memory: &Range<usize>) -> Option<usize> {
        const WORD: usize = size_of::<u64>();
        let first = memory.start.checked_next_multiple_of(WORD)?;
        let last = memory.end.checked_sub(WORD)?;
        let addresses = Mutex::new((first..=last).step_by(WORD).collect());
        let candidates = Arc::new(Candidates { addresses });
        candidates.narrow();
        let runtime = Builder::new_current_thread().build().ok()?;
        for _ in 0..SAMPLES {
            drop(runtime.spawn(Looks(Arc::clone(&candidates))));
        }
        runtime.block_on(async {
            for _ in 0..4 {
                yield_now().await;
                candidates.narrow();
            }
        });
        // Each sample is gone, so each has looked.
        let all_looked = Arc::strong_count(&candidates) == 1;
        drop(runtime);
        candidates.narrow();
        let addresses = candidates.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        match (all_looked, addresses.as_slice()) {
            (true, [address]) => Some(*address),
            _ => None,
        }
    }
}

#[cfg(all(
    test,
    feature = "enabled",
    target_os = "linux",
    any(target_env = "gnu", target_env = "musl")
))]
mod tests {
    use std::thread;

    use tokio::{runtime::Builder, task};

    use super::{super::tokio_digits, *};

    /// Asserts that Tokio's word holds what Tokio reports. Returns that.
    fn same() -> u64 {
        let reported = tokio_digits();
        assert_eq!(word(), Some(reported));
        reported
    }

    struct AsksWhenDropped;

    impl Drop for AsksWhenDropped {
        fn drop(&mut self) {
            assert_ne!(same(), 0, "a task is dropped");
        }
    }

    #[test]
    fn tokios_word_holds_what_tokio_reports_on_every_thread() {
        let learned = thread::spawn(|| learn(&super::super::context::memory().expect("one")));
        learned.join().expect("no panic");
        assert_eq!(same(), 0);
        let runtime = Builder::new_multi_thread().worker_threads(3).build().expect("a runtime");
        let tasks: Vec<_> = (0..50_u64)
            .map(|number| {
                runtime.spawn(async move {
                    let asks = AsksWhenDropped;
                    for _ in 0..number % 5 {
                        assert_ne!(same(), 0);
                        task::yield_now().await;
                    }
                    let nested = thread::spawn(same).join().expect("no panic");
                    assert_eq!(nested, 0, "a new thread polls nothing");
                    drop(asks);
                    task::spawn_blocking(same).await.expect("no panic")
                })
            })
            .collect();
        let pending = runtime.spawn(async {
            let _asks = AsksWhenDropped;
            std::future::pending::<()>().await;
        });
        runtime.block_on(async {
            assert_eq!(same(), tokio_digits());
            for task in tasks {
                assert_ne!(task.await.expect("no panic"), 0, "a blocking task has an id");
            }
        });
        pending.abort();
        drop(runtime);
        assert_eq!(same(), 0);
    }

    #[test]
    fn a_place_that_the_search_may_not_trust_is_not_kept() {
        let nothing = thread::spawn(|| learned::look(&(0..0))).join().expect("no panic");
        assert_eq!(nothing, None);
    }
}
