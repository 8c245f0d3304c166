//! Two hundred random programs, of which the live and allocated bytes of each place in the code are
//! known: estimates have no bias, and are as near as `error_bound` says.
#![expect(clippy::print_stdout, reason = "the figures of docs/ACCURACY.md's command")]

use std::{alloc::Layout, collections::BTreeSet, thread};

use memscope_rs::{
    __private::{StackReading, error_bound, seed_stacks, stacks},
    Stacks,
    async_memory::track,
    builder,
};
use memscope_tests::{Block, conserved, poll};

use crate::ALLOCATOR;

/// Programs with many samples of each place, and with few.
const LONG: u64 = 200;
const SHORT: u64 = 2_000;
const PLACES: usize = 3;
/// Below this, the mean does not adapt to the speed of the machine.
const MEAN: u64 = 4_095;

/// What a place in the code does with a block.
type At = fn(Option<Block>, usize) -> Block;

#[inline(never)]
fn at<const PLACE: usize>(block: Option<Block>, size: usize) -> Block {
    let block = match block {
        Some(block) => block.resize(size),
        None => Block::new(Layout::from_size_align(size, 8).expect("small"), false),
    };
    // Places of equal code must not become one function.
    std::hint::black_box(PLACE);
    std::hint::black_box(block)
}

const AT: [At; PLACES] = [at::<0>, at::<1>, at::<2>];

struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        usize::try_from((self.0 >> 33) % below as u64).expect("below")
    }

    /// Sizes of all magnitudes.
    fn size(&mut self) -> usize {
        let most = 8 << self.next(12);
        1 + self.next(most)
    }
}

/// The model of a block: the pieces that each place has allocated.
struct Known {
    block: Block,
    pieces: Vec<(usize, usize, usize)>,
}

/// The truth of each place.
#[derive(Clone, Copy, Default)]
struct Truth {
    live: u64,
    allocated: u64,
}

#[derive(Default)]
struct Program {
    blocks: Vec<Known>,
    allocated: [u64; PLACES],
}

impl Program {
    /// One step of the program, by the thread that calls it.
    fn step(&mut self, random: &mut Random) {
        let place = random.next(PLACES);
        let size = random.size();
        let any = if self.blocks.is_empty() { 0 } else { random.next(self.blocks.len()) };
        match random.next(10) {
            0..5 => {
                let block = AT[place](None, size);
                self.allocated[place] += size as u64;
                self.blocks.push(Known { block, pieces: vec![(place, 0, size)] });
            }
            5..8 if !self.blocks.is_empty() => {
                let Known { block, mut pieces } = self.blocks.swap_remove(any);
                let old = block.layout.size();
                let block = AT[place](Some(block), size);
                for piece in &mut pieces {
                    piece.2 = piece.2.min(size);
                }
                pieces.retain(|(_, from, to)| from < to);
                if size > old {
                    self.allocated[place] += (size - old) as u64;
                    pieces.push((place, old, size));
                }
                self.blocks.push(Known { block, pieces });
            }
            8.. if !self.blocks.is_empty() => self.blocks.swap_remove(any).block.free(),
            _ => {}
        }
    }

    fn truth(&self, place: usize) -> Truth {
        let pieces = self.blocks.iter().flat_map(|known| &known.pieces);
        let live = pieces.filter(|piece| piece.0 == place).map(|(_, from, to)| (to - from) as u64);
        Truth { live: live.sum(), allocated: self.allocated[place] }
    }
}

/// The frames that only one place's stacks have.
fn frames_of_places() -> [BTreeSet<usize>; PLACES] {
    let all: [BTreeSet<usize>; PLACES] = AT.map(|at| {
        let before = stacks();
        // A block this large is sampled, and so is such growth.
        at(Some(at(None, 1 << 20)), 1 << 21).free();
        let is_new = |stack: &&StackReading| {
            !before.iter().any(|old| {
                (&old.frames, old.site, old.samples) == (&stack.frames, stack.site, stack.samples)
            })
        };
        stacks().iter().filter(is_new).flat_map(|stack| stack.frames.iter().copied()).collect()
    });
    [0, 1, 2].map(|place| {
        let others = (0..PLACES).filter(|other| *other != place);
        let shared: BTreeSet<usize> = others.flat_map(|other| all[other].clone()).collect();
        all[place].difference(&shared).copied().collect()
    })
}

/// What is estimated for each place, with the samples of both estimates.
#[derive(Clone, Copy, Default)]
struct Estimate {
    sums: Truth,
    live_samples: u64,
    samples: u64,
}

