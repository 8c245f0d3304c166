//! Walks up the stack by learned rules, in a small part of the time that the unwinder takes.
//!
//! The unwinder runs the compiler's program for each frame, from the start of its function. For a
//! large `poll` function, that program has thousands of steps. Here each frame takes a look into a
//! table. Where a rule is missing, the unwinder walks the whole stack, and the missing rules are
//! asked for.
//!
//! The first results are compared with the unwinder's, and so is one in some hundred later ones. If
//! one differs, no stack is walked by rules any more.

use std::{
    ptr,
    sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
};

use super::rules::{self, Base, Rule};

/// The registers of a function, at one of its instructions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registers {
    pub(crate) instruction: usize,
    pub(crate) stack: usize,
    pub(crate) frame: usize,
}

/// Reads the registers of the function in which the macro stands.
macro_rules! registers {
    () => {{
        let (instruction, stack, frame): (usize, usize, usize);
        // SAFETY: reads registers alone.
        unsafe {
            std::arch::asm!(
                "lea {instruction}, [rip]",
                "mov {stack}, rsp",
                "mov {frame}, rbp",
                instruction = out(reg) instruction,
                stack = out(reg) stack,
                frame = out(reg) frame,
                options(nomem, nostack, preserves_flags),
            );
        }
        $crate::primitives::frames::Registers { instruction, stack, frame }
    }};
}
pub(crate) use registers;

const WORD: usize = size_of::<usize>();
/// A frame that seems larger is left to the unwinder.
const MOST_FRAME: usize = 16 << 20;

/// The number of first walks that the unwinder checks. Later it checks one in `CHECKED_EVERY`.
const FIRST_CHECKS: u32 = 64;
const CHECKED_EVERY: u32 = 512;
static WALKS: AtomicU32 = AtomicU32::new(0);

/// Whether a walk has differed from the unwinder's.
static IS_WRONG: AtomicBool = AtomicBool::new(false);

/// The result of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Walk {
    /// The walk has written this many return addresses.
    Whole(usize),
    /// The walk has written this many return addresses, and the unwinder must check them.
    Check(usize),
    /// A rule is missing.
    Missing,
}

/// Writes the return addresses from the caller of a function on, as far as there is room.
/// `registers` are that function's, which must still be on the stack.
#[inline]
pub(crate) fn walk(registers: Registers, into: &[AtomicUsize]) -> Walk {
    if IS_WRONG.load(Ordering::Relaxed) {
        return Walk::Missing;
    }
    let Some(count) = walk_by_rules(registers, into) else { return Walk::Missing };
    // Threads may count one walk twice, which does not matter.
    let walks = WALKS.load(Ordering::Relaxed);
    WALKS.store(walks.wrapping_add(1), Ordering::Relaxed);
    let is_checked = walks < FIRST_CHECKS || walks.is_multiple_of(CHECKED_EVERY);
    #[cfg(test)]
    let is_checked = is_checked || CHECKS_ALL.load(Ordering::Relaxed);
    if is_checked { Walk::Check(count) } else { Walk::Whole(count) }
}

#[inline]
fn walk_by_rules(registers: Registers, into: &[AtomicUsize]) -> Option<usize> {
    let Registers { mut instruction, mut stack, mut frame } = registers;
    let mut count = 0;
    loop {
        let (base, words, saved) = match rules::find(instruction)? {
            Rule::Caller { base, words, saved } => (base, words as usize, saved as usize),
            Rule::Outermost => return Some(count),
            Rule::Unknown => return None,
        };
        let from = if base == Base::StackPointer { stack } else { frame };
        let above = from.wrapping_add(words * WORD);
        let size = above.wrapping_sub(stack);
        let is_frame = (WORD..=MOST_FRAME).contains(&size) && above % WORD == 0;
        if !is_frame || saved * WORD > size {
            return None;
        }
        // SAFETY: the function's frame reaches so far, as the compiler's table says. It is on the
        // stack, as its callee is.
        instruction = unsafe { word(above - WORD) };
        if saved != 0 {
            // SAFETY: within the same frame.
            frame = unsafe { word(above - saved * WORD) };
        }
        stack = above;
        let Some(place) = into.get(count).filter(|_| instruction != 0) else { return Some(count) };
        place.store(instruction, Ordering::Relaxed);
        count += 1;
    }
}

/// The word at an address.
///
/// # Safety
///
/// The address must be that of an aligned word that can be read.
#[inline]
unsafe fn word(address: usize) -> usize {
    // SAFETY: the caller's contract. Other code may write there at any time, so no reference is
    // made.
    unsafe { ptr::with_exposed_provenance::<usize>(address).read_volatile() }
}

/// Notes that a walk differed from what the unwinder has found.
#[cold]
pub(crate) fn note_wrong() {
    IS_WRONG.store(true, Ordering::Relaxed);
}

/// Has the unwinder check each walk from here on.
#[cfg(test)]
pub(super) fn check_all() {
    CHECKS_ALL.store(true, Ordering::Relaxed);
}

#[cfg(test)]
static CHECKS_ALL: AtomicBool = AtomicBool::new(false);

/// How many walks by rules there were, and whether one has differed.
#[cfg(test)]
pub(super) fn walks() -> (u32, bool) {
    (WALKS.load(Ordering::Relaxed), IS_WRONG.load(Ordering::Relaxed))
}

/// Asks for the rules of these frames, and of the function that has these registers.
#[cold]
pub(crate) fn want(registers: Registers, frames: &[AtomicUsize]) {
    if IS_WRONG.load(Ordering::Relaxed) || !rules::may_be_wanted() {
        return;
    }
    rules::want(registers.instruction);
    for frame in frames {
        rules::want(frame.load(Ordering::Relaxed));
    }
}
