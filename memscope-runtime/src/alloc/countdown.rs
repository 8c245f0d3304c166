//! Counts each thread's allocated bytes down to its next sampled block.
//!
//! PERF: the hot path subtracts and tests the sign. All else happens out of line. While blocks are
//! listed (`primitives/start_bits.rs`), the result is always negative. So the hot path has no test
//! for listing.

use std::cell::Cell;

use super::{charge, current::HERE};
use crate::{
    accounting::{
        Owner, Place, Tally,
        block_layout::{self, FRONT},
        owner_word::OwnerWord,
        stacks::{self, Point},
    },
    primitives::{
        StackBounds, poisson, start_bits,
        sync::{AtomicU64, Ordering},
    },
};

/// Bytes after which a thread looks again whether stacks are sampled, while they are not.
const PAUSE: i64 = 16 << 20;

/// The value of `left` while blocks are listed. No thread allocates that many bytes.
const ALWAYS_NEGATIVE: i64 = i64::MIN / 2;

/// A thread's distance to its next sample.
pub(super) struct Countdown {
    /// Bytes before the next sample point. Negative: the last block contains one, or the thread has
    /// drawn no distance yet.
    left: Cell<i64>,
    /// The mean with which the distance was drawn; 0 if none was drawn.
    mean: Cell<u64>,
    /// The state of the random numbers; 0 before the first one.
    random: Cell<u64>,
    /// The distance to the next sample point while blocks are listed. `left` stays negative then,
    /// so that each block takes the slow path.
    due: Cell<i64>,
    /// Whether blocks are listed.
    lists: Cell<bool>,
    /// Whether a sample is being taken. What a signal handler allocates meanwhile is not sampled.
    is_sampling: Cell<bool>,
    /// The thread's stack.
    stack: Cell<StackBounds>,
}

impl Countdown {
    pub(super) const fn new() -> Self {
        Self {
            left: Cell::new(0),
            mean: Cell::new(0),
            random: Cell::new(0),
            due: Cell::new(0),
            lists: Cell::new(false),
            is_sampling: Cell::new(false),
            stack: Cell::new(StackBounds::NOT_ASKED),
        }
    }

    /// Counts allocated bytes. Returns whether [`sample`] must be called for them.
    #[inline]
    #[must_use]
    fn take(&self, bytes: usize) -> bool {
        let left = self.left.get().wrapping_sub(bytes.cast_signed() as i64);
        self.left.set(left);
        left < 0
    }

    /// Draws the next distance. Returns `false` if no stack is sampled.
    fn draw(&self) -> bool {
        static THREADS: AtomicU64 = AtomicU64::new(0);
        let mean = stacks::interval_bytes();
        self.mean.set(mean);
        if mean == 0 {
            self.left.set(PAUSE);
            return false;
        }
        let state = match self.random.get() {
            0 => poisson::seed(THREADS.fetch_add(1, Ordering::Relaxed)),
            state => state,
        };
        let state = poisson::next(state);
        self.random.set(state);
        self.left.set(poisson::gap(state, mean));
        true
    }

    /// The bounds of the thread's stack.
    fn stack(&self) -> StackBounds {
        if self.stack.get() == StackBounds::NOT_ASKED {
            self.stack.set(StackBounds::of_this_thread());
        }
        self.stack.get()
    }

    /// Counts bytes while blocks are listed. Returns `false` if blocks are not listed, or if the
    /// bytes may contain a sample point: then [`hit`](Self::hit) counts them.
    #[inline]
    fn passes(&self, bytes: usize) -> bool {
        let due = self.due.get().wrapping_sub(bytes.cast_signed() as i64);
        let passes = self.lists.get() && due >= 0 && start_bits::is_on();
        if passes {
            self.due.set(due);
        }
        passes
    }

    /// Tests whether the bytes that were just counted contain a sample point. If so, returns the
    /// first point, and draws the next distance. Also returns whether the block is listed.
    fn hit(&self, bytes: usize) -> (Option<Point>, bool) {
        if self.lists.replace(false) {
            self.left.set(self.due.get().wrapping_sub(bytes.cast_signed() as i64));
        }
        let point = if self.left.get() < 0 { self.hit_here(bytes) } else { None };
        let lists = start_bits::is_on();
        if lists {
            self.due.set(self.left.replace(ALWAYS_NEGATIVE));
            self.lists.set(true);
        }
        (point, lists)
    }

