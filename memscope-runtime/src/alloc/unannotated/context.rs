//! Whether Tokio has run on this thread, found without asking Tokio.
//!
//! Tokio says which task is current by a thread-local of its own. Whatever uses a thread-local
//! first on a thread registers its destructor there, and destructors run in the reverse order: if
//! memscope were first, Tokio's thread-local would be gone when a destructor of the program wants
//! it, which aborts the process. So a thread asks Tokio only once Tokio has run on it.
//!
//! The standard library keeps a byte beside each thread-local that has a destructor: 0 until its
//! first use, 1 while it is alive, 2 afterwards. Where that byte lies for Tokio's is learned, not
//! assumed: a thread of memscope's own, which runs no code of the program, asks Tokio once. The one
//! byte of the program's thread-local memory that goes from 0 to 1 meanwhile is Tokio's. It is as
//! far from a thread-local of memscope's on every thread, so that any thread can look at its own.
//!
//! That thread runs when the process allocates its first block that is aligned as Tokio aligns the
//! cells of its tasks, and the allocation waits for it, some 100 µs: no task is polled before it
//! has a cell. A process without Tokio's tasks has no such thread, and one that has only one thread
//! has none either: from its first thread on the C library takes its locks. There such a block
//! itself is the sign that Tokio runs, until a second thread comes.

use crate::primitives::sync::{AtomicU8, AtomicUsize, Ordering};

/// What is known of Tokio on this thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// Tokio has not run here, so that no task is current.
    Unused,
    /// Tokio has run here: it may be asked.
    Used,
    /// That cannot be seen, and to ask is the only way: on systems other than Linux, where memscope
    /// is in another module of the program than Tokio, and on the only thread of a process that has
    /// spawned a task.
    Hidden,
}

/// How far the byte is from [`learned::ANCHOR`]; 0: it is not known.
static DISTANCE: AtomicUsize = AtomicUsize::new(0);
static STATE: AtomicU8 = AtomicU8::new(if learned::CAN { NOT_TRIED } else { HIDDEN });

/// No block was allocated that a task could be in.
const NOT_TRIED: u8 = 0;
/// Such a block was allocated while the process had one thread.
const ALONE: u8 = 1;
/// The thread is at it, and allocations of such blocks wait for it.
const TRYING: u8 = 2;
/// The thread takes so long that no allocation waits for it any more.
const LATE: u8 = 3;
const KNOWN: u8 = 4;
const HIDDEN: u8 = 5;

/// The least alignment that Tokio gives the cells of its tasks; larger than what most blocks have.
const CELL_ALIGNMENT: usize = if cfg!(target_pointer_width = "64") { 64 } else { 32 };

/// A block of this alignment is allocated: if a task may be in it, the byte is learned before that
/// task is polled.
#[inline]
pub(crate) fn note_block(alignment: usize) {
    if alignment >= CELL_ALIGNMENT && matches!(STATE.load(Ordering::Relaxed), NOT_TRIED | TRYING) {
        learned::learn();
    }
}

/// A thread allocates for the first time: a second one can poll what the first has spawned.
pub(crate) fn note_thread() {
    if STATE.load(Ordering::Relaxed) == ALONE {
        learned::learn();
    }
}

/// Learns the byte though tasks may have been polled already, as where they were not asked for
/// until now.
pub(crate) fn prepare() {
    note_block(CELL_ALIGNMENT);
}

/// What is known of Tokio on this thread.
#[inline]
pub(crate) fn sight() -> Sight {
    let distance = DISTANCE.load(Ordering::Relaxed);
    if distance != 0 {
        return if learned::byte(distance) == 0 { Sight::Unused } else { Sight::Used };
    }
    match STATE.load(Ordering::Relaxed) {
        ALONE | HIDDEN => Sight::Hidden,
        _ => Sight::Unused,
    }
}

#[cfg(all(target_os = "linux", any(target_env = "gnu", target_env = "musl")))]
mod learned {
    use std::{
        cell::Cell,
        ffi::{c_int, c_uint, c_void},
        hint::black_box,
        mem::MaybeUninit,
        ops::Range,
        ptr, slice,
    };

    use super::{ALONE, DISTANCE, HIDDEN, KNOWN, LATE, STATE, TRYING};
    use crate::primitives::sync::Ordering;

