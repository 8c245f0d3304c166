//! Call stacks, sampled by allocated bytes: which code allocates, by estimate.
//!
//! The allocator counts the bytes of each thread down to the next sample point (see
//! [`poisson`](crate::primitives::poisson)). The block that contains the point is sampled: its
//! stack is kept, and its owner word points to a record that covers the owner. So only operations
//! on sampled blocks take the slow path. Exact counters do not depend on samples.

mod interval;
mod sample;
mod stack;

use std::array;

use sample::{LiveBlock, Segment};
pub(crate) use sample::{Point, Sample, at};
use stack::{MOST_FRAMES, Place, Stack};

use super::owner_word::Owner;
use crate::{
    config::{self, ENABLED},
    model::StacksState,
    primitives::{
        StackBounds, frames, reserve,
        sync::{AtomicU8, AtomicU64, AtomicUsize, Ordering},
        unwind,
    },
};

/// Whether stacks can be unwound inside the allocator; 0 if that is not known yet.
static CAN_UNWIND: AtomicU8 = AtomicU8::new(0);
const NO: u8 = 1;
const YES: u8 = 2;

/// How much of its stack a thread must have left for a sample. It is more than a sample takes,
/// which `tests/stacks/small_stacks.rs` measures.
pub const STACK_NEEDED: usize = if cfg!(debug_assertions) { 12 << 10 } else { 8 << 10 };

/// Samples without a stack or a record.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Begins to sample as the settings say. Must not be called in the allocator, because it asks the
/// loader.
pub(crate) fn start() {
    if CAN_UNWIND.load(Ordering::Relaxed) == 0 {
        let can_unwind = unwind::is_lock_free();
        if can_unwind {
            frames::note_files();
            // The first unwinding of a process prepares the unwinder's tables.
            unwind::frames(&[AtomicUsize::new(0)]);
        }
        CAN_UNWIND.store(if can_unwind { YES } else { NO }, Ordering::Relaxed);
    }
    interval::restart();
}

/// The index of the stack that allocated the block's first sampled bytes.
#[allow(dead_code, reason = "for pictures of the heap, which are taken on Linux alone")]
pub(crate) fn stack_of(sample: &Sample) -> Option<u32> {
    Some(Place::get(sample.segment().place)?.stack)
}

fn can_unwind() -> bool {
    CAN_UNWIND.load(Ordering::Relaxed) == YES
}

/// The mean number of bytes between two samples that a thread adopts now; 0 if no sample is taken.
#[inline]
pub(crate) fn interval_bytes() -> u64 {
    if can_unwind() { interval::current() } else { 0 }
}

/// Whether this thread, whose stack has these bounds, has room for a sample.
#[inline]
pub(crate) fn has_room(bounds: StackBounds) -> bool {
    bounds.left() >= STACK_NEEDED
}

/// Samples that were lost, because there was no room for their stack or their record, or on the
/// thread's own stack.
pub(crate) fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Counts a sample that is lost.
#[cold]
pub(crate) fn drop_one() {
    DROPPED.fetch_add(1, Ordering::Relaxed);
}

/// Bytes that stacks and samples have taken from the system.
pub(crate) fn held_bytes() -> u64 {
    stack::held_bytes() + sample::held_bytes() + frames::held_bytes()
}

/// Whether stacks are sampled, and if not, why.
pub(crate) fn reason() -> StacksState {
    if !ENABLED {
        StacksState::Disabled
    } else if config::stacks_every() == 0 {
        StacksState::Off
    } else if can_unwind() {
        StacksState::On
    } else {
        StacksState::Unsupported
    }
}

/// Samples the bytes from `from` to `to` of a block that is being allocated or grown. `point` is
/// their first sample point. Returns the owner word that the block gets.
#[inline(never)]
pub(crate) fn take(owner: Owner, from: usize, to: usize, point: Point) -> Owner {
    interval::note_taken();
    let covered = owner.sample().map_or(owner, Sample::covered);
    let Some(place) = place_here(sample::site_of(covered)) else {
        drop_one();
        return owner;
    };
    let segment = Segment::new(place.index, from as u64, to as u64, point);
    // Must come first, so that no more bytes seem live than were allocated.
    place.note(segment.parts());
    if let Some(sample) = owner.sample() {
        sample.add(segment);
        return owner;
    }
    let Some(sample) = Sample::cover(owner, segment) else {
        drop_one();
        return owner;
    };
    Owner::sampled(sample)
}

