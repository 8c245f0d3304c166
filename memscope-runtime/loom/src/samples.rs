//! The record of a sampled block: taken by the thread that allocates it, freed by another one, and
//! read by a third.

use loom::thread;

use super::{
    super::owner_word::Owner,
    Sample,
    sample::{LiveBlock, Point, Segment, live},
};
use crate::{
    accounting::stacks::sample,
    primitives::{
        Read,
        slab::{HasItems, Items},
        sync::Ordering,
    },
};

loom::lazy_static! {
    static ref SAMPLES: Items<Sample> = Items::new();
}

impl HasItems for Sample {
    fn items() -> &'static Items<Self> {
        &SAMPLES
    }
}

/// Bytes whose first one is the sample point.
fn segment(place: u32, from: u64, to: u64) -> Segment {
    Segment::new(place, from, to, Point { mean: 1, behind: to - from })
}

/// The owner that has the block, and the places and lengths of its segments.
type Seen = (u64, Vec<(u32, u64)>);

fn seen(block: &LiveBlock) -> Seen {
    let segments = block.segments().filter(|segment| segment.parts() != 0);
    (block.task, segments.map(|segment| (segment.place, segment.parts())).collect())
}

/// What one look at the record shows; `None`: no block, or it is being written.
fn look(sample: &'static Sample) -> Option<Seen> {
    match sample.try_read() {
        Read::Consistent(block) => Some(seen(&block)),
        Read::Empty | Read::Torn => None,
    }
}

fn model(check: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(check);
}

/// Another thread frees the block, and takes the record for one of the same or of another owner.
#[test]
fn a_reader_never_mixes_two_blocks_of_one_record() {
    for next in [1, 2] {
        model(move || {
            let sample = Sample::cover(Owner(1), segment(5, 0, 10)).expect("room");
            let freer = thread::spawn(move || {
                assert_eq!(sample.end(), Owner(1));
                let again = Sample::cover(Owner(next), segment(6, 0, 20)).expect("room");
                assert!(std::ptr::eq(again, sample));
            });
            let (first, second) = ((1, vec![(5, 10)]), (next, vec![(6, 20)]));
            if let Some(seen) = look(sample) {
                assert!(seen == first || seen == second, "{seen:?}");
            }
            freer.join().expect("no panic");
            assert_eq!(look(sample), Some(second));
        });
    }
}

/// The owner grows the block, which is sampled again. Then another owner shrinks it, which frees
/// the further segment, and a new block takes that.
#[test]
fn a_reader_sees_a_block_as_it_was_before_or_after_each_reallocation() {
    model(|| {
        let sample = Sample::cover(Owner(1), segment(5, 0, 10)).expect("room");
        let writer = thread::spawn(move || {
            sample.add(segment(6, 10, 30));
            sample.resized(Owner(2), 4);
            Sample::cover(Owner(1), segment(7, 0, 40)).expect("room")
        });
        let all = [(1, vec![(5, 10)]), (1, vec![(5, 10), (6, 20)]), (2, vec![(5, 4)])];
        if let Some(seen) = look(sample) {
            assert!(all.contains(&seen), "{seen:?}");
        }
        let other = writer.join().expect("no panic");
        assert_eq!(look(sample), Some((2, vec![(5, 4)])));
        assert_eq!(look(other), Some((1, vec![(7, 40)])));
    });
}

/// A task takes the block over while another thread reads it.
#[test]
fn a_reader_sees_a_transferred_block_with_one_of_its_owners() {
    model(|| {
        let sample = Sample::cover(Owner(1), segment(5, 0, 10)).expect("room");
        let taker = thread::spawn(move || {
            sample.covered_word().swap(2, Ordering::AcqRel);
        });
        if let Some((owner, segments)) = look(sample) {
            assert!(owner == 1 || owner == 2);
            assert_eq!(segments, [(5, 10)]);
        }
        taker.join().expect("no panic");
        assert_eq!(look(sample), Some((2, vec![(5, 10)])));
    });
}

/// One thread frees a block of two segments while two others take records.
#[test]
fn a_record_has_one_block_at_a_time() {
    model(|| {
        let sample = Sample::cover(Owner(1), segment(5, 0, 10)).expect("room");
        sample.add(segment(5, 10, 20));
        let take = |place| move || Sample::cover(Owner(2), segment(place, 0, 30));
        let other = thread::spawn(take(6));
        sample.end();
        let mine = take(7)();
        let others = other.join().expect("no panic");
        let mut expected = Vec::new();
        for (taken, place) in [(mine, 7), (others, 6)] {
            expected.extend(taken.map(|_| (2, vec![(place, 30)])));
        }
        assert_eq!(expected.len(), 2, "there are three records");
        let mut blocks: Vec<Seen> = live().map(|block| seen(&block)).collect();
        blocks.sort();
        expected.sort();
        assert_eq!(blocks, expected);
        let _ = sample::at(0);
    });
}
