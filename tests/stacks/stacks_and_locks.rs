//! Samples are taken while another thread holds the loader's lock, inside the constructors and
//! destructors of a library, and in children of a process that samples on other threads: nothing
//! waits for ever.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

use std::{
    ffi::{CString, c_int, c_void},
    hint::black_box,
    process::Command,
    ptr,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use memscope_rs::{
    __private::{stacks, stacks_state},
    Stacks,
    async_memory::StacksState,
    builder,
};
use memscope_tests::{alone, conserved, programs::Folder};

use crate::ALLOCATOR;

/// Far longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(20);

/// Samples every block of 64 bytes and more: one is missed with the probability exp(-64).
fn sample_all() -> MutexGuard<'static, ()> {
    let alone = alone();
    builder().stacks(Stacks::EveryBytes(1)).init().expect("possible");
    assert_eq!(stacks_state().2, StacksState::On, "these tests need a glibc of 2.35 or newer");
    alone
}

/// Allocates blocks that are sampled, and frees them.
fn work() {
    for size in [100, 300, 10_000] {
        let mut block = black_box(vec![1_u8; size]);
        block.reserve_exact(size);
        drop(black_box(block));
    }
}

fn samples() -> u64 {
    stacks().iter().map(|stack| stack.samples).sum()
}

/// How often a [`Worker`] was told to work, and has worked.
#[derive(Default)]
struct Turns {
    asked: u32,
    done: u32,
    is_over: bool,
}

/// A thread that works each time that it is told to. No channel: the first time that a thread waits
/// for one, the standard library registers a destructor, for which it takes the loader's lock.
struct Worker {
    turns: Arc<(Mutex<Turns>, Condvar)>,
}

impl Worker {
    fn new() -> Self {
        let turns = Arc::<(Mutex<Turns>, Condvar)>::default();
        let worker = Self { turns: Arc::clone(&turns) };
        thread::spawn(move || {
            let (turns, changed) = &*turns;
            let is_idle = |turns: &mut Turns| turns.asked == turns.done && !turns.is_over;
            let wait = || changed.wait_while(turns.lock().expect("no panic"), is_idle);
            while !wait().expect("no panic").is_over {
                work();
                turns.lock().expect("no panic").done += 1;
                changed.notify_all();
            }
        });
        // What happens once a thread happens here.
        worker.works();
        worker
    }

    #[track_caller]
    fn works(&self) {
        let (turns, changed) = &*self.turns;
        let mut now = turns.lock().expect("no panic");
        now.asked += 1;
        changed.notify_all();
        let is_busy = |turns: &mut Turns| turns.asked != turns.done;
        let (now, waited) = changed.wait_timeout_while(now, DEADLINE, is_busy).expect("no panic");
        drop(now);
        assert!(!waited.timed_out(), "it waits for a lock");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let (turns, changed) = &*self.turns;
        turns.lock().unwrap_or_else(PoisonError::into_inner).is_over = true;
        changed.notify_all();
    }
}

/// Runs in the loader, which holds its lock. Works itself, and has the worker work.
unsafe extern "C" fn in_loader(_: *mut libc::dl_phdr_info, _: usize, worker: *mut c_void) -> c_int {
    // SAFETY: the argument of `dl_iterate_phdr` below.
    let worker = unsafe { &*worker.cast::<Worker>() };
    work();
    worker.works();
    1
}

#[test]
fn a_thread_is_sampled_while_another_one_holds_the_loaders_lock() {
    let _alone = sample_all();
    let mut worker = Worker::new();
    let before = samples();
    // SAFETY: the function expects this argument.
    unsafe { libc::dl_iterate_phdr(Some(in_loader), (&raw mut worker).cast()) };
    assert!(samples() >= before + 12, "two threads, six times each");
    conserved(&ALLOCATOR);
}

static WORKER: Mutex<Option<Worker>> = Mutex::new(None);

extern "C" fn hook() {
    work();
    if let Some(worker) = WORKER.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
        worker.works();
    }
}

/// A library that calls the function whose address is in the environment, when it is loaded and
/// when it is unloaded.
const LIBRARY: &str = r#"
#include <stdlib.h>
static void call(void) { ((void (*)(void)) strtoull(getenv("HOOK"), 0, 10))(); }
__attribute__((constructor)) static void loaded(void) { call(); }
__attribute__((destructor)) static void unloaded(void) { call(); }
"#;

#[test]
fn what_constructors_and_destructors_of_a_library_allocate_is_sampled() {
    let _alone = sample_all();
    let folder = Folder::new();
    let (source, library) = (folder.file("library.c"), folder.file("library.so"));
    std::fs::write(&source, LIBRARY).expect("written");
    let compiled =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
    if !compiled.is_ok_and(|status| status.success()) {
        return eprintln!("skipped: there is no C compiler");
    }
    *WORKER.lock().expect("no panic") = Some(Worker::new());
    let address = (hook as extern "C" fn()) as usize;
    let value = CString::new(address.to_string()).expect("no zeroes");
    // SAFETY: both texts end with a zero; no other thread reads the environment now.
    assert_eq!(unsafe { libc::setenv(c"HOOK".as_ptr(), value.as_ptr(), 1) }, 0);
    let path = CString::new(library.to_str().expect("text")).expect("no zeroes");
    for _ in 0..20 {
        let before = samples();
        // SAFETY: the path ends with a zero; the library does what it must.
        let loaded = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
        assert!(!loaded.is_null());
        let between = samples();
        // SAFETY: it is loaded, and nothing of it is used.
        assert_eq!(unsafe { libc::dlclose(loaded) }, 0);
        assert!(between >= before + 12 && samples() >= between + 12);
    }
    *WORKER.lock().expect("no panic") = None;
    conserved(&ALLOCATOR);
}

/// Waits for the child. Returns whether it ended by itself, and well.
fn ends_well(child: libc::pid_t) -> bool {
    let start = Instant::now();
    let mut status = 0;
    // SAFETY: a child of this process, which is not waited for elsewhere.
    while unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } == 0 {
        if start.elapsed() > DEADLINE {
            // SAFETY: as above.
            unsafe { libc::kill(child, libc::SIGKILL) };
            // SAFETY: as above.
            unsafe { libc::waitpid(child, ptr::null_mut(), 0) };
            return false;
        }
        thread::sleep(Duration::from_millis(1));
    }
    libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
}

#[test]
fn a_child_samples_although_other_threads_took_samples_at_the_fork() {
    let _alone = sample_all();
    let (stop, rounds) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    work();
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut ended_well = true;
        for number in 0..40 {
            while rounds.load(Ordering::Relaxed) < 4 * number {
                thread::yield_now();
            }
            // SAFETY: the child allocates, which glibc allows after a fork, and ends at once.
            let child = unsafe { libc::fork() };
            if child == 0 {
                let before = samples();
                work();
                let is_sampled = samples() >= before + 6;
                // SAFETY: ends the child.
                unsafe { libc::_exit(i32::from(!is_sampled)) };
            }
            ended_well &= child > 0 && ends_well(child);
        }
        stop.store(true, Ordering::Relaxed);
        assert!(ended_well);
    });
    conserved(&ALLOCATOR);
}