/// The place of this thread's stack in a site.
// PERF: a function of its own, whose frame has room for the stack.
#[inline(never)]
fn place_here(site: u32) -> Option<&'static Place> {
    let found = [const { AtomicUsize::new(0) }; MOST_FRAMES + 1];
    let len = unwind::frames(&found);
    let frames: [usize; MOST_FRAMES] =
        array::from_fn(|frame| found.get(frame).map_or(0, |it| it.load(Ordering::Relaxed)));
    let frames = frames.get(..len.min(MOST_FRAMES)).filter(|frames| !frames.is_empty())?;
    Place::of(Stack::intern(frames, len > MOST_FRAMES)?, site)
}

/// What is known of one call stack in one site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackReading {
    /// The index of the place: the stack in its site.
    pub place: u32,
    /// Return addresses, innermost first. The first ones are memscope's own.
    pub frames: &'static [usize],
    /// Whether the stack has more frames than these.
    pub is_cut: bool,
    /// The index of the site that has the blocks, or that allocated them. `UNTRACKED` stands for
    /// threads.
    pub site: u32,
    /// The id of the task that has all live samples; 0 if several tasks have them, or none.
    pub task: u64,
    /// Live bytes, by estimate.
    pub live_bytes: u64,
    /// Allocated bytes, by estimate.
    pub allocated_bytes: u64,
    /// Samples of blocks that are live.
    pub live_samples: u64,
    /// All samples.
    pub samples: u64,
}

/// The live samples of a place.
#[derive(Clone, Copy, Debug, Default)]
struct Live {
    parts: u64,
    samples: u64,
    /// The task that has them; 0 if several tasks have them, or none. `None` before the first
    /// sample.
    task: Option<u64>,
}

/// Reads all places. Must be called inside `exempt`.
///
/// A block that another site has taken over is live in that site, but stays allocated in the first
/// one.
pub(crate) fn read() -> Vec<StackReading> {
    let mut live: Vec<Live> = Vec::new();
    for block in sample::live() {
        for segment in block.segments().filter(|segment| segment.parts() != 0) {
            let Some(place) = place_of(&block, segment) else { continue };
            while live.len() <= place.index as usize {
                if !reserve::push(&mut live, Live::default()) {
                    break;
                }
            }
            if let Some(live) = live.get_mut(place.index as usize) {
                live.parts = live.parts.saturating_add(segment.parts());
                live.samples += 1;
                let is_same = live.task.is_none_or(|task| task == block.task);
                live.task = Some(if is_same { block.task } else { 0 });
            }
        }
    }
    reserve::rows(Place::all(), |place| {
        let live = live.get(place.index as usize).copied().unwrap_or_default();
        let stack = Stack::get(place.stack)?;
        Some(StackReading {
            place: place.index,
            frames: stack.frames,
            is_cut: stack.is_cut,
            site: place.site,
            task: live.task.unwrap_or(0),
            live_bytes: stack::bytes(live.parts),
            allocated_bytes: place.allocated_bytes(),
            live_samples: live.samples,
            samples: place.samples(),
        })
    })
}

/// The live bytes that a task has by one stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TaskStack {
    /// The index of the place.
    place: u32,
    /// Return addresses, innermost first. The first ones are memscope's own.
    pub(crate) frames: &'static [usize],
    parts: u64,
    /// Samples of blocks that are live.
    pub(crate) live_samples: u64,
}

impl TaskStack {
    /// Live bytes, by estimate.
    pub(crate) fn live_bytes(&self) -> u64 {
        stack::bytes(self.parts)
    }
}

/// The stacks of the live blocks that the task with this id has. Must be called inside `exempt`.
pub(crate) fn read_task(task: u64) -> Vec<TaskStack> {
    let mut found: Vec<TaskStack> = Vec::new();
    for block in sample::live().filter(|block| block.task == task) {
        for segment in block.segments().filter(|segment| segment.parts() != 0) {
            let Some(place) = place_of(&block, segment) else { continue };
            if let Some(same) = found.iter_mut().find(|it| it.place == place.index) {
                same.parts = same.parts.saturating_add(segment.parts());
                same.live_samples += 1;
            } else if let Some(stack) = Stack::get(place.stack) {
                let (place, frames) = (place.index, stack.frames);
                let parts = segment.parts();
                reserve::push(&mut found, TaskStack { place, frames, parts, live_samples: 1 });
            }
        }
    }
    found
}

