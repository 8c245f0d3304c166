//! The runtime's lock-free files, compiled over loom's atomics, and the models that explore them.
//!
//! `cargo test --release -p memscope-loom`. The files are the runtime's own, included by path; only
//! `sync` differs. So the runtime needs no cfg for loom, and Tokio, which has a cfg of that name,
//! is not in this build.
#![cfg(test)]

#[path = "../../src/primitives"]
mod primitives {
    pub(crate) mod sync {
        use loom::cell::UnsafeCell;
        pub(crate) use loom::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering, fence};

        pub(crate) fn bump(counter: &AtomicU64, by: u64) {
            counter.store(counter.load(Ordering::Relaxed) + by, Ordering::Relaxed);
        }

        /// Not atomic: loom reports a race if a slot is read while it is written, or without the
        /// reader having synchronised with its writer.
        #[derive(Debug)]
        pub(crate) struct Slot(UnsafeCell<[u64; 4]>);

        impl Slot {
            pub(crate) fn new() -> Self {
                Self(UnsafeCell::new([0; 4]))
            }

            pub(crate) fn put(&self, words: [u64; 4]) {
                // SAFETY: no other thread accesses the slot meanwhile. The models prove it: loom
                // fails the test otherwise.
                self.0.with_mut(|place| unsafe { place.write(words) });
            }

            pub(crate) fn get(&self) -> [u64; 4] {
                // SAFETY: no other thread writes the slot meanwhile; loom fails the test otherwise.
                self.0.with(|place| unsafe { place.read() })
            }
        }
    }

    pub(crate) mod append_list;
    pub(crate) mod dual_refcount;
    pub(crate) mod free_list;
    pub(crate) mod hazard;
    pub(crate) mod held_block;
    pub(crate) mod poisson;
    pub(crate) mod seqlock;
    #[path = "../../loom/src/slab.rs"]
    pub(crate) mod slab;
    pub(crate) mod spsc_ring;

    pub(crate) use seqlock::{Read, SeqLock};
    pub(crate) use slab::{HasLinks, Links, Slab, SlabItem, Zeroed};
}

#[path = "../../src/accounting"]
mod accounting {
    #[expect(
        dead_code,
        reason = "sites and cells have one writer, shared owners are never closed: nothing to interleave"
    )]
    pub(crate) mod account;
    pub(crate) mod peak;
    pub(crate) mod span {
        pub(crate) mod inside;
    }
    #[path = "../../loom/src/owners.rs"]
    pub(crate) mod owner_word;
    pub(crate) mod site {
        pub(crate) const UNTRACKED: u32 = u32::MAX - 2;
    }
    pub(crate) mod stacks {
        #[expect(dead_code, reason = "nothing to interleave")]
        pub(crate) mod sample;
        pub(crate) use sample::Sample;
        #[path = "../../../loom/src/samples.rs"]
        mod samples;
        mod stack {
            /// Bytes, so that the models see how long a segment is.
            pub(super) fn parts(bytes: u64, _: f64) -> u64 {
                bytes
            }
        }
    }
}

#[path = "spans.rs"]
mod spans;
#[path = "guarded_slots.rs"]
mod guarded_slots;
#[path = "held_blocks.rs"]
mod held_blocks;
#[path = "rings.rs"]
mod rings;

use accounting::{
    account::{Account, Balance, NO_RECORD},
    peak::Peak,
};
use loom::{
    cell::UnsafeCell,
    sync::{Arc, atomic::AtomicU32},
    thread,
};
use primitives::{
    dual_refcount::DualRefcount,
    free_list::FreeList,
    seqlock::{Read, SeqLock},
    sync::{self, Ordering},
};

fn closed(live_bytes: u64, live_blocks: u32, site: u32) -> Balance {
    Balance::Closed { live_bytes, live_blocks, site, has_cell: false }
}

/// A number that is not atomic: loom reports a race if two threads access it without having
/// synchronised.
struct Plain(UnsafeCell<u32>);

impl Plain {
    fn new() -> Self {
        Self(UnsafeCell::new(0))
    }

    fn replace(&self, value: u32) -> u32 {
        // SAFETY: one thread at a time is here. The models prove it: loom fails the test otherwise.
        self.0.with_mut(|place| unsafe { place.replace(value) })
    }

    fn get(&self) -> u32 {
        // SAFETY: no other thread writes meanwhile; loom fails the test otherwise.
        self.0.with(|place| unsafe { place.read() })
    }
}

#[test]
fn the_last_free_after_the_end_gives_the_account_back_and_no_other_does() {
    loom::model(|| {
        let account = Account::new();
        account.open(7, 3, 5);
        assert!(!account.discharge(10), "an open owner keeps its account, whatever its net");
        assert_eq!(
            account.read(),
            Balance::Open { net_bytes: -10, net_blocks: u32::MAX, record: 3, site: 5 }
        );
        assert!(!account.close(30, 3), "20 bytes are live");
        assert_eq!(account.read(), closed(20, 2, 5));
        assert!(!account.discharge(8));
        assert!(account.discharge(12));
        account.open(8, 4, 5);
        assert!(account.close(0, 0), "nothing was ever live");
    });
}

