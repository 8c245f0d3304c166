//! Threads, signal handlers and coroutines with little stack: a sample is taken where there is room
//! for it, else it is lost and counted. No stack overflows for it, and all sums stay exact.
#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![expect(clippy::print_stdout, reason = "the figures for the constant in `accounting/stacks/`")]

use std::{
    ffi::c_void,
    hint::black_box,
    ptr,
    sync::{Mutex, MutexGuard},
};

use memscope_rs::{
    __private::{STACK_NEEDED, stacks, stacks_state},
    Stacks,
    async_memory::StacksState,
    builder,
};
use memscope_tests::{alone, conserved};

use crate::ALLOCATOR;

const PAGE: usize = 4_096;

/// Samples every block of 64 bytes and more: one is missed with the probability exp(-64).
fn sample_all() -> MutexGuard<'static, ()> {
    let alone = alone();
    builder().stacks(Stacks::EveryBytes(1)).init().expect("possible");
    assert_eq!(stacks_state().2, StacksState::On, "these tests need a glibc of 2.35 or newer");
    alone
}

/// Memory for a stack, above a page that no access survives.
struct Memory {
    start: *mut c_void,
    size: usize,
}

impl Memory {
    fn new(size: usize) -> Self {
        let (all, none) = (PAGE + size, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: new memory, wherever there is room.
        let start = unsafe { libc::mmap(ptr::null_mut(), all, access, none, -1, 0) };
        assert_ne!(start, libc::MAP_FAILED);
        // SAFETY: the first page of this memory, which nothing uses.
        assert_eq!(unsafe { libc::mprotect(start, PAGE, libc::PROT_NONE) }, 0);
        Self { start, size }
    }

    fn low(&self) -> *mut u8 {
        self.start.cast::<u8>().wrapping_add(PAGE)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: it is this memory, which is used no longer.
        assert_eq!(unsafe { libc::munmap(self.start, PAGE + self.size) }, 0);
    }
}

type Work<'a> = Box<dyn FnOnce(*mut u8) + Send + 'a>;

extern "C" fn start(work: *mut c_void) -> *mut c_void {
    // SAFETY: `on_stack` has made it of such a box, for this call.
    let (work, low) = *unsafe { Box::from_raw(work.cast::<(Work<'_>, usize)>()) };
    work(ptr::with_exposed_provenance_mut(low));
    ptr::null_mut()
}

/// Runs `work` on a thread with so much stack, and passes its lowest byte.
fn on_stack<'a>(size: usize, work: impl FnOnce(*mut u8) + Send + 'a) {
    let memory = Memory::new(size);
    let boxed: Box<(Work<'a>, usize)> =
        Box::new((Box::new(work), memory.low().expose_provenance()));
    let mut attributes = std::mem::MaybeUninit::uninit();
    let (mut thread, argument) = (0, Box::into_raw(boxed).cast());
    // SAFETY: room for the attributes.
    assert_eq!(unsafe { libc::pthread_attr_init(attributes.as_mut_ptr()) }, 0);
    let low = memory.low().cast();
    // SAFETY: the memory outlives the thread, which is joined below.
    assert_eq!(unsafe { libc::pthread_attr_setstack(attributes.as_mut_ptr(), low, size) }, 0);
    // SAFETY: `start` expects this argument.
    let result =
        unsafe { libc::pthread_create(&raw mut thread, attributes.as_ptr(), start, argument) };
    assert_eq!(result, 0);
    // SAFETY: the thread was started above.
    assert_eq!(unsafe { libc::pthread_join(thread, ptr::null_mut()) }, 0);
}

/// Allocates, grows and frees blocks with all kinds of owner words.
#[inline(never)]
fn work() -> usize {
    let mut block = black_box(vec![1_u8; 100]);
    block.reserve_exact(200);
    let mut large = black_box(vec![1_u8; 10_000]);
    large.reserve_exact(100_000);
    block.reserve_exact(20_000);
    black_box(block).capacity() + black_box(large).capacity()
}

const PAINT: u8 = 0xa5;

#[inline(never)]
fn paint(low: *mut u8) {
    let marker = black_box(0_u8);
    let free = (&raw const marker).addr() - low.addr() - 512;
    for offset in 0..free {
        let place = low.wrapping_add(offset);
        // SAFETY: the thread's own stack, below all frames.
        unsafe { place.write_volatile(PAINT) };
    }
}

/// How far below the caller's frame `work` has written to the stack.
#[inline(never)]
fn depth(low: *mut u8, work: fn() -> usize) -> usize {
    let marker = black_box(0_u8);
    let here = (&raw const marker).addr();
    paint(low);
    black_box(work());
    let is_clean = |offset: &usize| {
        let place = low.wrapping_add(*offset);
        // SAFETY: the thread's own stack, as far as it was painted or used.
        let byte = unsafe { place.read_volatile() };
        byte == PAINT
    };
    let clean = (0..here - low.addr()).take_while(is_clean).count();
    here - low.addr() - clean
}

/// How far down these calls go, with and without a sample of each block.
fn depths() -> (usize, usize) {
    let mut depths = (0, 0);
    for is_sampled in [false, true] {
        let setting = if is_sampled { Stacks::EveryBytes(1) } else { Stacks::Off };
        builder().stacks(setting).init().expect("possible");
        on_stack(256 << 10, |low| {
            // What happens once a thread happens here.
            work();
            let found = depth(low, work);
            *(if is_sampled { &mut depths.1 } else { &mut depths.0 }) = found;
        });
    }
    depths
}

#[test]
fn a_sample_takes_less_stack_than_it_asks_for() {
    let _alone = sample_all();
    let before = samples();
    let (without, with) = depths();
    println!("{without} bytes of stack without samples, {with} with");
    assert!(samples() > before && with > without, "{without} {with}");
    assert!(with * 3 / 2 < STACK_NEEDED, "{with}");
}

fn samples() -> u64 {
    stacks().iter().map(|stack| stack.samples).sum()
}

/// Runs `work` with this many bytes of stack left.
#[inline(never)]
fn with_left(left: usize, low: usize, work: &mut dyn FnMut()) {
    let marker = black_box([0_u8; 64]);
    if (&raw const marker).addr() - low <= left {
        work();
    } else {
        with_left(left, low, work);
    }
    black_box(marker);
}

#[test]
fn a_thread_near_the_end_of_its_stack_is_not_sampled_and_goes_on() {
    let _alone = sample_all();
    // What exact counting and the C library take themselves.
    let least = depths().0 + 1_024;
    let mut both = (0, 0);
    for left in (least..3 * STACK_NEEDED).step_by(256) {
        on_stack(64 << 10, |low| {
            work();
            let before = (samples(), stacks_state().1);
            with_left(left, low.addr(), &mut || _ = black_box(work()));
            let after = (samples(), stacks_state().1);
            both.0 += u64::from(after.0 - before.0 >= 5 && after.1 == before.1);
            both.1 += u64::from(after.1 - before.1 >= 5);
        });
    }
    assert!(both.0 > 10 && both.1 > 10, "sampled in {} cases, not in {}", both.0, both.1);
    conserved(&ALLOCATOR);
}

static KEPT: Mutex<Option<Vec<u8>>> = Mutex::new(None);

/// The size of the block that a handler or a coroutine keeps.
const SIZE: usize = 6_789;

extern "C" fn keeps_a_block(_: libc::c_int) {
    if let Ok(mut kept) = KEPT.try_lock() {
        *kept = Some(vec![1_u8; SIZE]);
    }
}

/// Whether the block that was kept has a stack. Frees it.
fn is_sampled() -> bool {
    let is_there = stacks().iter().any(|stack| stack.live_bytes == SIZE as u64);
    assert!(KEPT.lock().expect("no panic").take().is_some());
    is_there
}

#[test]
fn a_handler_on_a_stack_of_its_own_is_sampled_if_that_has_room() {
    let _alone = sample_all();
    // SAFETY: zeroes are no flags, and no blocked signals.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    let handler: extern "C" fn(libc::c_int) = keeps_a_block;
    action.sa_sigaction = handler as libc::sighandler_t;
    action.sa_flags = libc::SA_ONSTACK;
    // SAFETY: the handler allocates, which is allowed here: the signal is raised by the thread
    // itself, outside of the allocator.
    assert_eq!(unsafe { libc::sigaction(libc::SIGUSR2, &raw const action, ptr::null_mut()) }, 0);
    for (size, expected) in [(64 << 10, true), (10 << 10, false)] {
        let memory = Memory::new(size);
        let stack = libc::stack_t { ss_sp: memory.low().cast(), ss_flags: 0, ss_size: size };
        let mut old = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: 0, ss_size: 0 };
        // SAFETY: the memory is there until the old stack is back.
        assert_eq!(unsafe { libc::sigaltstack(&raw const stack, &raw mut old) }, 0);
        let lost = stacks_state().1;
        // SAFETY: it has a handler.
        assert_eq!(unsafe { libc::raise(libc::SIGUSR2) }, 0);
        // SAFETY: the stack that was there before.
        assert_eq!(unsafe { libc::sigaltstack(&raw const old, ptr::null_mut()) }, 0);
        assert_eq!((is_sampled(), stacks_state().1 == lost), (expected, expected), "{size}");
    }
    conserved(&ALLOCATOR);
}

extern "C" fn coroutine() {
    keeps_a_block(0);
}

#[test]
fn a_coroutine_is_not_sampled_because_its_stack_is_not_known() {
    let _alone = sample_all();
    let memory = Memory::new(64 << 10);
    let lost = stacks_state().1;
    // SAFETY: zeroes are valid for this struct, which `swapcontext` fills.
    let mut here: libc::ucontext_t = unsafe { std::mem::zeroed() };
    // SAFETY: as above, by `getcontext`.
    let mut there: libc::ucontext_t = unsafe { std::mem::zeroed() };
    // SAFETY: room for the context.
    assert_eq!(unsafe { libc::getcontext(&raw mut there) }, 0);
    there.uc_stack.ss_sp = memory.low().cast();
    there.uc_stack.ss_size = memory.size;
    there.uc_link = &raw mut here;
    // SAFETY: the context has a stack, and the function takes no arguments.
    unsafe { libc::makecontext(&raw mut there, coroutine, 0) };
    // SAFETY: both contexts are on this stack until the coroutine has come back.
    assert_eq!(unsafe { libc::swapcontext(&raw mut here, &raw const there) }, 0);
    assert!(!is_sampled());
    assert!(stacks_state().1 > lost);
    conserved(&ALLOCATOR);
}
