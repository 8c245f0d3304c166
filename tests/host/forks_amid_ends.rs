//! A process forks while the ends of two tasks stand still, at thousands of pairs of places in
//! their code. In the child, which has neither of their threads, each task is counted once.
//!
//! The threads go one instruction at a time: the processor interrupts them after each (the trap
//! flag of x86), and the handler of the signal holds them up.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::{
    arch::asm,
    cell::Cell,
    ffi::c_int,
    mem, ptr,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use memscope_rs::async_memory::{TaskState, get_memory_snapshot, track};

use crate::forks::{fork, is_over, now};

/// How much code of this program there is on either side of [`task`], at most. What is elsewhere
/// is the C library's: a thread is not held up there.
const REACH: usize = 64 << 20;

/// The last instructions of a task that are tried: more than its end takes from where its row is
/// written.
const LAST: usize = 700;

/// This many instructions lie between two places where a thread is held up: of the one thread, and
/// of the other. All of them would take an hour.
const STRIDES: [usize; 2] = [16, 8];

/// A thread whose instructions are counted.
struct Stepped {
    /// The number of its last instruction.
    step: AtomicUsize,
    /// It is held up at this one, or at the next one in this program.
    stop_at: AtomicUsize,
    /// Where it is held up, or [`OVER`]; 0 while it goes on.
    held_at: AtomicUsize,
}

const OVER: usize = usize::MAX;

impl Stepped {
    const fn new() -> Self {
        let [step, stop_at, held_at] = [const { AtomicUsize::new(0) }; 3];
        Self { step, stop_at, held_at }
    }

    /// Starts a thread that runs a task. It is held up at this instruction of it.
    fn start(&'static self, stop_at: usize) -> thread::JoinHandle<()> {
        self.step.store(0, Ordering::SeqCst);
        self.held_at.store(0, Ordering::SeqCst);
        self.stop_at.store(stop_at, Ordering::SeqCst);
        thread::spawn(|| {
            // The thread's first task does more than others.
            task();
            STEPPED.set(Some(self));
            // SAFETY: sets the trap flag, whose signal has a handler.
            unsafe { asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq") };
            task();
            // SAFETY: takes it back.
            unsafe { asm!("pushfq", "and qword ptr [rsp], ~0x100", "popfq") };
            self.held_at.store(OVER, Ordering::SeqCst);
        })
    }

    /// Waits until the thread is held up; `None` if its task is over.
    fn wait(&self) -> Option<usize> {
        loop {
            match self.held_at.load(Ordering::SeqCst) {
                0 => thread::yield_now(),
                OVER => return None,
                step => return Some(step),
            }
        }
    }

    /// Lets the thread go on to this instruction.
    fn go_on(&self, stop_at: usize) {
        self.stop_at.store(stop_at, Ordering::SeqCst);
        self.held_at.store(0, Ordering::SeqCst);
    }
}

static ONE: Stepped = Stepped::new();
static OTHER: Stepped = Stepped::new();

thread_local! {
    static STEPPED: Cell<Option<&'static Stepped>> = const { Cell::new(None) };
}

extern "C" fn stepped(_: c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let Some(thread) = STEPPED.get() else { return };
    let step = thread.step.fetch_add(1, Ordering::SeqCst) + 1;
    // SAFETY: the kernel passes the thread's registers.
    let context = unsafe { &*context.cast::<libc::ucontext_t>() };
    let place = context.uc_mcontext.gregs[libc::REG_RIP as usize];
    let is_ours = place.abs_diff(task as *const () as i64) < REACH as u64;
    if is_ours && step >= thread.stop_at.load(Ordering::SeqCst) {
        thread.held_at.store(step, Ordering::SeqCst);
        while thread.held_at.load(Ordering::SeqCst) != 0 {
            // SAFETY: lets other threads run.
            unsafe { libc::sched_yield() };
        }
    }
}

fn handle_steps() {
    // SAFETY: all zeroes are an action without flags.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = stepped as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO;
    // SAFETY: the handler uses atomics alone.
    let done = unsafe { libc::sigaction(libc::SIGTRAP, &raw const action, ptr::null_mut()) };
    assert_eq!(done, 0);
}

/// A task that ends at once.
fn task() {
    now(track(async {}).named("ends"));
}

/// What the child of a fork must find.
fn each_task_is_counted_once(at: (usize, usize)) {
    let snapshot = get_memory_snapshot();
    assert!(snapshot.is_still(), "nothing ends in the child");
    let site = snapshot.sites().iter().find(|site| site.name == "ends").expect("a row");
    let tasks = snapshot.tasks().iter().filter(|task| task.name == "ends");
    let (ended, open): (Vec<_>, Vec<_>) = tasks.partition(|task| is_over(task.state));
    let counted = (site.spawned, site.completed, site.active);
    let (ended_rows, open_rows) = (ended.len() as u64, open.len() as u64);
    assert_eq!(counted, (ended_rows + open_rows, ended_rows, open_rows), "at {at:?}");
    for task in ended {
        let found = (task.state, task.poll_count, task.allocated_bytes);
        assert_eq!(found, (TaskState::Completed, 1, 0), "at {at:?}");
    }
}

#[test]
fn a_task_whose_end_a_fork_interrupts_is_counted_once() {
    handle_steps();
    // As in a program that has been asked before, so that no child reads symbols.
    drop(get_memory_snapshot());
    let thread = ONE.start(OVER);
    assert_eq!(ONE.wait(), None);
    thread.join().expect("no panic");
    let first = ONE.step.load(Ordering::SeqCst).saturating_sub(LAST);
    let (mut forks, mut places) = (0, 0);
    let one = ONE.start(first);
    while let Some(here) = ONE.wait() {
        let other = OTHER.start(first);
        while let Some(there) = OTHER.wait() {
            fork(|| each_task_is_counted_once((here, there)));
            forks += 1;
            OTHER.go_on(there + STRIDES[1]);
        }
        other.join().expect("no panic");
        places += 1;
        ONE.go_on(here + STRIDES[0]);
    }
    one.join().expect("no panic");
    assert!(places > 20 && forks > 20 * places, "{forks} forks, {places} places");
}