    pub(super) const CAN: bool = true;

    /// How often an allocation looks whether the thread is done: first it makes room for it, later
    /// it sleeps.
    const LOOKS: u32 = 1_200;
    const LOOKS_AWAKE: u32 = 200;
    const SLEEP_US: c_uint = 100;

    thread_local! {
        /// A thread-local in the same memory as Tokio's.
        static ANCHOR: Cell<u8> = const { Cell::new(0) };
        static FIRST: Destroyed = const { Destroyed };
    }

    /// Has a destructor, as Tokio's thread-local.
    struct Destroyed;

    impl Drop for Destroyed {
        fn drop(&mut self) {}
    }

    fn anchor() -> usize {
        ANCHOR.with(|anchor| ptr::from_ref(anchor).addr())
    }

    /// The byte of this thread's memory that is so far from [`ANCHOR`].
    #[inline]
    pub(super) fn byte(distance: usize) -> u8 {
        read(anchor().wrapping_add(distance))
    }

    /// A byte of the thread-local memory of the module that memscope is in.
    #[inline]
    fn read(address: usize) -> u8 {
        let byte = ptr::with_exposed_provenance::<u8>(address);
        // SAFETY: the caller has found the address in the thread-local memory of this module on
        // this thread, by the program's headers or by its distance from `ANCHOR`, which is the same
        // on every thread. That memory is there as long as the thread, its bytes are set from the
        // start, and no other thread writes here without synchronization of its own.
        unsafe { byte.read_volatile() }
    }

