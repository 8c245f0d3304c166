//! The stacks of threads: where they lie, and as far as they are in use.
//!
//! A thread that sleeps in the kernel has a stack pointer that the system tells. What lies below it
//! is from calls that have ended, and holds nothing. So each thread is asked twice, before and
//! after the copy is made. If it did not run meanwhile, the stack pointer is that of the copy.
//! Otherwise the whole stack counts, old words too.

use std::{
    fs, ptr,
    sync::atomic::{AtomicU8, Ordering},
};

use crate::{
    alloc::thread_places,
    picture::{Maps, Range},
};

/// One thread.
#[derive(Debug)]
pub(super) struct Thread {
    number: u32,
    /// An address in its thread-local memory; `None` if the thread never allocated.
    pub(super) here: Option<usize>,
    /// What the system said of it: its stack pointer and what identifies this sleep.
    sleep: Option<Sleep>,
    is_caller: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Sleep {
    stack_pointer: usize,
    /// How long it has run so far, and how often.
    ran: String,
}

/// All threads, and a page that the copy shares with the process.
#[derive(Debug)]
pub(super) struct Threads {
    pub(super) all: Vec<Thread>,
    /// The number of the process, which its main thread has too.
    process: u32,
    shared: Shared,
}

/// What lies below the stack pointer and is in use all the same.
const RED_ZONE: usize = 128;

impl Threads {
    /// Reads the list of threads. `stack`: where the stack of the calling thread is in use from.
    pub(super) fn read(stack: usize) -> Option<Self> {
        let caller = thread_places::number();
        let places: Vec<(u32, usize)> = thread_places::all().collect();
        let here = |number| places.iter().find(|place| place.0 == number).map(|place| place.1);
        let mut all = Vec::new();
        for entry in fs::read_dir("/proc/self/task").ok()? {
            let name = entry.ok()?.file_name();
            let Some(number) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            let is_caller = number == caller;
            let sleep = if is_caller {
                Some(Sleep { stack_pointer: stack, ran: String::new() })
            } else {
                sleep(number)
            };
            all.push(Thread { number, here: here(number), sleep, is_caller });
        }
        let shared = Shared::new(all.len() + 1)?;
        Some(Self { all, process: std::process::id(), shared })
    }

    /// Asks each thread again, after the copy was made, and tells the copy.
    pub(super) fn compare(&self) {
        for (thread, place) in self.all.iter().zip(self.shared.bytes()) {
            let is_same =
                thread.is_caller || thread.sleep.is_some() && sleep(thread.number) == thread.sleep;
            place.store(u8::from(is_same), Ordering::Relaxed);
        }
        if let Some(ready) = self.shared.bytes().last() {
            // Release; pairs with the Acquire in `wait`.
            ready.store(1, Ordering::Release);
        }
    }

    /// In the copy: waits until the process has told which threads slept, a second at most.
    pub(super) fn wait(&self) {
        const LOOKS: u32 = 1_000;
        let Some(ready) = self.shared.bytes().last() else { return };
        for _ in 0..LOOKS {
            if ready.load(Ordering::Acquire) != 0 {
                return;
            }
            let pause = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000 };
            // SAFETY: reads the time given.
            unsafe { libc::nanosleep(&raw const pause, ptr::null_mut()) };
        }
    }

    /// In the copy: the stack of a thread, as far as it may be in use.
    pub(super) fn stack(&self, thread: usize, maps: &Maps) -> Option<Range> {
        let slept = self.shared.bytes().get(thread)?.load(Ordering::Relaxed) != 0;
        let thread = self.all.get(thread)?;
        let pointer = thread.sleep.as_ref().map(|sleep| sleep.stack_pointer);
        let main = maps.main_stack.filter(|_| thread.number == self.process);
        // A thread other than the main one has its thread-local memory above its stack.
        let slept_on = pointer.filter(|_| slept).and_then(|pointer| maps.at(pointer));
        let map = slept_on.or(main).or_else(|| maps.at(thread.here?))?;
        let end = thread.here.filter(|here| map.contains(*here)).unwrap_or(map.end);
        let whole = Range { start: map.start, end };
        let from = pointer.filter(|pointer| slept && whole.contains(*pointer));
        let start = from.map_or(map.start, |from| from.saturating_sub(RED_ZONE).max(map.start));
        Some(Range { start, end })
    }

    /// The name of a thread.
    pub(super) fn name(&self, thread: usize) -> String {
        let Some(Thread { number, .. }) = self.all.get(thread) else { return String::new() };
        if *number == self.process {
            return "main".to_owned();
        }
        let name = fs::read_to_string(format!("/proc/self/task/{number}/comm"));
        name.map_or_else(|_| format!("thread {number}"), |name| name.trim_end().to_owned())
    }

    /// How many threads ran while the copy was made.
    pub(super) fn running(&self) -> usize {
        let ran = |place: &&AtomicU8| place.load(Ordering::Relaxed) == 0;
        self.shared.bytes().iter().take(self.all.len()).filter(ran).count()
    }
}

/// What the system says of a thread that sleeps; `None` if it runs, or the system does not tell.
fn sleep(number: u32) -> Option<Sleep> {
    let of = |file| fs::read_to_string(format!("/proc/self/task/{number}/{file}"));
    let ran = of("schedstat").ok()?;
    let call = of("syscall").ok()?;
    let mut last = call.split_ascii_whitespace().rev();
    let pointer = last.nth(1)?.strip_prefix("0x")?;
    let stack_pointer = usize::from_str_radix(pointer, 16).ok()?;
    Some(Sleep { stack_pointer, ran })
}

/// Bytes that the process shares with its copies.
#[derive(Debug)]
struct Shared {
    start: *const AtomicU8,
    len: usize,
}

impl Shared {
    fn new(len: usize) -> Option<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        // SAFETY: new memory, which nothing else uses.
        let start = unsafe { libc::mmap(ptr::null_mut(), len, protection, flags, -1, 0) };
        let start = start.cast_const().cast();
        (start != libc::MAP_FAILED.cast_const().cast()).then_some(Self { start, len })
    }

    fn bytes(&self) -> &[AtomicU8] {
        // SAFETY: the mapping has this many zeroed bytes, and lives as long as this.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and not used any more.
        unsafe { libc::munmap(self.start.cast_mut().cast(), self.len) };
    }
}