fn estimates(frames: &[BTreeSet<usize>; PLACES]) -> [Estimate; PLACES] {
    let mut estimates = [Estimate::default(); PLACES];
    for stack in stacks() {
        let of = |place: &usize| stack.frames.iter().any(|frame| frames[*place].contains(frame));
        if let Some(place) = (0..PLACES).find(of) {
            let estimate = &mut estimates[place];
            estimate.sums.live += stack.live_bytes;
            estimate.sums.allocated += stack.allocated_bytes;
            estimate.live_samples += stack.live_samples;
            estimate.samples += stack.samples;
        }
    }
    estimates
}

/// An estimate beside the truth.
struct Pair {
    estimate: u64,
    truth: u64,
    samples: u64,
}

/// Runs the program, of this many steps, in tasks and on threads. Returns its pairs of live and
/// allocated bytes.
fn run(
    number: u64,
    length: std::ops::Range<usize>,
    frames: &[BTreeSet<usize>; PLACES],
) -> Vec<(Pair, Pair)> {
    let mut random = Random(number);
    let mut program = Program::default();
    let before = estimates(frames);
    seed_stacks(2 * number);
    let steps = length.start + random.next(length.len());
    let mut done = 0;
    while done < steps {
        let some = 1 + random.next(length.end / 9);
        done += some;
        match random.next(4) {
            // Another task takes blocks over, and ends while they live.
            0 => {
                let mut task = Box::pin(track(async {
                    (0..some).for_each(|_| program.step(&mut random));
                }));
                assert!(poll(&mut task).is_ready());
            }
            // A thread that ends.
            1 => thread::scope(|scope| {
                scope.spawn(|| {
                    seed_stacks((2 * number + 1) << 32 | done as u64);
                    (0..some).for_each(|_| program.step(&mut random));
                });
            }),
            _ => (0..some).for_each(|_| program.step(&mut random)),
        }
    }
    let after = estimates(frames);
    let pairs = (0..PLACES).map(|place| {
        let (truth, before, after) = (program.truth(place), before[place], after[place]);
        let live = Pair {
            estimate: after.sums.live - before.sums.live,
            truth: truth.live,
            samples: after.live_samples - before.live_samples,
        };
        let allocated = Pair {
            estimate: after.sums.allocated - before.sums.allocated,
            truth: truth.allocated,
            samples: after.samples - before.samples,
        };
        (live, allocated)
    });
    let pairs = pairs.collect();
    for known in program.blocks {
        known.block.free();
    }
    pairs
}

/// Checks the bias, and how many are within their bounds. Returns how many have samples.
#[expect(clippy::cast_precision_loss, reason = "a bound is not exact")]
fn check(what: &str, pairs: &[Pair], most_bias: f64) -> usize {
    let sum = |of: fn(&Pair) -> u64| pairs.iter().map(of).sum::<u64>() as f64;
    let bias = sum(|pair| pair.estimate) / sum(|pair| pair.truth) - 1.0;
    let is_near = |pair: &&Pair| {
        let bound = pair.estimate as f64 * error_bound(pair.samples);
        pair.truth.abs_diff(pair.estimate) as f64 <= bound
    };
    let sampled: Vec<&Pair> = pairs.iter().filter(|pair| pair.samples != 0).collect();
    let near = sampled.iter().copied().filter(is_near).count();
    let mean = sum(|pair| pair.samples) / sampled.len() as f64;
    println!(
        "{what}: bias {bias:+.4}, {near} of {} within their bounds, {mean:.1} samples each",
        sampled.len()
    );
    assert!(bias.abs() < most_bias, "{what}: {bias}");
    assert!(near * 100 >= sampled.len() * 95, "{what}: {near} of {}", sampled.len());
    sampled.len()
}

#[test]
fn estimates_of_random_programs_have_no_bias_and_keep_their_bounds() {
    builder().stacks(Stacks::EveryBytes(MEAN)).init().expect("possible");
    let frames = frames_of_places();
    assert!(frames.iter().all(|frames| !frames.is_empty()), "{frames:?}");
    let pairs: Vec<_> = (0..LONG).flat_map(|number| run(number, 300..1_800, &frames)).collect();
    let (live, allocated): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    for (what, pairs) in [("live", live), ("allocated", allocated)] {
        let sampled = check(what, &pairs, 0.01);
        assert!(sampled * 10 >= pairs.len() * 9, "{what}: {sampled}");
    }
    let pairs: Vec<_> = (0..SHORT).flat_map(|number| run(LONG + number, 8..40, &frames)).collect();
    let (live, allocated): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    for (what, pairs) in [("live, few", live), ("allocated, few", allocated)] {
        // Some 10,000 samples in all: 1 % is one standard deviation.
        let sampled = check(what, &pairs, 0.03);
        assert!(sampled * 10 <= pairs.len() * 9, "{what}: {sampled}");
    }
    conserved(&ALLOCATOR);
}
