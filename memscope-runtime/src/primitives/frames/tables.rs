//! Learns how to go from a frame to its caller's, from the tables that the compiler writes for
//! panics. The result is a rule for each return address that a sample has asked for.
//!
//! The collector and snapshots call this, for at most 256 addresses at once. The tables are in
//! memory, in files that are never unloaded. Learning takes nothing from the program's heap, where
//! memory may be short.

use std::{ops::Range, ptr, slice};

use gimli::{
    BaseAddresses, CfaRule, EhFrame, EhFrameHdr, EndianSlice, NativeEndian, Pointer, Register,
    RegisterRule, UnwindContext, UnwindContextStorage, UnwindSection, UnwindTableRow, X86_64,
};

use super::rules::{self, Base, Rule};

/// The bytes of an address on this processor.
const WORD: u8 = 8;
/// The return address stands just below the caller's stack pointer.
const RETURN_ADDRESS: i64 = -8;

/// The storage for a row of a table: about 4 kB on the stack.
struct OnStack;

impl UnwindContextStorage<usize> for OnStack {
    /// The processor has 17 registers that a rule may be for.
    type Rules = [(Register, RegisterRule<usize>); 32];
    type Stack = [UnwindTableRow<usize, Self>; 4];
}

/// Learns the rules that are wanted.
pub(crate) fn learn_wanted() {
    rules::each_wanted(|address| {
        let Some((table, segment)) = rules::table_of(address) else { return };
        let rule = rule_of(address, table, &segment).unwrap_or(Rule::Unknown);
        rules::keep(address, rule);
    });
}

/// The bytes of a segment from an address on.
///
/// # Safety
///
/// The segment must be mapped, readable and never written or unmapped, and the address in it.
unsafe fn memory(from: usize, segment: &Range<usize>) -> EndianSlice<'static, NativeEndian> {
    let start = ptr::with_exposed_provenance(from);
    // SAFETY: the caller's contract.
    EndianSlice::new(unsafe { slice::from_raw_parts(start, segment.end - from) }, NativeEndian)
}

/// The rule of a return address; `None` if the tables give none that a [`Rule`] can hold.
#[inline(never)]
fn rule_of(address: usize, table: usize, segment: &Range<usize>) -> Option<Rule> {
    // The call stands before its return address.
    let call = (address - 1) as u64;
    let bases = BaseAddresses::default().set_eh_frame_hdr(table as u64);
    // SAFETY: a segment of the program or the C library that has the table, which is only read.
    let header = EhFrameHdr::from(unsafe { memory(table, segment) });
    let header = header.parse(&bases, WORD).ok()?;
    let Pointer::Direct(frames) = header.eh_frame_ptr() else { return None };
    let frames = usize::try_from(frames).ok().filter(|frames| segment.contains(frames))?;
    let bases = bases.set_eh_frame(frames as u64);
    // SAFETY: as above.
    let section = EhFrame::from(unsafe { memory(frames, segment) });
    let entry = header
        .table()?
        .fde_for_address(&section, &bases, call, EhFrame::cie_from_offset)
        .ok()
        .filter(|entry| entry.contains(call) && !entry.is_signal_trampoline())?;
    let mut context = UnwindContext::<_, OnStack>::new_in();
    let row = entry.unwind_info_for_address(&section, &bases, &mut context, call).ok()?;
    let register = |register| row.register(register);
    match register(X86_64::RA) {
        None | Some(RegisterRule::Undefined) => return Some(Rule::Outermost),
        Some(RegisterRule::Offset(RETURN_ADDRESS)) => {}
        _ => return None,
    }
    let CfaRule::RegisterAndOffset { register: base, offset } = *row.cfa() else { return None };
    let base = match base {
        X86_64::RSP => Base::StackPointer,
        X86_64::RBP => Base::FramePointer,
        _ => return None,
    };
    let saved = match register(X86_64::RBP) {
        None | Some(RegisterRule::Undefined | RegisterRule::SameValue) => 0,
        Some(RegisterRule::Offset(offset)) => words(offset.checked_neg()?)?,
        _ => return None,
    };
    Some(Rule::Caller { base, words: words(offset)?, saved })
}

/// A number of bytes as whole words.
fn words(bytes: i64) -> Option<u32> {
    let bytes = u64::try_from(bytes).ok()?;
    let word = u64::from(WORD);
    bytes.is_multiple_of(word).then(|| u32::try_from(bytes / word).ok())?
}

