//! Table slots of unannotated tasks, which go from one task to the next while threads charge them.

use loom::{sync::Arc, thread};

use crate::{
    Plain,
    primitives::hazard::{GuardedSlot, HazardSlot},
    primitives::sync::{AtomicU64, Ordering},
};

/// A slot whose record is not atomic, the hazard slots of two threads, and the last task that ended
/// in the slot.
struct Table {
    slot: GuardedSlot,
    record: Plain,
    threads: [HazardSlot; 2],
    ended: AtomicU64,
}

impl Table {
    /// With task 1 in its slot, which has been charged 10 bytes.
    fn new() -> Arc<Self> {
        let threads = [HazardSlot::empty(), HazardSlot::empty()];
        let (slot, record) = (GuardedSlot::empty(), Plain::new());
        let table = Self { slot, record, threads, ended: AtomicU64::new(0) };
        table.open(1, 10);
        Arc::new(table)
    }

    fn open(&self, id: u64, bytes: u32) {
        assert!(self.slot.try_claim(id));
        self.record.replace(bytes);
        self.slot.assign(id);
    }

    /// Charges a task from inside its poll. Returns whether the thread found the record.
    fn charge(&self, thread: usize, id: u64, bytes: u32) -> bool {
        self.threads[thread].publish(id);
        let is_there = self.slot.is_of(id);
        if is_there {
            self.record.replace(self.record.get() + bytes);
        }
        is_there
    }

    /// Takes the slot from its task, if no thread charges it, and returns the bytes of the record.
    fn abandon(&self, id: u64) -> Option<u32> {
        self.slot.try_retire(id, self.threads.iter()).then(|| self.record.replace(0))
    }
}

/// One thread gives the slot to task 2, while another charges task 1 and then comes back to it. No
/// byte is charged to the wrong record, or to none.
fn a_record_is_given_up_only_when_no_thread_charges_it(ends: bool) {
    loom::model(move || {
        let table = Table::new();
        let charger = {
            let table = Arc::clone(&table);
            thread::spawn(move || {
                let bytes = if table.charge(0, 1, 5) { 5 } else { 0 };
                if ends {
                    table.threads[0].clear();
                } else {
                    // The thread goes on with another task.
                    table.threads[0].publish(3);
                }
                bytes + if table.charge(0, 1, 7) { 7 } else { 0 }
            })
        };
        let given_up = table.abandon(1);
        if given_up.is_some() {
            table.record.replace(100);
            table.slot.assign(2);
        }
        let bytes_charged = charger.join().expect("no panic");
        let (owner, bytes) = if table.slot.is_of(1) { (1, 0) } else { (2, 100) };
        assert_eq!(given_up.is_some(), owner == 2);
        let left = table.record.get() - bytes;
        assert_eq!(given_up.unwrap_or(0) + left, 10 + bytes_charged, "nothing is lost");
        if owner == 2 {
            assert_eq!(left, 0, "nothing is another task's");
        }
    });
}

#[test]
fn a_record_is_given_up_only_when_its_thread_charges_no_task() {
    a_record_is_given_up_only_when_no_thread_charges_it(true);
}

#[test]
fn a_record_is_given_up_only_when_its_thread_charges_another_task() {
    a_record_is_given_up_only_when_no_thread_charges_it(false);
}

/// Two threads poll the same task, one after the other. The second finds what the first made.
#[test]
fn a_record_that_is_found_is_whole() {
    loom::model(|| {
        let table = Table::new();
        assert_eq!(table.abandon(1), Some(10));
        table.slot.stay_empty();
        let maker = {
            let table = Arc::clone(&table);
            thread::spawn(move || table.open(2, 20))
        };
        table.threads[0].publish(2);
        if table.slot.is_of(2) {
            assert_eq!(table.record.get(), 20);
        }
        maker.join().expect("no panic");
    });
}

/// Two threads want the slot for their tasks.
#[test]
fn a_place_is_filled_by_one_at_a_time() {
    loom::model(|| {
        let table = Table::new();
        let fill = |thread: usize, id: u64| {
            let table = Arc::clone(&table);
            move || {
                table.threads[thread].publish(id);
                let is_mine = table.abandon(1).is_some();
                if is_mine {
                    table.record.replace(u32::try_from(id).expect("small"));
                    table.slot.assign(id);
                }
                is_mine
            }
        };
        let other = thread::spawn(fill(1, 3));
        let is_mine = fill(0, 2)();
        let is_others = other.join().expect("no panic");
        assert!(!(is_mine && is_others));
        if is_mine || is_others {
            let owner = if is_mine { 2 } else { 3 };
            assert!(table.slot.is_of(owner));
            assert_eq!(u64::from(table.record.get()), owner);
        }
    });
}

/// One thread locks the slot to rename the record, while another takes the slot away.
#[test]
fn a_record_that_is_held_is_not_taken_away() {
    loom::model(|| {
        let table = Table::new();
        let renamer = {
            let table = Arc::clone(&table);
            thread::spawn(move || {
                if !table.slot.try_lock() {
                    return 0;
                }
                let is_there = table.slot.is_of(1);
                if is_there {
                    table.record.replace(table.record.get() + 1);
                }
                table.slot.unlock();
                u32::from(is_there)
            })
        };
        let given_up = table.abandon(1);
        let names = renamer.join().expect("no panic");
        assert_eq!(given_up.unwrap_or_else(|| table.record.get()), 10 + names);
    });
}

/// A task has ended and its slot is taken away, while a thread drops its output. That thread finds
/// the record, or sees that the task has ended.
#[test]
fn a_thread_that_finds_no_slot_of_an_ended_task_finds_its_end() {
    loom::model(|| {
        let table = Table::new();
        let dropper = {
            let table = Arc::clone(&table);
            thread::spawn(move || {
                let is_there = table.charge(1, 1, 5);
                is_there || table.ended.load(Ordering::Acquire) == 1
            })
        };
        table.ended.store(1, Ordering::Release);
        if table.abandon(1).is_some() {
            table.slot.stay_empty();
        }
        assert!(dropper.join().expect("no panic"));
    });
}

/// A task without a record has ended, and its slot is emptied unless the dropping thread has just
/// made a record. That thread finds the slot, or sees that the task has ended.
#[test]
fn a_thread_that_finds_no_slot_of_a_task_without_a_record_finds_its_end() {
    loom::model(|| {
        let table = Table::new();
        let has_record = Arc::new(Plain::new());
        let dropper = {
            let (table, has_record) = (Arc::clone(&table), Arc::clone(&has_record));
            thread::spawn(move || {
                table.threads[1].publish(1);
                if table.slot.is_of(1) {
                    if table.slot.try_lock() {
                        if table.slot.is_of(1) {
                            has_record.replace(1);
                        }
                        table.slot.unlock();
                    }
                    return true;
                }
                table.ended.load(Ordering::Acquire) == 1
            })
        };
        table.slot.abandon(7, || false);
        assert_eq!(table.slot.id(), Some(1), "another one's");
        table.ended.store(1, Ordering::Release);
        table.slot.abandon(1, || has_record.get() == 1);
        assert!(dropper.join().expect("no panic"));
        assert_eq!(table.slot.id(), Some(u64::from(has_record.get())), "a record keeps its place");
    });
}
