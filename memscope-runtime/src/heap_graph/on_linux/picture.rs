//! A picture that stands still: a copy of the process, which searches and tells what it found.
//!
//! The copy sends no SIGCHLD, and the program's `wait` does not find it. It closes its copies of
//! the program's files at once, so that a connection that the program closes is closed. It ends
//! with the thread that made it, is the first to go when memory runs out, and leaves no core.

use std::{
    ffi::{c_int, c_void},
    fmt, io, mem, ptr,
    time::{Duration, Instant},
};

use super::{child, plan::Plan};
use crate::{alloc::AllBlocked, config, model::HumanBytes};

/// What the copy has told.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) words: Vec<u8>,
    /// How long the process stood still.
    pub(super) pause: Duration,
    /// Memory of the copy, by the pages that it had to be given.
    pub(super) bytes: u64,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCopy(why) => write!(f, "the system does not copy the process: {why}"),
            Self::Pause { estimate, limit } => write!(
                f,
                "copying the page tables would stop the process for about {} ms, and {} ms are allowed: raise \
                 `builder().holders_pause`",
                estimate.as_millis(),
                limit.as_millis(),
            ),
            Self::Memory { needed, left } => write!(
                f,
                "the copy of the process needs about {}, and the limit of its group leaves {}",
                HumanBytes(*needed),
                HumanBytes(*left),
            ),
            Self::TookTooLong(most) => {
                write!(f, "the copy of the process took longer than {} s", most.as_secs())
            }
            Self::Broken => f.write_str("the copy of the process ended before it had told all"),
        }
    }
}

/// Why there is no picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The system does not copy the process; its reason.
    NoCopy(String),
    /// The copy would stop the process for longer than the limit.
    Pause { estimate: Duration, limit: Duration },
    /// There is less memory left than the copy needs.
    Memory { needed: u64, left: u64 },
    /// The copy took longer than this.
    TookTooLong(Duration),
    /// The copy ended before it had told all.
    Broken,
}

/// A copy that takes longer is killed.
const MOST: Duration = Duration::from_secs(30);
/// What the copy may tell at most.
const MOST_WORDS: usize = 256 << 20;
const STACK_BYTES: usize = 1 << 20;

/// What the copy is told.
struct Task {
    plan: *const Plan,
    pipe: c_int,
    parent: libc::pid_t,
}

/// Makes the copy, and waits for what it tells.
pub(super) fn take(plan: &Plan) -> Result<Told, Refused> {
    estimate()?;
    let (reader, writer) = pipe().map_err(|error| Refused::NoCopy(error.to_string()))?;
    let stack = Stack::new().ok_or_else(last_error)?;
    let task = Task { plan, pipe: writer.0, parent: std::process::id().cast_signed() };
    let argument = (&raw const task).cast_mut().cast();
    let begun = Instant::now();
    let (copy, error) = {
        // In the copy too: no handler of the program's runs there.
        let _blocked = AllBlocked::new();
        // SAFETY: a static function, on a stack of its own. The copy has copies of the stack, the
        // plan and the task. It shares nothing, and no signal reports its end.
        let copy = unsafe { libc::clone(work, stack.top(), 0, argument) };
        (copy, io::Error::last_os_error())
    };
    let pause = begun.elapsed();
    drop(writer);
    if copy < 0 {
        return Err(Refused::NoCopy(error.to_string()));
    }
    let copy = Copy(copy);
    plan.threads.compare();
    let words = read_all(&reader, begun + MOST)?;
    Ok(Told { words, pause, bytes: copy.end() })
}

fn last_error() -> Refused {
    Refused::NoCopy(io::Error::last_os_error().to_string())
}

/// The copy; it is killed and taken off the list of processes when this is dropped.
struct Copy(libc::pid_t);

impl Copy {
    /// Waits for the end of the copy, which has closed the pipe. Returns the memory that it took.
    fn end(self) -> u64 {
        const PAGE: u64 = 4_096;
        let faults = self.wait();
        // It is gone already.
        mem::forget(self);
        faults.saturating_mul(PAGE)
    }

    /// Takes the copy off the list of processes. Returns the number of its page faults.
    fn wait(&self) -> u64 {
        // SAFETY: numbers, for which zero is a value.
        let mut usage = unsafe { mem::zeroed::<libc::rusage>() };
        loop {
            // SAFETY: waits for a child of this process; null: the status is not wanted.
            let ended =
                unsafe { libc::wait4(self.0, ptr::null_mut(), libc::__WALL, &raw mut usage) };
            if ended >= 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                return u64::try_from(usage.ru_minflt).unwrap_or(0);
            }
        }
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // SAFETY: no other code waits for this process, so the number is still its own. If it has
        // ended, this does nothing.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
        self.wait();
    }
}

