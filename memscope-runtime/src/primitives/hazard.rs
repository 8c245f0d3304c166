//! Whose a place of the table is, and when it may be taken away: hazard pointers (Michael, IEEE
//! TPDS 15(6), 2004) with ids for pointers.
//!
//! A thread says first which task it charges, and looks at the place after that; who takes the
//! place away marks it first, and looks at what all threads have said after that. So one of the two
//! sees the other.

use super::sync::{AtomicU32, AtomicU64, Ordering, fence};

/// Which task a thread charges; 0: none.
#[derive(Debug)]
pub(crate) struct HazardSlot(AtomicU64);

impl HazardSlot {
    #[allow(dead_code, reason = "made out of zeroed memory; the loom models make it so")]
    pub(crate) fn nobody() -> Self {
        Self(AtomicU64::new(0))
    }

    /// From here on the thread may look for the task's place, and charge its record if it finds it.
    #[inline]
    pub(crate) fn begin(&self, id: u64) {
        // Release: what the thread charged before is seen by who takes that record away (pairs with
        // `is`).
        self.0.store(id, Ordering::Release);
        // Before the place is looked at (pairs with the fence in `GuardedSlot::end`).
        fence(Ordering::SeqCst);
    }

    #[allow(dead_code, reason = "the loom models do not fork")]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// The thread charges nobody any more.
    pub(crate) fn end(&self) {
        // Release: as in `begin`.
        self.0.store(0, Ordering::Release);
    }

    pub(crate) fn is(&self, id: u64) -> bool {
        // Acquire pairs with the Release of the next id, or of none: what was charged before is
        // seen.
        self.0.load(Ordering::Acquire) == id
    }
}

/// The task that a place of the table is for.
#[derive(Debug)]
pub(crate) struct GuardedSlot {
    /// The id that Tokio has given the task; 0: empty. With [`BUSY`]: the place is being filled or
    /// emptied.
    id: AtomicU64,
    /// 1 while somebody fills the place, gives the record up, or gives it another name: one at a
    /// time.
    held: AtomicU32,
}

/// No id of a task has this bit.
pub(crate) const BUSY: u64 = 1 << 63;

impl GuardedSlot {
    #[allow(dead_code, reason = "made out of zeroed memory; the loom models make it so")]
    pub(crate) fn empty() -> Self {
        Self { id: AtomicU64::new(0), held: AtomicU32::new(0) }
    }

    /// Whose it is; 0 where it is empty, `None` while that changes.
    pub(crate) fn id(&self) -> Option<u64> {
        let id = self.id.load(Ordering::Relaxed);
        (id & BUSY == 0).then_some(id)
    }

    /// Whether it is this task's. Who has said before that it charges the task may charge it, until
    /// it says otherwise.
    pub(crate) fn is_of(&self, id: u64) -> bool {
        // Acquire pairs with the Release in `begin`: the record is there.
        self.id.load(Ordering::Acquire) == id
    }

    /// Makes an empty place busy and holds it.
    pub(crate) fn take(&self, id: u64) -> bool {
        self.mark(0, id)
    }

    /// Gives a place that is held and busy to a task, whose record, if it has one, is there.
    pub(crate) fn begin(&self, id: u64) {
        // Release pairs with the Acquire in `is_of`.
        self.id.store(id, Ordering::Release);
        self.unlock();
    }

    /// Leaves a place that is held and busy empty.
    pub(crate) fn stay_empty(&self) {
        self.begin(0);
    }

    /// Takes the place from its task, and holds it, unless a thread charges the task.
    pub(crate) fn end<'a>(&self, id: u64, threads: impl Iterator<Item = &'a HazardSlot>) -> bool {
        if !self.mark(id, id) {
            return false;
        }
        // The mark is there before the threads are looked at (pairs with the fence in
        // `HazardSlot::begin`).
        fence(Ordering::SeqCst);
        let mut threads = threads;
        let is_charged = threads.any(|thread| thread.is(id));
        if is_charged {
            self.begin(id);
        }
        !is_charged
    }

    /// Leaves the place empty if it is this task's and has no record, which nobody can be charging
    /// then.
    #[cfg_attr(not(tokio_unstable), allow(dead_code, reason = "only told tasks have such places"))]
    pub(crate) fn give_up(&self, id: u64, has_record: impl FnOnce() -> bool) {
        if !self.hold() {
            return;
        }
        if self.is_of(id) && !has_record() {
            self.stay_empty();
        } else {
            self.unlock();
        }
    }

    /// In a forked child, on its only thread: lets go of a place whose holder is not there. Returns
    /// whether it was just changing hands: then it is empty now.
    #[allow(dead_code, reason = "the loom models do not fork")]
    pub(crate) fn abandon(&self) -> bool {
        let is_changing = self.id.load(Ordering::Relaxed) & BUSY != 0;
        if is_changing {
            self.id.store(0, Ordering::Relaxed);
        }
        self.held.store(0, Ordering::Relaxed);
        is_changing
    }

    fn mark(&self, there: u64, id: u64) -> bool {
        if !self.hold() {
            return false;
        }
        // Release: who finds the place taken away finds what was written before (pairs with the
        // Acquire in `is_of`).
        let next = id | BUSY;
        let busy =
            self.id.compare_exchange(there, next, Ordering::Release, Ordering::Relaxed).is_ok();
        if !busy {
            self.unlock();
        }
        busy
    }

    /// Nobody waits: who does not get it looks for another place, or tries again at the next
    /// snapshot.
    pub(crate) fn hold(&self) -> bool {
        // Acquire pairs with the Release in `unlock`.
        self.held.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    pub(crate) fn unlock(&self) {
        self.held.store(0, Ordering::Release);
    }
}