/// Writes down how many bytes are live at each place. Must be called by one thread at a time; it
/// allocates nothing.
pub(crate) fn sample_levels() {
    Place::all().for_each(|place| place.level.set(0, place.allocated_bytes()));
    for block in sample::live() {
        for segment in block.segments() {
            if let Some(place) = place_of(&block, segment) {
                place.level.add(stack::bytes(segment.parts()), 0);
            }
        }
    }
}

/// The places that had live bytes in the last [`sample_levels`]: their index, live and allocated
/// bytes, by estimate.
pub(crate) fn levels() -> impl Iterator<Item = (u32, u64, u64)> {
    let levels = Place::all().map(|place| (place.index, place.level.get()));
    levels
        .filter(|(_, level)| level.0 != 0)
        .map(|(index, (live, allocated))| (index, live, allocated))
}

/// The place of a live segment: its stack, in the site that has the block now.
fn place_of(block: &LiveBlock, segment: &Segment) -> Option<&'static Place> {
    let first = Place::get(segment.place)?;
    if first.site == block.site {
        return Some(first);
    }
    Some(Place::at(first.stack, block.site).unwrap_or(first))
}

/// The return addresses of the stack with this index, innermost first.
#[allow(dead_code, reason = "for pictures of the heap, which are taken on Linux alone")]
pub(crate) fn frames(index: u32) -> Option<&'static [usize]> {
    Some(Stack::get(index)?.frames)
}

/// How many stacks have been kept so far.
#[cfg(feature = "symbols")]
pub(crate) fn made() -> u32 {
    Stack::made()
}

/// How far the true sum may be from an estimate of this many samples, as a part of the estimate. In
/// 95 of 100 cases it is not farther.
///
/// The number of samples is Poisson-distributed if blocks are much smaller than the mean; for
/// larger blocks estimates are better. The second term is for few samples, whose distribution is
/// skew.
#[expect(clippy::cast_precision_loss, reason = "a bound is not exact")]
pub fn error_bound(samples: u64) -> f64 {
    if samples == 0 {
        return f64::INFINITY;
    }
    let samples = samples as f64;
    2.0 / samples.sqrt() + 2.5 / samples
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;
    use crate::primitives::poisson;

    #[test]
    fn the_documentation_shows_the_bounds() {
        let page = include_str!("../../../../docs/ACCURACY.md");
        let mut table = "| samples | the truth is within |\n|---|---|\n".to_owned();
        for (samples, shown) in [
            (1, "1"),
            (4, "4"),
            (10, "10"),
            (25, "25"),
            (100, "100"),
            (400, "400"),
            (1_000, "1,000"),
            (10_000, "10,000"),
        ] {
            let percent = 100.0 * error_bound(samples);
            writeln!(table, "| {shown} | ± {percent:.0} % |").expect("a string takes it");
        }
        assert!(page.contains(&table), "docs/ACCURACY.md must show\n\n{table}");
    }

    /// Samples a program of equal blocks. Returns the estimate in bytes and the number of samples.
    fn sample(blocks: u64, size: u64, mean: u64, state: &mut u64) -> (f64, u64) {
        let (mut left, mut samples) = (poisson::gap(*state, mean), 0);
        for _ in 0..blocks {
            left -= size.cast_signed();
            if left < 0 {
                samples += 1;
                *state = poisson::next(*state);
                left = poisson::gap(*state, mean);
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let bytes = (samples * size) as f64 * poisson::weight(size, mean);
        (bytes, samples)
    }

    #[test]
    fn in_95_of_100_cases_the_truth_is_within_the_bound() {
        const TRIALS: u32 = 4_000;
        let mut state = poisson::next(poisson::seed(1));
        // Programs that expect few and many samples, of small blocks and of blocks as large as the
        // mean.
        for (expected, size, mean) in
            [(2, 64, 4_096), (5, 64, 4_096), (20, 64, 4_096), (200, 64, 1_024), (50, 4_096, 4_096)]
        {
            let blocks = expected * mean / size;
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let truth = (blocks * size) as f64;
            let (mut near, mut judged, mut sum) = (0, 0, 0.0);
            for _ in 0..TRIALS {
                state = poisson::next(state);
                let (estimate, samples) = sample(blocks, size, mean, &mut state);
                sum += estimate;
                judged += u32::from(samples != 0);
                near += u32::from(
                    samples != 0 && (truth - estimate).abs() <= estimate * error_bound(samples),
                );
            }
            let bias = sum / f64::from(TRIALS) / truth - 1.0;
            assert!(bias.abs() < 0.03, "{expected} of {size}: {bias}");
            assert!(near * 100 >= judged * 95, "{expected} of {size}: {near} of {judged}");
        }
    }
}
