//! Reads in a future's memory which of its states it is in, down to what it waits for.
//!
//! The only module that reads memory by what debug information says of it.

use std::{pin::Pin, ptr};

use super::tree::{CachedPath, Node, PathCheck, Step};

/// A place in a future's memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start(*const u8);

impl Start {
    /// The first byte of a future that the caller has for itself.
    pub(crate) fn of<F>(future: Pin<&mut F>) -> Self {
        // NOTE: no shared reference is made on the way: it would speak of all of the future's
        // bytes, and parts of those belong to mutable ones that the future has into itself. SAFETY:
        // nothing is moved out of it, or written.
        let future = unsafe { future.get_unchecked_mut() };
        Self(ptr::from_mut(future).cast_const().cast())
    }
}

/// Follows a future from its first byte on, and returns where it ends: the node that says what it
/// waits for, or as far as one can see.
///
/// # Safety
///
/// `start` is the first byte of a living future of the type that `root` was made for, which waits
/// (its last poll has returned `Pending`), and which the caller could poll again now: it has the
/// future's `Pin<&mut _>`.
///
/// # What is read
///
/// Discriminants and pointers, where debug information has them, and only at places that a poll of
/// the root, made now, would come by without asking another thread for them. A `Pin<&mut _>` alone
/// does not say that of all that a future leads to: a type written by hand may have lent what its
/// boxes and references point to, or a part of itself, until its destructor or its next poll has it
/// back. So each link of the way is one of these:
///
/// - **What a function awaits.** The compiler made the place and no code can name it. In a state
///   that waits it is initialised, and the function polls it first when it goes on. Arguments,
///   captures and variables are not read: a function's own code may have moved or lent them.
/// - **What a `Box`, a `&mut` or a `Pin` points to**, itself or as a `dyn Future`, where a function
///   awaits that pointer or a known wrapper polls it: these poll nothing else. A vtable's type is
///   believed as [`root`](super::tree) types are, and says what is there.
/// - **The field that a known wrapper polls.** `waits/known.rs` lists them by whole paths, with
///   what is asked of one. The closures of `tokio::select!` and `tokio::join!` are among them, told
///   by types that only these macros make; other closures are written by hand.
/// - **What a type written by hand has inline**, where it is plain besides its futures: it has
///   numbers, functions and text, and so nothing by which another thread could say that a lent part
///   is back. From there on no pointer is followed, however deep. Any other type written by hand is
///   where the walk ends.
///
/// Behind `&`, `Rc`, `Arc`, raw pointers, `UnsafeCell`, `ManuallyDrop` (but that of a known
/// wrapper) and `MaybeUninit` there is no node. How far a walk may go is decided when a node is
/// made (`waits/way.rs`); the walk only reads.
///
/// # What is assumed
///
/// That the debug information is the program's, that a known wrapper does what it did in the
/// version that was read, and that a type which is plain besides its futures keeps what it knows of
/// a lent part in itself, not in a static. Where the last does not hold, discriminants inside that
/// value are read while they may change: its memory is there as long as the value, so a stale one
/// names a wrong line, and leads behind no pointer.
pub(crate) unsafe fn walk(start: Start, root: &'static Node) -> &'static Node {
    let (mut at, mut node) = (start.0, root);
    loop {
        // PERF: a chain is mostly one of states. So this is asked first, which a processor foresees
        // where it does not foresee a jump; and the state that was seen first is tried first, as
        // then the address of the next node does not wait for the value that says that it is the
        // right one.
        if let Step::State { offset, size, first, .. } = &node.step {
            // SAFETY: at `offset` a living coroutine has its discriminant: see above.
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
                // SAFETY: at `offset` a living enum has its discriminant: see above.
                let value = unsafe { number(at, *offset, *size) };
                let is_meant = |it: &&(Option<u64>, _)| it.0 == Some(value);
                let child = children.iter().find(is_meant);
                // Those with a value come before the one that all others mean.
                let child = child.or_else(|| children.last().filter(|it| it.0.is_none()));
                child.and_then(|(meant, child)| child.get().or_else(|| node.add_variant(*meant)))
            }
            Step::Pointer { offset, child, .. } => {
                // SAFETY: at `offset` is a living `Box` or `&mut` that no other thread has: see
                // above.
                at = unsafe { pointer(at, *offset) };
                if at.is_null() { None } else { child.get().or_else(|| node.add_behind_pointer()) }
            }
            Step::Object { data, vtable, .. } => {
                // SAFETY: at `vtable` a living `dyn Future` has the address of its vtable: see
                // above.
                let vtable = unsafe { pointer(at, *vtable) };
                // SAFETY: and at `data` the one of its value.
                at = unsafe { pointer(at, *data) };
                if at.is_null() { None } else { node.behind_vtable(vtable.addr()) }
            }
            Step::State { .. } | Step::End(_) => None,
        };
        match next {
            Some(next) => node = next,
            None => return node,
        }
    }
}