    /// [`hit`](Self::hit) at the end of the distance, or if none was drawn.
    fn hit_here(&self, bytes: usize) -> Option<Point> {
        // The points of a Poisson process have no memory, so a distance may be drawn at any time.
        let is_drawn = self.mean.get() != 0;
        let is_hit = is_drawn || (self.draw() && self.take(bytes));
        if !is_hit {
            return None;
        }
        let point = Point { mean: self.mean.get(), behind: self.left.get().unsigned_abs() };
        self.draw();
        Some(point)
    }
}

/// Counts allocated bytes. Returns whether they must be sampled.
#[inline]
#[must_use]
pub(super) fn take(bytes: usize) -> bool {
    HERE.with(|here| here.countdown.take(bytes))
}

/// Counts the bytes of a new block that must be sampled or listed. Returns whether it is only
/// listed; otherwise [`sample`] must be called for them.
#[inline]
#[must_use]
pub(super) fn passes(bytes: usize) -> bool {
    HERE.with(|here| here.countdown.passes(bytes))
}

/// Makes this thread draw its next distance anew, by the settings as they are now.
pub(crate) fn forget() {
    HERE.with(|here| {
        here.countdown.mean.set(0);
        here.countdown.left.set(0);
        here.countdown.lists.set(false);
    });
}

/// Notes the bounds of this thread's stack, if it is the main one. Must be called outside of the
/// allocator, at the start of the program.
pub(crate) fn note_main_stack() {
    HERE.with(|here| {
        let stack = &here.countdown.stack;
        if stack.get() == StackBounds::NOT_ASKED
            && let Some(bounds) = StackBounds::of_main_thread()
        {
            stack.set(bounds);
        }
    });
}

/// For tests: lets this thread draw the same distances on every run.
pub fn seed(number: u64) {
    HERE.with(|here| here.countdown.random.set(poisson::seed(number)));
    forget();
}

/// Counts the bytes of a new block, or those by which a block has grown from `from` to `to`.
/// Samples them if they contain a sample point. Returns the owner that the block's word gets, and
/// whether the block is listed.
#[inline]
pub(super) fn counted(owner: Owner, from: usize, to: usize) -> (Owner, bool) {
    let growth = to.saturating_sub(from);
    if growth == 0 {
        return (owner, start_bits::is_on());
    }
    if take(growth) { sample(owner, from, to) } else { (owner, false) }
}

/// Samples bytes that were counted, if they contain a sample point. Returns the owner that the
/// block's word gets, and whether the block is listed.
#[cold]
#[inline(never)]
pub(super) fn sample(owner: Owner, from: usize, to: usize) -> (Owner, bool) {
    let (point, lists) = HERE.with(|here| here.countdown.hit(to.saturating_sub(from)));
    // What memscope allocates for itself is counted down and not sampled.
    let Some(point) = point.filter(|_| owner != Owner::memscope()) else { return (owner, lists) };
    if HERE.with(|here| here.countdown.is_sampling.replace(true)) {
        stacks::drop_one();
        return (owner, lists);
    }
    // NOTE: the thread asks for its bounds under the guard, because the C library may hold a lock
    // while it answers.
    let owner = if stacks::has_room(HERE.with(|here| here.countdown.stack())) {
        stacks::take(owner, from, to, point)
    } else {
        stacks::drop_one();
        owner
    };
    HERE.with(|here| here.countdown.is_sampling.set(false));
    (owner, lists)
}

/// Charges an inline block that has grown from `from` bytes to its owner. Samples the bytes by
/// which it has grown, which are counted down.
///
/// # Safety
///
/// The block must just have been reallocated, with its owner word in front.
#[cold]
#[inline(never)]
pub(super) unsafe fn sample_grown(tally: &'static Tally, block: *mut u8, from: usize) -> *mut u8 {
    // SAFETY: the caller's contract.
    let word = unsafe { block_layout::front_word(block) };
    if tally.recount(from, word.bytes()) {
        charge::raise(tally, block);
    }
    let (owner, lists) = sample(word.owner(), from, word.bytes());
    // SAFETY: the inner block begins `FRONT` bytes in front of the block.
    let inner = unsafe { block.sub(FRONT) };
    // SAFETY: there is room for the word, as there was for the one before.
    let block = unsafe { block_layout::write_front(inner, OwnerWord::new(owner, word.bytes())) };
    if lists {
        // SAFETY: the word is in front; the program has not seen the block yet.
        unsafe { Place::Front.list(block) };
    }
    block
}