/// An account, and what each of its three users did with it.
struct Shared {
    account: Account,
    uses: [Plain; 3],
}

impl Shared {
    /// The last user may do anything with the account, so a race here is a use after free.
    fn give_back(&self) {
        for used in &self.uses {
            assert_eq!(used.replace(0), 1, "what the others did is seen");
        }
        assert_eq!(self.account.read(), closed(0, 0, 1));
    }
}

/// Two other threads free the owner's blocks while it ends. Exactly one of the three gives the
/// account back, and it sees all that the others did before.
#[test]
fn an_account_is_given_back_exactly_once_and_last() {
    loom::model(|| {
        let uses = [Plain::new(), Plain::new(), Plain::new()];
        let shared = Arc::new(Shared { account: Account::new(), uses });
        shared.account.open(7, 0, 1);
        let free = |user: usize, bytes: usize| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                shared.uses[user].replace(1);
                let last = shared.account.discharge(bytes);
                if last {
                    shared.give_back();
                }
                u32::from(last)
            })
        };
        let others = [free(0, 10), free(1, 20)];
        // The owner allocated two blocks of 30 bytes in all.
        shared.uses[2].replace(1);
        let mut times = u32::from(shared.account.close(30, 2));
        if times == 1 {
            shared.give_back();
        }
        for other in others {
            times += other.join().expect("no panic");
        }
        assert_eq!(times, 1);
    });
}

/// The account goes from one owner to the next while a thread reads it.
#[test]
fn a_reader_never_mixes_two_owners() {
    loom::model(|| {
        let account = Arc::new(Account::new());
        account.open(7, 1, 5);
        assert!(!account.close(20, 1));
        let reader = {
            let account = Arc::clone(&account);
            thread::spawn(move || {
                let before = account.id();
                let balance = account.read();
                (before, balance, account.id())
            })
        };
        assert!(account.discharge(20), "the last block");
        account.set_link(0);
        assert!(account.is_free());
        assert_eq!(account.link(), 0);
        account.open(8, 2, 9);
        assert!(!account.close(100, 5));
        let (before, balance, after) = reader.join().expect("no panic");
        if before != after || before > 8 {
            // The reader was in between, and its ids show it.
            return;
        }
        let fits = match balance {
            // The end has begun, and the reader finds no record of this owner.
            Balance::Open { record: NO_RECORD, .. } => before == 8,
            Balance::Open { net_bytes, net_blocks, record, site } => {
                (before, net_bytes, net_blocks, record, site) == (8, 0, 0, 2, 9)
            }
            Balance::Closed { live_bytes: 0, .. } => true,
            Balance::Closed { live_bytes, live_blocks, site, .. } if before == 7 => {
                (live_bytes, site) == (20, 5) && live_blocks <= 1
            }
            Balance::Closed { live_bytes, live_blocks, site, .. } => {
                (live_bytes, live_blocks, site) == (100, 5, 9)
            }
        };
        assert!(fits, "{before}: {balance:?}");
    });
}

/// A reader that sees the account closed sees the site to which it was moved before.
#[test]
fn a_closed_account_names_its_site() {
    loom::model(|| {
        let account = Arc::new(Account::new());
        account.set_index(4);
        account.open(7, 3, 5);
        let reader = {
            let account = Arc::clone(&account);
            thread::spawn(move || account.read())
        };
        assert_eq!((account.net(), account.index()), (0, 4));
        account.set_site(9);
        assert!(!account.close(30, 2));
        if let Balance::Closed { live_bytes, site, .. } = reader.join().expect("no panic") {
            assert_eq!((live_bytes, site), (30, 9));
        }
    });
}

/// A block is transferred to a task while it ends. It is refused, or it keeps the account until it
/// is freed.
#[test]
fn a_block_given_to_an_ending_owner_keeps_its_account_or_is_refused() {
    loom::model(|| {
        let account = Arc::new(Account::new());
        account.open(7, 3, 5);
        let giver = {
            let account = Arc::clone(&account);
            thread::spawn(move || account.charge_if_open(40))
        };
        let is_gone = account.close(0, 0);
        let is_given = giver.join().expect("no panic");
        assert!(is_gone != is_given, "one of the two");
        if is_given {
            assert_eq!(account.read(), closed(40, 1, 5));
            assert!(account.discharge(40), "its last block");
        } else {
            assert_eq!(account.read(), closed(0, 0, 5));
        }
    });
}