/// Whether a walk would come by all that a trail names, and so end where that did.
///
/// # Safety
///
/// As of [`walk`]; the trail is one of the future's type.
///
/// # What is read
///
/// What the walk reads: each step only when all before it have shown that the way leads there. A
/// trail has no more steps than the nodes that it names.
pub(crate) unsafe fn leads(start: Start, trail: &CachedPath) -> bool {
    let mut at = start.0;
    for check in trail.checks() {
        // PERF: asked first, as a chain is mostly one of these.
        if let PathCheck::Byte { offset, value } = *check {
            // SAFETY: at `offset` a living coroutine or enum has its discriminant: see `walk`.
            if unsafe { byte(at, offset as usize) } != value {
                return false;
            }
            continue;
        }
        match *check {
            PathCheck::Byte { .. } => {}
            PathCheck::Value { offset, size, value } => {
                // SAFETY: at `offset` a living coroutine or enum has its discriminant: see `walk`.
                if unsafe { number(at, offset, size) } != value {
                    return false;
                }
            }
            PathCheck::Pointer { offset } => {
                // SAFETY: at `offset` is a living `Box` or `&mut`: see `walk`.
                at = unsafe { pointer(at, offset) };
                if at.is_null() {
                    return false;
                }
            }
            PathCheck::Object { data, vtable, is } => {
                // SAFETY: at `vtable` a living `dyn Future` has the address of its vtable: see
                // `walk`.
                if unsafe { pointer(at, vtable) }.addr() != is {
                    return false;
                }
                // SAFETY: and at `data` the one of its value.
                at = unsafe { pointer(at, data) };
                if at.is_null() {
                    return false;
                }
            }
        }
    }
    true
}

/// The whole number of `size` bytes there.
///
/// # Safety
///
/// As of [`walk`]: there is a discriminant of this size.
#[inline]
unsafe fn number(at: *const u8, offset: usize, size: u8) -> u64 {
    let at = at.wrapping_add(offset);
    match size {
        // SAFETY: the caller's contract.
        1 => u64::from(unsafe { byte(at, 0) }),
        // SAFETY: the caller says that these bytes are there, initialised and nobody else's; they
        // need not be aligned.
        2 => u64::from(unsafe { at.cast::<u16>().read_unaligned() }),
        // SAFETY: as above.
        4 => u64::from(unsafe { at.cast::<u32>().read_unaligned() }),
        // SAFETY: as above; nodes have no other sizes.
        _ => unsafe { at.cast::<u64>().read_unaligned() },
    }
}

/// The byte there.
///
/// # Safety
///
/// As of [`walk`]: it is a discriminant, or the only byte of one.
#[inline]
unsafe fn byte(at: *const u8, offset: usize) -> u8 {
    // SAFETY: the caller says that it is there, initialised and nobody else's.
    unsafe { at.wrapping_add(offset).read() }
}

/// The address that stands there.
///
/// # Safety
///
/// As of [`walk`]: there is a pointer.
#[inline]
unsafe fn pointer(at: *const u8, offset: usize) -> *const u8 {
    // SAFETY: the caller says so; it is read as what it is, a pointer, so that what is behind it
    // may be read too.
    unsafe { at.wrapping_add(offset).cast::<*const u8>().read_unaligned() }
}

/// What a vtable says of the size of its type.
///
/// # Safety
///
/// `vtable` is the address of one, of this program.
pub(crate) unsafe fn size_in(vtable: usize) -> u64 {
    // The destructor stands before the size.
    let size = ptr::with_exposed_provenance::<usize>(vtable).wrapping_add(1);
    // SAFETY: a vtable is at least three words long and never written.
    (unsafe { size.read() }) as u64
}
