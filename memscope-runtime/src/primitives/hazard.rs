//! Hazard pointers (Michael, IEEE TPDS 15(6), 2004) with task ids for pointers: they protect the
//! record in a table slot until no thread charges it.
//!
//! A thread first publishes which task it charges, then reads the table slot. A thread that
//! reclaims the slot first marks it, then reads what all threads have published. So one of the two
//! sees the other.

use super::sync::{AtomicU32, AtomicU64, Ordering, fence};

/// The id of the task that a thread charges; 0 if it charges none.
#[derive(Debug)]
pub(crate) struct HazardSlot(AtomicU64);

impl HazardSlot {
    #[allow(dead_code, reason = "made out of zeroed memory; the loom models make it so")]
    pub(crate) fn empty() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Publishes `id`. From here on the thread may look for the task's slot, and charge the record
    /// that it finds there.
    #[inline]
    pub(crate) fn publish(&self, id: u64) {
        // Release; pairs with the Acquire in `is`: a thread that reclaims the previous task's
        // record sees all that this thread charged to it.
        self.0.store(id, Ordering::Release);
        // The id is published before the slot is read. Pairs with the fence in
        // `GuardedSlot::try_retire`.
        fence(Ordering::SeqCst);
    }

    #[allow(dead_code, reason = "the loom models do not fork")]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Publishes that the thread charges no task any more.
    pub(crate) fn clear(&self) {
        // Release, as in `publish`.
        self.0.store(0, Ordering::Release);
    }

    pub(crate) fn is(&self, id: u64) -> bool {
        // Acquire; pairs with the Release in `publish` and `clear`, where the thread publishes the
        // next id or none: what it charged before is seen.
        self.0.load(Ordering::Acquire) == id
    }
}

/// The guard of a table slot: the task that owns it, and a lock for the thread that changes that.
#[derive(Debug)]
pub(crate) struct GuardedSlot {
    /// The id that Tokio gave the task; 0 if the slot is empty. With [`BUSY`], a thread is filling
    /// or emptying the slot.
    id: AtomicU64,
    /// 1 while a thread fills the slot, gives the record up or renames it: one thread at a time.
    held: AtomicU32,
}

/// No task id has this bit.
pub(crate) const BUSY: u64 = 1 << 63;

impl GuardedSlot {
    #[allow(dead_code, reason = "made out of zeroed memory; the loom models make it so")]
    pub(crate) fn empty() -> Self {
        Self { id: AtomicU64::new(0), held: AtomicU32::new(0) }
    }

    /// The id of the slot's task; 0 if the slot is empty, `None` while that changes.
    pub(crate) fn id(&self) -> Option<u64> {
        let id = self.id.load(Ordering::Relaxed);
        (id & BUSY == 0).then_some(id)
    }

    /// Whether the slot is this task's. A thread that published the id before this call may charge
    /// the task until it publishes another id.
    pub(crate) fn is_of(&self, id: u64) -> bool {
        // Acquire; pairs with the Release in `assign`: the record is there.
        self.id.load(Ordering::Acquire) == id
    }

    /// Locks an empty slot and marks it busy. Returns `false` if another thread is changing it or
    /// it is not empty.
    pub(crate) fn try_claim(&self, id: u64) -> bool {
        self.mark(0, id)
    }

    /// Assigns a locked, busy slot to a task and unlocks it. The task's record, if it has one, must
    /// be there already.
    pub(crate) fn assign(&self, id: u64) {
        // Release; pairs with the Acquire in `is_of`.
        self.id.store(id, Ordering::Release);
        self.unlock();
    }

    /// Leaves a locked, busy slot empty and unlocks it.
    pub(crate) fn stay_empty(&self) {
        self.assign(0);
    }

    /// Takes the slot from its task and keeps it locked and busy. Returns `false` if a thread
    /// charges the task, or if another thread is changing the slot.
    pub(crate) fn try_retire<'a>(
        &self,
        id: u64,
        threads: impl Iterator<Item = &'a HazardSlot>,
    ) -> bool {
        if !self.mark(id, id) {
            return false;
        }
        // The slot is marked before the threads' ids are read. Pairs with the fence in
        // `HazardSlot::publish`.
        fence(Ordering::SeqCst);
        let mut threads = threads;
        let is_charged = threads.any(|thread| thread.is(id));
        if is_charged {
            self.assign(id);
        }
        !is_charged
    }

    /// Like [`try_retire`](Self::try_retire), but does not read what threads have published. The
    /// caller knows that no thread charges the task any more. Returns `false` if another thread is
    /// changing the slot, or if the slot is not this task's.
    #[allow(dead_code, reason = "the loom models free no cells")]
    pub(crate) fn try_take(&self, id: u64) -> bool {
        self.mark(id, id)
    }

    /// Empties the slot if it is this task's and has no record. No thread can be charging a record
    /// then.
    #[cfg_attr(
        not(tokio_unstable),
        allow(dead_code, reason = "only hooked runtimes report such ends")
    )]
    pub(crate) fn abandon(&self, id: u64, has_record: impl FnOnce() -> bool) {
        if !self.try_lock() {
            return;
        }
        if self.is_of(id) && !has_record() {
            self.stay_empty();
        } else {
            self.unlock();
        }
    }

    /// Unlocks a slot whose holder a fork has left behind. Must be called in the child, on its only
    /// thread. Returns whether the slot was changing hands; it is empty then.
    #[allow(dead_code, reason = "the loom models do not fork")]
    pub(crate) fn unlock_abandoned(&self) -> bool {
        let is_changing = self.id.load(Ordering::Relaxed) & BUSY != 0;
        if is_changing {
            self.id.store(0, Ordering::Relaxed);
        }
        self.held.store(0, Ordering::Relaxed);
        is_changing
    }

    fn mark(&self, there: u64, id: u64) -> bool {
        if !self.try_lock() {
            return false;
        }
        // Release; pairs with the Acquire in `is_of`: a thread that finds the slot taken away sees
        // what was written before.
        let next = id | BUSY;
        let busy =
            self.id.compare_exchange(there, next, Ordering::Release, Ordering::Relaxed).is_ok();
        if !busy {
            self.unlock();
        }
        busy
    }

    /// Locks the slot. Never blocks: on contention the caller tries another slot, or tries again at
    /// the next snapshot.
    pub(crate) fn try_lock(&self) -> bool {
        // Acquire; pairs with the Release in `unlock`.
        self.held.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    pub(crate) fn unlock(&self) {
        self.held.store(0, Ordering::Release);
    }
}