    /// Starts the thread that learns, and waits for it a while: safe in the allocator, as it needs
    /// no memory of the program's.
    #[cold]
    #[inline(never)]
    pub(super) fn learn() {
        let state = STATE.load(Ordering::Relaxed);
        if state < TRYING && is_alone() {
            let _ = STATE.compare_exchange(state, ALONE, Ordering::Relaxed, Ordering::Relaxed);
            return;
        }
        let first = state < TRYING
            && STATE.compare_exchange(state, TRYING, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        let thread = if first { start() } else { None };
        if first && thread.is_none() {
            // No thread to be had.
            STATE.store(HIDDEN, Ordering::Relaxed);
        }
        for look in 0..LOOKS {
            // Acquire pairs with the Release in `run`: the distance is there.
            if STATE.load(Ordering::Acquire) != TRYING {
                break;
            }
            // Not by the standard library, which panics where a sleep fails.
            if look < LOOKS_AWAKE {
                // SAFETY: it takes nothing.
                unsafe { libc::sched_yield() };
            } else {
                // SAFETY: it takes a number.
                unsafe { libc::usleep(SLEEP_US) };
            }
        }
        let is_late =
            STATE.compare_exchange(TRYING, LATE, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        let Some(thread) = thread else { return };
        if is_late || STATE.load(Ordering::Relaxed) == LATE {
            // As where this is a constructor of a library: the loader's lock is held, which the
            // thread wants. SAFETY: the thread that was created above, neither joined nor detached
            // so far.
            unsafe { libc::pthread_detach(thread) };
        } else {
            // SAFETY: as above. It has nothing left to do.
            unsafe { libc::pthread_join(thread, ptr::null_mut()) };
        }
    }

    /// Whether the process has this thread only; false where that is not known.
    fn is_alone() -> bool {
        const DONE: c_int = 0;
        let mut folder = MaybeUninit::<libc::stat>::zeroed();
        // SAFETY: a path that ends in a zero, and a place for what is known of it.
        let result = unsafe { libc::stat(c"/proc/self/task".as_ptr(), folder.as_mut_ptr()) };
        // SAFETY: zeroed, which is valid for this struct of numbers, or written.
        let folder = unsafe { folder.assume_init() };
        // A folder has a link by its name, one in itself, and one in each folder in it: there is
        // one for each thread.
        result == DONE && folder.st_nlink == 3
    }

    /// Not by the standard library, which would register thread-locals of its own on this thread.
    /// The thread gets no signals of the program's.
    #[inline(never)]
    fn start() -> Option<libc::pthread_t> {
        const DONE: c_int = 0;
        let mut all = MaybeUninit::<libc::sigset_t>::zeroed();
        let mut before = MaybeUninit::<libc::sigset_t>::zeroed();
        let mut thread = MaybeUninit::<libc::pthread_t>::zeroed();
        // SAFETY: a place for a set of signals.
        unsafe { libc::sigfillset(all.as_mut_ptr()) };
        // SAFETY: a set made by `sigfillset`, and a place for another.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) };
        let attributes = ptr::null();
        // SAFETY: a place for the thread, no attributes, and a function that does not unwind and
        // takes any argument.
        let result =
            unsafe { libc::pthread_create(thread.as_mut_ptr(), attributes, run, ptr::null_mut()) };
        // SAFETY: the mask of before, which the call above wrote.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
        // SAFETY: zeroed, which is valid for this number or pointer, or written.
        (result == DONE).then(|| unsafe { thread.assume_init() })
    }

    extern "C" fn run(_: *mut c_void) -> *mut c_void {
        let state = match find() {
            Some(distance) => {
                DISTANCE.store(distance, Ordering::Relaxed);
                KNOWN
            }
            None => HIDDEN,
        };
        // Release pairs with the Acquire in `learn`.
        STATE.store(state, Ordering::Release);
        ptr::null_mut()
    }

    /// Bytes of thread-local memory that are looked at, one bit of the stack for each; few programs
    /// have a hundredth.
    const MOST_BYTES: usize = 1 << 17;

    /// How far the byte is from [`ANCHOR`]; `None`: not just one byte can be it. Without memory
    /// from the program's heap.
    fn find() -> Option<usize> {
        // What the standard library needs for the first destructor of a thread is there then.
        FIRST.with(|first| {
            black_box(first);
        });
        let memory = memory().filter(|memory| memory.len() <= MOST_BYTES)?;
        let mut was_zero = [0_u64; MOST_BYTES / 64];
        for (place, address) in memory.clone().enumerate() {
            was_zero[place / 64] |= u64::from(read(address) == 0) << (place % 64);
        }
        let _ = black_box(tokio::task::try_id as fn() -> _)();
        let is_it = |(place, address): (usize, usize)| {
            let began = was_zero[place / 64] >> (place % 64) & 1 != 0 && read(address) == 1;
            began.then_some(address)
        };
        let mut found = memory.enumerate().filter_map(is_it);
        let byte = found.next()?;
        found.next().is_none().then(|| byte.wrapping_sub(anchor()))
    }

    /// Where this thread has the thread-locals of the module that memscope is in.
    fn memory() -> Option<Range<usize>> {
        let mut memory = Memory { of: anchor(), found: None };
        // SAFETY: the callback has the type that is asked for, and gets this struct, which lives
        // for the call.
        unsafe { libc::dl_iterate_phdr(Some(look_at), (&raw mut memory).cast()) };
        memory.found
    }

    struct Memory {
        of: usize,
        found: Option<Range<usize>>,
    }

    /// Looks at one module of the program.
    unsafe extern "C" fn look_at(
        module: *mut libc::dl_phdr_info,
        _: libc::size_t,
        memory: *mut c_void,
    ) -> c_int {
        const GO_ON: c_int = 0;
        // SAFETY: the loader passes a module, valid for the call.
        let module = unsafe { &*module };
        // SAFETY: what `memory` passed, valid for the call and used by nothing else meanwhile.
        let memory = unsafe { &mut *memory.cast::<Memory>() };
        if module.dlpi_phdr.is_null() {
            return GO_ON;
        }
        // SAFETY: the loader keeps the headers of a module as long as it is loaded.
        let headers =
            unsafe { slice::from_raw_parts(module.dlpi_phdr, usize::from(module.dlpi_phnum)) };
        let start = module.dlpi_tls_data.addr();
        let size = headers.iter().find(|header| header.p_type == libc::PT_TLS).map(|it| it.p_memsz);
        let size = size.and_then(|size| usize::try_from(size).ok()).unwrap_or(0);
        let here = start..start.saturating_add(size);
        // Null: this thread has none.
        if start != 0 && here.contains(&memory.of) {
            memory.found = Some(here);
        }
        GO_ON
    }
}

#[cfg(not(all(target_os = "linux", any(target_env = "gnu", target_env = "musl"))))]
mod learned {
    pub(super) const CAN: bool = false;

    pub(super) fn byte(_: usize) -> u8 {
        0
    }

    pub(super) fn learn() {}
}