/// The owner raises its peak while another thread transfers a block to it. Whatever the order, the
/// owner's next allocation finds the right peak.
#[test]
fn the_owners_next_allocation_sees_what_was_transferred_to_it() {
    loom::model(|| {
        let owner =
            Arc::new((Account::new(), Peak::new(sync::AtomicI64::new(0), sync::AtomicI64::new(0))));
        owner.0.open(7, 3, 5);
        owner.1.open();
        let giver = {
            let owner = Arc::clone(&owner);
            thread::spawn(move || {
                assert!(owner.0.charge_if_open(40));
                owner.1.look_again();
            })
        };
        let (account, peak) = &*owner;
        let allocate = |own_live| {
            if peak.is_passed_by(own_live) {
                peak.settle(account, own_live, peak.bytes(), || true);
            }
        };
        allocate(10);
        giver.join().expect("no panic");
        // 1 byte more than before: less than a stale limit would let through.
        allocate(9);
        allocate(10);
        assert_eq!(owner.1.bytes(), 50);
    });
}

/// Two threads write two words, and a reader sees those of one of them, or notices that it does
/// not.
#[test]
fn words_that_are_read_are_of_one_writing() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let zero = || sync::AtomicU64::new(0);
        let shared = Arc::new((SeqLock::of(zero()), [zero(), zero()]));
        let write = |number: u64| {
            let shared = Arc::clone(&shared);
            move || {
                let (version, words) = &*shared;
                let Some(_writing) = version.write() else { return };
                for (place, word) in words.iter().zip([number, 10 * number]) {
                    place.store(word, Ordering::Release);
                }
            }
        };
        let writer = thread::spawn(write(1));
        let reader = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let (version, words) = &*shared;
                let read = || [0, 1].map(|word| words[word].load(Ordering::Acquire));
                if let Read::Consistent([first, second]) = version.read(read) {
                    assert!(first != 0 && second == 10 * first, "{first}, {second}");
                }
            })
        };
        write(2)();
        writer.join().expect("no panic");
        reader.join().expect("no panic");
    });
}

/// A variable of an outer and an inner block, which two other threads free while it is still being
/// registered.
#[test]
fn a_variable_ends_once_and_its_place_is_given_back_once_and_last() {
    loom::model(|| {
        let uses = [Plain::new(), Plain::new(), Plain::new()];
        let shared = Arc::new((DualRefcount::new(), uses));
        shared.0.open();
        shared.0.add(false);
        let free = |user: usize, is_outer: bool| {
            let shared = Arc::clone(&shared);
            move || {
                let (holds, uses) = &*shared;
                uses[user].replace(1);
                let released = holds.release(is_outer);
                if released.is_last {
                    for used in uses {
                        assert_eq!(used.replace(0), 1, "what the others did is seen");
                    }
                    assert!(!holds.is_live() && !holds.hold(), "it is over");
                }
                [u32::from(released.is_last_outer), u32::from(released.is_last)]
            }
        };
        let others = [thread::spawn(free(0, true)), thread::spawn(free(1, false))];
        let mut times = free(2, true)();
        for other in others {
            let [over, unused] = other.join().expect("no panic");
            times = [times[0] + over, times[1] + unused];
        }
        assert_eq!(times, [1, 1]);
    });
}

/// Slots whose contents are not atomic. Loom reports a race if two threads ever hold the same slot,
/// or if one does not see what its last holder wrote.
struct Places {
    free: FreeList,
    links: [AtomicU32; 2],
    contents: [Plain; 2],
}

impl Places {
    fn new() -> Self {
        Self {
            free: FreeList::new(sync::AtomicU64::new(0)),
            links: [AtomicU32::new(0), AtomicU32::new(0)],
            contents: [Plain::new(), Plain::new()],
        }
    }

    fn push(&self, index: u32) {
        self.free.push(index, |next| self.links[index as usize].store(next, Ordering::Relaxed));
    }

    fn pop(&self) -> Option<u32> {
        self.free.pop(|index| self.links[index as usize].load(Ordering::Relaxed))
    }

    fn use_one(&self) -> bool {
        let Some(index) = self.pop() else { return false };
        let content = &self.contents[index as usize];
        let uses = content.replace(0);
        content.replace(uses + 1);
        self.push(index);
        true
    }
}

#[test]
fn a_free_place_has_one_holder_at_a_time() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let places = Arc::new(Places::new());
        places.push(0);
        places.push(1);
        let others: Vec<_> = (0..2)
            .map(|_| {
                let places = Arc::clone(&places);
                thread::spawn(move || {
                    assert!(places.use_one(), "there is a place for each of the two");
                    places.use_one()
                })
            })
            .collect();
        for other in others {
            assert!(other.join().expect("no panic"));
        }
        let (first, second) = (places.pop(), places.pop());
        assert!(
            first != second && first.is_some() && second.is_some(),
            "nothing is lost or doubled"
        );
        assert_eq!(places.pop(), None);
        let uses: u32 = places.contents.iter().map(|content| content.replace(0)).sum();
        assert_eq!(uses, 4);
    });
}
