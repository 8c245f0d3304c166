//! Walks through a future's memory: reads which of its states it is in, down to what it waits for.
//!
//! Only this module reads memory by what debug information says of it.

use std::{pin::Pin, ptr};

use super::tree::{ByteCheck, CachedPath, Node, OtherCheck, Step};

/// An address in a future's memory, where a walk starts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start(*const u8);

impl Start {
    /// The first byte of a future that the caller has for itself.
    pub(crate) fn of<F>(future: Pin<&mut F>) -> Self {
        // NOTE: no shared reference is made on the way. It would cover all of the future's bytes,
        // and some of them belong to mutable references that the future has into itself.
        // SAFETY: nothing is moved out of the future, and nothing is written.
        let future = unsafe { future.get_unchecked_mut() };
        Self(ptr::from_mut(future).cast_const().cast())
    }
}

/// Follows a future from its first byte on and returns the node where the walk ends. That node says
/// what the future waits for, or is the last one that can be seen.
///
/// # Safety
///
/// `start` must be the first byte of a live future of the type that `root` was made for. The future
/// must wait: its last poll has returned `Pending`. The caller must be able to poll it again now:
/// it has the future's `Pin<&mut _>`.
///
/// # What is read
///
/// Discriminants and pointers, where debug information has them. They are read only at places that
/// a poll of the root, made now, would reach without asking another thread for them. A
/// `Pin<&mut _>` alone does not guarantee that for all that a future leads to. A type written by
/// hand may have lent a part of itself, or what its boxes and references point to. It takes that
/// back only in its destructor or its next poll. So each link of the path is one of these:
///
/// - **What a function awaits.** The compiler made the place and no code can name it. In a state
///   that waits it is initialised, and the function polls it first when it goes on. Arguments,
///   captures and variables are not read: a function's own code may have moved or lent them.
/// - **What a `Box`, a `&mut` or a `Pin` points to**, itself or as a `dyn Future` or a
///   `dyn Stream`, but only if a function awaits that pointer or a known wrapper polls it: these
///   poll nothing else. A vtable's type is believed as [`root`](super::tree) types are, and says
///   what is there.
/// - **The field that a known wrapper polls.** `await_points/pollers.rs` lists the wrappers by
///   whole paths, with what is required of them. The closures of `tokio::select!` and
///   `tokio::join!` are among them, recognised by types that only these macros make. That of
///   `select!` has besides its futures a `&mut` to the mask of its branches, which it reads first.
///   Other closures are written by hand.
/// - **What a type written by hand has inline**, if it is plain besides its futures. It has
///   numbers, functions and text, and so nothing by which another thread could say that a lent part
///   is back. Nor is any of it a type that may be a future itself, which it may wait for instead.
///   From there on no pointer is followed, however deep. At any other type written by hand the walk
///   ends.
///
/// There is no node behind `&`, `Rc`, `Arc`, raw pointers, `UnsafeCell`, `MaybeUninit` and
/// `ManuallyDrop`, except the `ManuallyDrop` of a known wrapper. How far a walk may go is decided
/// when a node is made (`await_points/resolve.rs`); the walk only reads.
///
/// # What is assumed
///
/// The debug information is the program's. A known wrapper does what it did in the version that was
/// read. A type that is plain besides its futures keeps what it knows of a lent part in itself, not
/// in a static. If the last is wrong, discriminants inside that value are read while they may
/// change. Its memory is there as long as the value. So a stale discriminant names a wrong line,
/// and leads behind no pointer.
pub(crate) unsafe fn walk(start: Start, root: &'static Node) -> &'static Node {
    let (mut at, mut node) = (start.0, root);
    loop {
        // PERF: a path is mostly one of states, so this is tested first: a processor predicts this
        // branch where it does not predict a jump. The child that was made first is tried first:
        // the address of the next node then does not wait for the value that confirms it.
        if let Step::State { offset, size, first, .. } = &node.step {
            // SAFETY: at `offset` a live coroutine has its discriminant: see above.
            let value = unsafe { number(at, *offset, *size) };
            node = match first.get() {
                Some(first) if first.value == value => first,
                _ => match node.state(value) {
                    Some(next) => next,
                    None => return node,
                },
            };
            continue;
        }
        if let Step::End(_) = &node.step {
            return node;
        }
        let next = match &node.step {
            Step::Variant { offset, size, children, .. } => {
                // SAFETY: at `offset` a live enum has its discriminant: see above.
                let value = unsafe { number(at, *offset, *size) };
                let is_meant = |it: &&(Option<u64>, _)| it.0 == Some(value);
                let child = children.iter().find(is_meant);
                // Children with a value come before the one that stands for all other values.
                let child = child.or_else(|| children.last().filter(|it| it.0.is_none()));
                child.and_then(|(meant, child)| child.get().or_else(|| node.add_variant(*meant)))
            }
            Step::Pointer { offset, child, .. } => {
                // SAFETY: at `offset` is a live `Box` or `&mut` that no other thread has: see
                // above.
                at = unsafe { pointer(at, *offset) };
                if at.is_null() { None } else { child.get().or_else(|| node.add_behind_pointer()) }
            }
            Step::Object { data, vtable, .. } => {
                // SAFETY: at `vtable` a live `dyn Future` has the address of its vtable: see above.
                let vtable = unsafe { pointer(at, *vtable) };
                // SAFETY: as above; at `data` it has the address of its value.
                at = unsafe { pointer(at, *data) };
                if at.is_null() { None } else { node.behind_vtable(vtable.addr()) }
            }
            Step::Mask { pointer: mask, size, .. } => {
                // SAFETY: at `mask` a live closure of `select!` has a `&mut` that no other thread
                // has: see above.
                let mask = unsafe { pointer(at, *mask) };
                if mask.is_null() {
                    return node;
                }
                // SAFETY: as above; it is to a number of this size.
                let mask = unsafe { number(mask, 0, *size) };
                node.with_mask(mask)
            }
            // These are asked for only in memory that stands still.
            Step::Limit(_) | Step::Options(_) | Step::State { .. } | Step::End(_) => None,
        };
        match next {
            Some(next) => node = next,
            None => return node,
        }
    }
}

/// Whether a walk would take all steps of a cached path, and so end where that path ends.
///
/// # Safety
///
/// As for [`walk`]; the path must be one of the future's type.
///
/// # What is read
///
/// What the walk reads. Each step is read only when all before it have shown that the path leads
/// there. A cached path has no more steps than the nodes that it passes.
pub(crate) unsafe fn matches(start: Start, cached_path: &CachedPath) -> bool {
    let (mut at, mut bytes) = (start.0, cached_path.bytes());
    for turn in cached_path.turns() {
        let Some((before, after)) = bytes.split_at_checked(turn.bytes_before) else { return false };
        // SAFETY: the caller keeps the contract, and all steps before these were taken.
        if !unsafe { have(at, before) } {
            return false;
        }
        bytes = after;
        match turn.check {
            OtherCheck::Value { offset, size, value } => {
                // SAFETY: at `offset` a live coroutine or enum has its discriminant: see `walk`.
                if unsafe { number(at, offset, size) } != value {
                    return false;
                }
            }
            OtherCheck::Pointer { offset } => {
                // SAFETY: at `offset` is a live `Box` or `&mut`: see `walk`.
                at = unsafe { pointer(at, offset) };
                if at.is_null() {
                    return false;
                }
            }
            OtherCheck::Object { data, vtable, is } => {
                // SAFETY: at `vtable` a live `dyn Future` has the address of its vtable: see
                // `walk`.
                if unsafe { pointer(at, vtable) }.addr() != is {
                    return false;
                }
                // SAFETY: as above; at `data` it has the address of its value.
                at = unsafe { pointer(at, data) };
                if at.is_null() {
                    return false;
                }
            }
            OtherCheck::Mask { pointer: mask, size, is } => {
                // SAFETY: at `mask` a live closure of `select!` has a `&mut`: see `walk`.
                let mask = unsafe { pointer(at, mask) };
                // SAFETY: as above; it is to a number of this size.
                if mask.is_null() || unsafe { number(mask, 0, size) } != is {
                    return false;
                }
            }
        }
    }
    // SAFETY: the caller keeps the contract, and all steps before these were taken.
    unsafe { have(at, bytes) }
}

/// Whether the discriminants of one byte have these values, each read only if those before it have.
///
/// # Safety
///
/// As for [`matches`]: `at` is where the checks begin, and a path leads there.
#[inline]
unsafe fn have(at: *const u8, checks: &[ByteCheck]) -> bool {
    let has = |&ByteCheck { offset, value }: &ByteCheck| {
        // SAFETY: at `offset` a live coroutine or enum has its discriminant: see `walk`.
        unsafe { byte(at, offset as usize) == value }
    };
    // PERF: four in a row, as a compiler does not unroll a loop that may end early.
    let (fours, rest) = checks.as_chunks::<4>();
    fours.iter().all(|[a, b, c, d]| has(a) && has(b) && has(c) && has(d)) && rest.iter().all(has)
}

/// Reads the integer of `size` bytes at `offset`.
///
/// # Safety
///
/// As for [`walk`]: a discriminant of this size must be there.
#[inline]
unsafe fn number(at: *const u8, offset: usize, size: u8) -> u64 {
    let at = at.wrapping_add(offset);
    match size {
        // SAFETY: the caller's contract.
        1 => u64::from(unsafe { byte(at, 0) }),
        // SAFETY: by the caller's contract these bytes are there, initialised, and no other thread
        // has them. They need not be aligned.
        2 => u64::from(unsafe { at.cast::<u16>().read_unaligned() }),
        // SAFETY: as above.
        4 => u64::from(unsafe { at.cast::<u32>().read_unaligned() }),
        // SAFETY: as above; nodes have no other sizes.
        _ => unsafe { at.cast::<u64>().read_unaligned() },
    }
}

/// Reads the byte at `offset`.
///
/// # Safety
///
/// As for [`walk`]: a discriminant of one byte must be there.
#[inline]
unsafe fn byte(at: *const u8, offset: usize) -> u8 {
    // SAFETY: by the caller's contract it is there, initialised, and no other thread has it.
    unsafe { at.wrapping_add(offset).read() }
}

/// Reads the pointer at `offset`.
///
/// # Safety
///
/// As for [`walk`]: a pointer must be there.
#[inline]
unsafe fn pointer(at: *const u8, offset: usize) -> *const u8 {
    // SAFETY: by the caller's contract a pointer is there. It is read as a pointer and keeps its
    // provenance, so that what is behind it may be read too.
    unsafe { at.wrapping_add(offset).cast::<*const u8>().read_unaligned() }
}

/// Reads the size of a type from its vtable.
///
/// # Safety
///
/// `vtable` must be the address of a vtable of this program.
pub(crate) unsafe fn size_in(vtable: usize) -> u64 {
    // The destructor stands before the size.
    let size = ptr::with_exposed_provenance::<usize>(vtable).wrapping_add(1);
    // SAFETY: a vtable is at least three words long and never written.
    (unsafe { size.read() }) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_path_is_taken_if_each_of_its_discriminants_is_as_it_was(
            memory in prop::collection::vec(any::<u8>(), 64),
            offsets in prop::collection::vec(0..64_u32, 1..30),
            wrong in any::<prop::sample::Index>(),
        ) {
            let of = |offset| ByteCheck { offset, value: memory[offset as usize] };
            let mut checks: Vec<ByteCheck> = offsets.into_iter().map(of).collect();
            // SAFETY: all offsets are in `memory`.
            let is_taken = unsafe { have(memory.as_ptr(), &checks) };
            prop_assert!(is_taken);
            let wrong = wrong.index(checks.len());
            checks[wrong].value ^= 1;
            // SAFETY: as above.
            let is_taken = unsafe { have(memory.as_ptr(), &checks) };
            prop_assert!(!is_taken);
        }
    }
}
