//! Tells whether Tokio has run on this thread, without asking Tokio.
//!
//! Tokio knows the current task by a thread-local of its own. The first use of a thread-local
//! registers its destructor on that thread, and destructors run in reverse order. If memscope were
//! the first to use Tokio's, it would be gone when a destructor of the program needs it, which
//! aborts the process. So a thread asks Tokio only once Tokio has run there.
//!
//! The standard library keeps a byte beside each thread-local with a destructor: 0 until its first
//! use, 1 while it is alive, 2 afterwards. Memscope probes where Tokio's byte is, instead of
//! assuming it. A thread of memscope's own, which runs no code of the program, asks Tokio once.
//! Exactly one byte of the program's thread-local memory then goes from 0 to 1: Tokio's. On every
//! thread it is equally far from a thread-local of memscope's, so any thread can read its own.
//!
//! That thread runs when the process first allocates a block with the alignment of Tokio's task
//! cells. The allocation waits for it, some 100 µs, because no task is polled before it has a cell.
//! The thread then learns the layout of cells, too (`alloc::cells`).
//! A process without Tokio tasks has no such thread. Nor has a process with only one thread,
//! because a second one makes the C library take its locks. There such a block itself is the sign
//! that Tokio runs, until a second thread starts. A process that is going to report has the thread
//! all the same: without it, ends of tasks are not known.

use crate::primitives::{
    pending_starts,
    sync::{AtomicU8, AtomicUsize, Ordering},
};

/// What is known about Tokio on this thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// Tokio has not run here, so no task is current.
    Unused,
    /// Tokio has run here, and may be asked.
    Used,
    /// Not known; the only way is to ask. This is so in three cases:
    /// - on systems other than Linux;
    /// - if memscope and Tokio are in different modules of the program;
    /// - on the only thread of a process, once that has spawned a task.
    Hidden,
}

/// The distance of Tokio's byte from `learned::ANCHOR`; 0 if it is not known.
static DISTANCE: AtomicUsize = AtomicUsize::new(0);
static STATE: AtomicU8 = AtomicU8::new(if learned::CAN { NOT_TRIED } else { HIDDEN });

/// No block has been allocated that could be a task's cell.
const NOT_TRIED: u8 = 0;
/// Such a block was allocated while the process had one thread.
const ALONE: u8 = 1;
/// The probing thread runs, and allocations of such blocks wait for it.
const TRYING: u8 = 2;
/// The probing thread takes too long: no allocation waits for it any more.
const LATE: u8 = 3;
const KNOWN: u8 = 4;
const HIDDEN: u8 = 5;

/// 1 if the program has asked for reports.
static EXPECTS_REPORT: AtomicU8 = AtomicU8::new(0);

/// 1 once a thread has allocated. Any later thread has another one beside it.
static HAS_THREADS: AtomicU8 = AtomicU8::new(0);

/// Notes that the program has asked for reports, so that its first task may start a second thread.
/// Must not be called in the allocator.
pub(crate) fn expect_report() {
    EXPECTS_REPORT.store(1, Ordering::Relaxed);
    learn_for_report();
}

/// Probes the byte when a block is allocated that may be a task's cell, before that task is polled.
#[inline]
pub(crate) fn note_block() {
    if matches!(STATE.load(Ordering::Relaxed), NOT_TRIED | TRYING) {
        learned::learn(EXPECTS_REPORT.load(Ordering::Relaxed) != 0);
    }
}

/// Must be called at a thread's first allocation. A second thread can poll what the first one has
/// spawned, and memscope's own threads may run beside it.
pub(crate) fn note_thread() {
    if HAS_THREADS.swap(1, Ordering::Relaxed) != 0 {
        pending_starts::occasion_in_allocator();
    }
    if STATE.load(Ordering::Relaxed) == ALONE {
        learned::learn(false);
    }
}

/// Probes the byte, and learns the layout of cells, if a task was spawned while the process had one
/// thread. A report calls this, because it may start a second thread.
pub(crate) fn learn_for_report() {
    if STATE.load(Ordering::Relaxed) == ALONE {
        learned::learn(true);
    }
}

/// Probes the byte although tasks may have been polled already, for example when unannotated tasks
/// are turned on late.
pub(crate) fn prepare() {
    note_block();
}