#[cfg(test)]
mod tests {
    use std::{
        ffi::{c_int, c_void},
        hint::black_box,
        sync::atomic::{AtomicUsize, Ordering},
        thread,
    };

    use super::*;
    use crate::primitives::{frames::walk, unwind};

    type Stack = Vec<usize>;

    fn stack() -> Stack {
        let into = [const { AtomicUsize::new(0) }; 96];
        let count = unwind::frames(&into);
        into.iter().take(count).map(|it| it.load(Ordering::Relaxed)).collect()
    }

    /// A frame of at least this many bytes.
    #[inline(never)]
    fn large<const BYTES: usize>(below: &dyn Fn() -> Stack) -> Stack {
        let frame = black_box([1_u8; BYTES]);
        let stack = below();
        black_box(frame);
        stack
    }

    #[inline(never)]
    fn recursion(depth: usize, below: &dyn Fn() -> Stack) -> Stack {
        let stack = if depth == 0 { below() } else { recursion(depth - 1, below) };
        black_box(stack)
    }

    /// Calls `below` through a function of the C library.
    fn sort(below: &dyn Fn() -> Stack) -> Stack {
        struct Call<'a> {
            below: &'a dyn Fn() -> Stack,
            stack: Stack,
        }
        unsafe extern "C" fn compare(
            _: *const c_void,
            _: *const c_void,
            call: *mut c_void,
        ) -> c_int {
            // SAFETY: the argument below, which nothing else uses meanwhile.
            let call = unsafe { &mut *call.cast::<Call<'_>>() };
            call.stack = (call.below)();
            0
        }
        // SAFETY: declared as glibc declares it.
        unsafe extern "C" {
            fn qsort_r(
                start: *mut c_void,
                count: usize,
                size: usize,
                compare: unsafe extern "C" fn(*const c_void, *const c_void, *mut c_void) -> c_int,
                argument: *mut c_void,
            );
        }
        let mut sorted = [1_u32, 2];
        let mut call = Call { below, stack: Vec::new() };
        let argument = (&raw mut call).cast();
        // SAFETY: two numbers, and `compare` expects this argument.
        unsafe { qsort_r(sorted.as_mut_ptr().cast(), 2, 4, compare, argument) };
        call.stack
    }

    /// Takes this stack until its rules are known, and then some more times.
    fn check(below: &dyn Fn() -> Stack) {
        let (before, _) = walk::walks();
        let mut first = None;
        for _ in 0..50 {
            let stack = below();
            learn_wanted();
            assert!(stack.len() > 4);
            assert_eq!(first.get_or_insert_with(|| stack.clone()), &stack);
        }
        let (walks, is_wrong) = walk::walks();
        assert!(walks.wrapping_sub(before) >= 40, "{} of 50", walks.wrapping_sub(before));
        assert!(!is_wrong);
    }

    #[test]
    fn stacks_that_were_seen_before_are_walked_by_rules_and_the_unwinder_agrees() {
        rules::note_files();
        // From here on, rules that are missed are wanted.
        learn_wanted();
        walk::check_all();
        let all = || {
            check(&|| stack());
            check(&|| large::<8>(&stack));
            check(&|| large::<5_000>(&|| large::<300_000>(&stack)));
            check(&|| recursion(30, &stack));
            check(&|| recursion(3, &|| sort(&|| recursion(2, &stack))));
            check(&|| recursion(200, &stack));
            check(&|| thread::spawn(|| recursion(2, &stack)).join().expect("no panic"));
            let caught = || std::panic::catch_unwind(|| large::<64>(&stack)).expect("no panic");
            check(&caught);
        };
        all();
        thread::spawn(all).join().expect("no panic");
    }

    #[test]
    fn what_is_not_of_the_program_or_the_c_library_has_no_rule() {
        rules::note_files();
        let heap = Box::new(1_u64);
        for address in [0, 1, usize::MAX, (&raw const *heap).addr()] {
            rules::keep(address, Rule::Outermost);
            assert_eq!(rules::find(address), None);
        }
        let function: fn() -> Stack = stack;
        let here = (function as *const ()).addr() + 1;
        rules::want(here);
        learn_wanted();
        let found = rules::find(here);
        let at_start = Rule::Caller { base: Base::StackPointer, words: 1, saved: 0 };
        assert_eq!(found, Some(at_start), "at a function's first instruction");
    }
}