/// Runs in the copy.
extern "C" fn work(task: *mut c_void) -> c_int {
    // SAFETY: the copy has the task that `take` passes.
    let task = unsafe { &*task.cast::<Task>().cast_const() };
    let is_alone = close_others(task.pipe);
    // SAFETY: takes numbers. The copy is killed when the thread that made it ends.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    // SAFETY: takes nothing. The parent may have ended before that call.
    let parent = unsafe { libc::getppid() };
    if parent == task.parent && is_alone {
        be_modest();
        // SAFETY: the copy has the plan too.
        child::run(unsafe { &*task.plan }, task.pipe);
    }
    // SAFETY: ends this process; the program's exit handlers do not run.
    unsafe { libc::_exit(0) }
}

/// Closes the copies of the program's files. Returns whether that is done.
fn close_others(pipe: c_int) -> bool {
    let pipe = pipe.cast_unsigned();
    let close = |first: u32, last: u32| {
        // SAFETY: the copy uses none of them, and they are the copy's own.
        first > last || unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } == 0
    };
    let below = pipe == 0 || close(0, pipe - 1);
    if below && close(pipe + 1, u32::MAX) {
        return true;
    }
    // A kernel before 5.9.
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: room for the limit.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    let most = c_int::try_from(limit.rlim_cur).unwrap_or(c_int::MAX).min(1 << 20);
    for file in (0..most).filter(|file| file.cast_unsigned() != pipe) {
        // SAFETY: as above.
        unsafe { libc::close(file) };
    }
    true
}

/// Lets the program go first.
fn be_modest() {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: reads the given limits. A crash of the copy is not a crash of the program.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
    // SAFETY: takes numbers.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 10) };
    // SAFETY: a text that ends with a zero.
    let file = unsafe { libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY) };
    if file >= 0 {
        let most = b"1000";
        // SAFETY: so many bytes are there.
        unsafe { libc::write(file, most.as_ptr().cast(), most.len()) };
        // SAFETY: opened above.
        unsafe { libc::close(file) };
    }
}

/// A file that is closed when this is dropped.
struct File(c_int);

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: opened by `pipe`, and this is its owner.
        unsafe { libc::close(self.0) };
    }
}

/// The two ends of a pipe, to read and to write.
fn pipe() -> Result<(File, File), io::Error> {
    let mut ends = [0; 2];
    // SAFETY: room for two numbers.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((File(ends[0]), File(ends[1])))
}

/// Reads until the other end is closed.
fn read_all(pipe: &File, until: Instant) -> Result<Vec<u8>, Refused> {
    let mut all = Vec::new();
    let mut piece = vec![0u8; 1 << 16];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Refused::TookTooLong(MOST));
        }
        let mut wait = libc::pollfd { fd: pipe.0, events: libc::POLLIN, revents: 0 };
        let milliseconds = c_int::try_from(left.as_millis()).unwrap_or(c_int::MAX).max(1);
        // SAFETY: one entry.
        if unsafe { libc::poll(&raw mut wait, 1, milliseconds) } <= 0 {
            continue;
        }
        // SAFETY: room for so many bytes.
        let count = unsafe { libc::read(pipe.0, piece.as_mut_ptr().cast(), piece.len()) };
        match usize::try_from(count) {
            Ok(0) => return Ok(all),
            Ok(count) if all.len() + count <= MOST_WORDS => {
                all.extend_from_slice(piece.get(..count).unwrap_or_default());
            }
            Err(_) if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => return Err(Refused::Broken),
        }
    }
}

/// The stack of the copy.
struct Stack(*mut c_void);

impl Stack {
    fn new() -> Option<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK;
        // SAFETY: new memory, which nothing else uses.
        let start = unsafe { libc::mmap(ptr::null_mut(), STACK_BYTES, protection, flags, -1, 0) };
        (start != libc::MAP_FAILED).then_some(Self(start))
    }

    fn top(&self) -> *mut c_void {
        self.0.wrapping_byte_add(STACK_BYTES)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`; the copy has its own.
        unsafe { libc::munmap(self.0, STACK_BYTES) };
    }
}

/// Refuses a picture that would cost the program too much.
fn estimate() -> Result<(), Refused> {
    /// Copying a KiB of page tables, which stand for half a MiB: 12 µs, measured on a slow machine
    /// (`docs/HOLDERS.md`).
    const NS_PER_KIB: u64 = 12_000;
    const NS_ALWAYS: u64 = 500_000;
    /// Memory of the copy for each block, and for what the program writes meanwhile.
    const BYTES_PER_BLOCK: u64 = 140;
    const BYTES_ALWAYS: u64 = 16 << 20;
    let limit = config::holders_pause();
    if let Some(tables) = super::system::page_table_kib() {
        let estimate = Duration::from_nanos(NS_ALWAYS + tables.saturating_mul(NS_PER_KIB));
        if estimate > limit {
            return Err(Refused::Pause { estimate, limit });
        }
    }
    let blocks = child::live().0;
    let needed = BYTES_ALWAYS + blocks.saturating_mul(BYTES_PER_BLOCK);
    match super::system::memory_left() {
        Some(left) if left < needed => Err(Refused::Memory { needed, left }),
        _ => Ok(()),
    }
}