/// Returns what is known about Tokio on this thread.
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
        ops::{ControlFlow, Range},
        ptr,
    };

    use super::{ALONE, DISTANCE, HIDDEN, KNOWN, LATE, STATE, TRYING};
    use crate::{
        alloc::{blocked_signals::AllBlocked, cells, unannotated::charged},
        primitives::{
            loaded::{each_loaded, number},
            sync::Ordering,
        },
    };

    pub(super) const CAN: bool = true;

    /// How often a waiting allocation checks for the probing thread's end. At first it yields to
    /// that thread, later it sleeps.
    const LOOKS: u32 = 1_200;
    const LOOKS_AWAKE: u32 = 200;
    const SLEEP_US: c_uint = 100;

    thread_local! {
        /// A thread-local in the same memory as Tokio's.
        static ANCHOR: Cell<u8> = const { Cell::new(0) };
        static FIRST: Destroyed = const { Destroyed };
    }

    /// Has a destructor, like Tokio's thread-local.
    struct Destroyed;

    impl Drop for Destroyed {
        fn drop(&mut self) {}
    }

    fn anchor() -> usize {
        ANCHOR.with(|anchor| ptr::from_ref(anchor).addr())
    }

    /// Reads the byte at this distance from [`ANCHOR`], on this thread.
    #[inline]
    pub(super) fn byte(distance: usize) -> u8 {
        read(anchor().wrapping_add(distance))
    }

    /// Reads a byte of the thread-local memory of the module that memscope is in.
    #[inline]
    fn read(address: usize) -> u8 {
        let byte = ptr::with_exposed_provenance::<u8>(address);
        // SAFETY: the address is in this thread's thread-local memory of this module. The caller
        // found it by the program's headers, or by the distance from `ANCHOR`, which is the same on
        // every thread. That memory lives as long as the thread and is initialised from the start.
        // Other threads write there only with their own synchronization.
        unsafe { byte.read_volatile() }
    }

    /// Starts the probing thread, and waits for it a while. Does nothing if the process has one
    /// thread, unless it `may_be_second`. Safe in the allocator, as the thread takes no memory that
    /// is charged to the program.
    #[cold]
    #[inline(never)]
    pub(super) fn learn(may_be_second: bool) {
        let state = STATE.load(Ordering::Relaxed);
        if state < TRYING && !may_be_second && is_alone() {
            let _ = STATE.compare_exchange(state, ALONE, Ordering::Relaxed, Ordering::Relaxed);
            return;
        }
        let first = state < TRYING
            && STATE.compare_exchange(state, TRYING, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        let thread = if first { start() } else { None };
        if first && thread.is_none() {
            // The system cannot start a thread.
            STATE.store(HIDDEN, Ordering::Relaxed);
        }
        for look in 0..LOOKS {
            // Acquire; pairs with the Release in `run`: the distance is stored.
            if STATE.load(Ordering::Acquire) != TRYING {
                break;
            }
            pause(look);
        }
        let is_late =
            STATE.compare_exchange(TRYING, LATE, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        let Some(thread) = thread else { return };
        if is_late || STATE.load(Ordering::Relaxed) == LATE {
            // For example in a constructor of a library: this thread holds the loader's lock, which
            // the probing thread needs. SAFETY: the thread was created above, and is neither joined
            // nor detached.
            unsafe { libc::pthread_detach(thread) };
        } else {
            // SAFETY: as above.
            unsafe { await_end(thread) };
        }
    }

    /// Waits a while for the end of a thread that has finished its work. It still frees what Tokio
    /// keeps for a thread, and an allocator around memscope's may make it wait for the allocation
    /// that waits here.
    ///
    /// # Safety
    ///
    /// The thread is neither joined nor detached, and nothing else does that.
    pub(super) unsafe fn await_end(thread: libc::pthread_t) {
        const DONE: c_int = 0;
        for look in 0..LOOKS {
            // SAFETY: the caller keeps the contract. It is joined once, as this returns then.
            if unsafe { libc::pthread_tryjoin_np(thread, ptr::null_mut()) } == DONE {
                return;
            }
            pause(look);
        }
        // SAFETY: it was not joined above.
        unsafe { libc::pthread_detach(thread) };
    }

    /// Lets other threads run. Does not use the standard library, which panics if a sleep fails.
    fn pause(look: u32) {
        if look < LOOKS_AWAKE {
            // SAFETY: takes no argument.
            unsafe { libc::sched_yield() };
        } else {
            // SAFETY: takes a number.
            unsafe { libc::usleep(SLEEP_US) };
        }
    }

    /// Returns whether the process has only this thread; `false` if that is not known.
    fn is_alone() -> bool {
        const DONE: c_int = 0;
        let mut folder = MaybeUninit::<libc::stat>::zeroed();
        // SAFETY: a path that ends in a zero, and room for the result.
        let result = unsafe { libc::stat(c"/proc/self/task".as_ptr(), folder.as_mut_ptr()) };
        // SAFETY: zeroed, which is valid for this struct of numbers, or written.
        let folder = unsafe { folder.assume_init() };
        // A folder has a link by its name, one in itself, and one in each subfolder. Here each
        // thread has a subfolder.
        result == DONE && folder.st_nlink == 3
    }

    /// Starts the probing thread without the standard library, which would register thread-locals
    /// of its own on it. All signals are blocked there.
    #[inline(never)]
    fn start() -> Option<libc::pthread_t> {
        const DONE: c_int = 0;
        let _blocked = AllBlocked::new();
        let mut thread = MaybeUninit::<libc::pthread_t>::zeroed();
        let attributes = ptr::null();
        // SAFETY: memory for the thread, no attributes, and a function that does not unwind and
        // accepts any argument.
        let result =
            unsafe { libc::pthread_create(thread.as_mut_ptr(), attributes, run, ptr::null_mut()) };
        // SAFETY: zeroed, which is valid for this number or pointer, or written.
        (result == DONE).then(|| unsafe { thread.assume_init() })
    }

    extern "C" fn run(_: *mut c_void) -> *mut c_void {
        let memory = memory().filter(|memory| memory.len() <= MOST_BYTES);
        let state = match memory.as_ref().and_then(find) {
            Some(distance) => {
                DISTANCE.store(distance, Ordering::Relaxed);
                KNOWN
            }
            None => HIDDEN,
        };
        if let Some(memory) = &memory {
            charged::learn(memory);
        }
        // The allocations that wait are those of cells, whose tasks then end exactly.
        cells::learn();
        // Release; pairs with the Acquire in `learn`.
        STATE.store(state, Ordering::Release);
        ptr::null_mut()
    }

    /// The most bytes of thread-local memory that are searched, with one bit on the stack for each.
    /// Few programs have a hundredth of this.
    const MOST_BYTES: usize = 1 << 17;

    /// Returns the distance of the byte from [`ANCHOR`], or `None` unless exactly one byte
    /// qualifies. Takes no memory from the program's heap.
    fn find(memory: &Range<usize>) -> Option<usize> {
        // From here on the thread has what the standard library needs for its first destructor.
        FIRST.with(|first| {
            black_box(first);
        });
        let mut was_zero = [0_u64; MOST_BYTES / 64];
        for (place, address) in memory.clone().enumerate() {
            was_zero[place / 64] |= u64::from(read(address) == 0) << (place % 64);
        }
        let _ = black_box(tokio::task::try_id as fn() -> _)();
        let is_it = |(place, address): (usize, usize)| {
            let began = was_zero[place / 64] >> (place % 64) & 1 != 0 && read(address) == 1;
            began.then_some(address)
        };
        let mut found = memory.clone().enumerate().filter_map(is_it);
        let byte = found.next()?;
        found.next().is_none().then(|| byte.wrapping_sub(anchor()))
    }

    /// Returns where this thread has the thread-locals of the module that memscope is in.
    pub(in crate::alloc::unannotated) fn memory() -> Option<Range<usize>> {
        let (anchor, mut found) = (anchor(), None);
        each_loaded(|file| {
            let start = file.thread_locals;
            let size = file.headers.iter().find(|it| it.p_type == libc::PT_TLS);
            let size = size.map_or(0, |it| number(it.p_memsz));
            let here = start..start.saturating_add(size);
            // A start of 0 means that this thread has no thread-locals of the module.
            if start != 0 && here.contains(&anchor) {
                found = Some(here);
            }
            ControlFlow::Continue(())
        });
        found
    }
}

#[cfg(all(test, target_os = "linux", any(target_env = "gnu", target_env = "musl")))]
pub(super) use learned::memory;

#[cfg(all(test, target_os = "linux", any(target_env = "gnu", target_env = "musl")))]
mod tests {
    use std::{
        ffi::c_void,
        mem::MaybeUninit,
        ptr,
        sync::atomic::{AtomicBool, Ordering},
    };

    use super::learned::await_end;

    #[test]
    fn an_allocation_does_not_wait_for_ever_for_a_thread_that_does_not_end() {
        static MAY_END: AtomicBool = AtomicBool::new(false);
        static HAS_ENDED: AtomicBool = AtomicBool::new(false);

        extern "C" fn waits(_: *mut c_void) -> *mut c_void {
            while !MAY_END.load(Ordering::Acquire) {
                std::hint::spin_loop();
            }
            HAS_ENDED.store(true, Ordering::Release);
            ptr::null_mut()
        }

        let mut thread = MaybeUninit::<libc::pthread_t>::zeroed();
        let nothing = ptr::null_mut();
        // SAFETY: memory for the thread, no attributes, and a function that does not unwind.
        let created =
            unsafe { libc::pthread_create(thread.as_mut_ptr(), ptr::null(), waits, nothing) };
        assert_eq!(created, 0);
        // SAFETY: it was created.
        let thread = unsafe { thread.assume_init() };
        // SAFETY: nothing else has it.
        unsafe { await_end(thread) };
        assert!(!HAS_ENDED.load(Ordering::Acquire), "it waits for what this test lets it do");
        MAY_END.store(true, Ordering::Release);
        while !HAS_ENDED.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
    }
}

#[cfg(not(all(target_os = "linux", any(target_env = "gnu", target_env = "musl"))))]
mod learned {
    pub(super) const CAN: bool = false;

    pub(super) fn byte(_: usize) -> u8 {
        0
    }

    pub(super) fn learn(_: bool) {}
}
