//! A picture that stands still: a copy of the process, which reads and tells what it found.
//!
//! The copy sends no SIGCHLD, and the program's `wait` does not find it. It closes its copies of
//! the program's files at once, so that a connection that the program closes is closed. It ends
//! with the thread that made it, is the first to go when memory runs out, and leaves no core.

use std::{
    ffi::{c_int, c_void},
    fmt, io, mem, ptr,
    time::{Duration, Instant},
};

use super::system;
use crate::{alloc::AllBlocked, config, model::HumanBytes, resident};

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
pub(crate) enum Refused {
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
const STACK_BYTES: usize = 1 << 20;

/// How the copy and the process speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Channel {
    /// The copy tells, and the process listens.
    Pipe,
    /// The process asks, too.
    Socket,
}

/// What the copy is told: what it reads, and what it does.
struct Task<T> {
    told: *const T,
    work: fn(&T, c_int),
    channel: c_int,
    parent: libc::pid_t,
}

/// A copy of the process, as long as it works. It is killed when this is dropped.
pub(crate) struct Picture {
    channel: File,
    copy: Copy,
    until: Instant,
    /// How long the process stood still.
    pub(crate) pause: Duration,
}

impl Picture {
    /// Makes the copy, which does this work with what it is told. `needed`: bytes that it may need.
    ///
    /// The work runs alone. Other threads may have held any lock at the moment of the copy, so it
    /// takes no lock and uses no allocator.
    pub(crate) fn take<T>(
        told: &T,
        work: fn(&T, c_int),
        channel: Channel,
        needed: u64,
    ) -> Result<Self, Refused> {
        estimate(needed)?;
        let (own, theirs) = channel.open().map_err(|error| Refused::NoCopy(error.to_string()))?;
        let stack = Stack::new().ok_or_else(last_error)?;
        let parent = std::process::id().cast_signed();
        let task = Task { told, work, channel: theirs.0, parent };
        let argument = (&raw const task).cast_mut().cast();
        let shared_bytes = resident::anonymous().unwrap_or(0);
        let begun = Instant::now();
        let (copy, error) = {
            // In the copy too: no handler of the program's runs there.
            let _blocked = AllBlocked::new();
            // SAFETY: a static function, on a stack of its own. The copy has copies of the stack,
            // the task and what it is told. It shares nothing, and no signal reports its end.
            let copy = unsafe { libc::clone(run::<T>, stack.top(), 0, argument) };
            (copy, io::Error::last_os_error())
        };
        let pause = begun.elapsed();
        drop(theirs);
        if copy < 0 {
            return Err(Refused::NoCopy(error.to_string()));
        }
        Ok(Self {
            channel: own,
            copy: Copy { process: copy, shared_bytes },
            until: begun + MOST,
            pause,
        })
    }

    /// Reads what the copy tells next; nothing if it has ended.
    pub(crate) fn read<'p>(&self, piece: &'p mut [u8]) -> Result<&'p [u8], Refused> {
        loop {
            let left = self.until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Refused::TookTooLong(MOST));
            }
            let mut wait = libc::pollfd { fd: self.channel.0, events: libc::POLLIN, revents: 0 };
            let milliseconds = c_int::try_from(left.as_millis()).unwrap_or(c_int::MAX).max(1);
            // SAFETY: one entry.
            if unsafe { libc::poll(&raw mut wait, 1, milliseconds) } <= 0 {
                continue;
            }
            // SAFETY: room for this many bytes.
            let count =
                unsafe { libc::read(self.channel.0, piece.as_mut_ptr().cast(), piece.len()) };
            match usize::try_from(count) {
                Ok(count) => return Ok(piece.get(..count).unwrap_or_default()),
                Err(_) if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Refused::Broken),
            }
        }
    }

    /// Asks the copy. At most [`MOST_ASKED`] bytes fit at once, if all earlier answers were read.
    pub(crate) fn ask(&self, words: &[u64]) -> Result<(), Refused> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let mut left = &bytes[..];
        while !left.is_empty() {
            let flags = libc::MSG_NOSIGNAL;
            // SAFETY: this many bytes are there.
            let count =
                unsafe { libc::send(self.channel.0, left.as_ptr().cast(), left.len(), flags) };
            match usize::try_from(count) {
                Ok(count) => left = left.get(count..).unwrap_or_default(),
                Err(_) if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Refused::Broken),
            }
        }
        Ok(())
    }

    /// Says that nothing more is asked, and waits for the end. Returns the memory that the copy
    /// took.
    pub(crate) fn end(self) -> Result<u64, Refused> {
        // SAFETY: this is its owner.
        unsafe { libc::shutdown(self.channel.0, libc::SHUT_WR) };
        let mut rest = [0; 8];
        if self.read(&mut rest)?.is_empty() { Ok(self.copy.end()) } else { Err(Refused::Broken) }
    }
}

/// What the copy is asked at once, in bytes: the buffer of a socket has more room.
pub(crate) const MOST_ASKED: usize = 1 << 13;

fn last_error() -> Refused {
    Refused::NoCopy(io::Error::last_os_error().to_string())
}

/// The copy; it is killed and taken off the list of processes when this is dropped.
struct Copy {
    process: libc::pid_t,
    /// Memory that it began with, whose pages it shares with the process. Pages of files come when
    /// it reads them.
    shared_bytes: u64,
}

impl Copy {
    /// Waits for the end of the copy, which has closed the pipe. Returns the memory that it took at
    /// one time, at most: what the system counts more than at its start.
    fn end(self) -> u64 {
        let most_bytes = self.wait().saturating_mul(1 << 10);
        let own_bytes = most_bytes.saturating_sub(self.shared_bytes);
        // It is gone already.
        mem::forget(self);
        own_bytes
    }

    /// Takes the copy off the list of processes. Returns the most KiB that were resident.
    fn wait(&self) -> u64 {
        // SAFETY: numbers, for which zero is a value.
        let mut usage = unsafe { mem::zeroed::<libc::rusage>() };
        loop {
            // SAFETY: waits for a child of this process; null: the status is not wanted.
            let ended =
                unsafe { libc::wait4(self.process, ptr::null_mut(), libc::__WALL, &raw mut usage) };
            if ended >= 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                return u64::try_from(usage.ru_maxrss).unwrap_or(0);
            }
        }
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // SAFETY: no other code waits for this process, so the number is still its own. If it has
        // ended, this does nothing.
        unsafe { libc::kill(self.process, libc::SIGKILL) };
        self.wait();
    }
}

/// Runs in the copy.
extern "C" fn run<T>(task: *mut c_void) -> c_int {
    // SAFETY: the copy has the task that `take` passes.
    let task = unsafe { &*task.cast::<Task<T>>().cast_const() };
    let is_alone = close_others(task.channel);
    // SAFETY: takes numbers. The copy is killed when the thread that made it ends.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    // SAFETY: takes nothing. The parent may have ended before that call.
    let parent = unsafe { libc::getppid() };
    if parent == task.parent && is_alone {
        be_modest();
        // SAFETY: the copy has it too.
        let told = unsafe { &*task.told };
        (task.work)(told, task.channel);
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
        // SAFETY: this many bytes are there.
        unsafe { libc::write(file, most.as_ptr().cast(), most.len()) };
        // SAFETY: opened above.
        unsafe { libc::close(file) };
    }
}

/// A file that is closed when this is dropped.
#[derive(Debug)]
struct File(c_int);

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: opened by `Channel::open`, and this is its owner.
        unsafe { libc::close(self.0) };
    }
}

impl Channel {
    /// The two ends: the process's, and the copy's.
    fn open(self) -> Result<(File, File), io::Error> {
        let mut ends = [0; 2];
        let made = match self {
            // SAFETY: room for two numbers.
            Self::Pipe => unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) },
            Self::Socket => {
                let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
                // SAFETY: room for two numbers.
                unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) }
            }
        };
        if made == 0 { Ok((File(ends[0]), File(ends[1]))) } else { Err(io::Error::last_os_error()) }
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

/// What the copy needs at least, with what the program writes meanwhile.
pub(crate) const BYTES_ALWAYS: u64 = 16 << 20;

/// Refuses a picture that would cost the program too much.
fn estimate(needed: u64) -> Result<(), Refused> {
    /// Copying a KiB of page tables, which stand for half a MiB: 12 µs, measured on a slow machine
    /// (`docs/HOLDERS.md`).
    const NS_PER_KIB: u64 = 12_000;
    const NS_ALWAYS: u64 = 500_000;
    let limit = config::holders_pause();
    if let Some(tables) = system::page_table_kib() {
        let estimate = Duration::from_nanos(NS_ALWAYS + tables.saturating_mul(NS_PER_KIB));
        if estimate > limit {
            return Err(Refused::Pause { estimate, limit });
        }
    }
    match system::memory_left() {
        Some(left) if left < needed => Err(Refused::Memory { needed, left }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_copy_that_crashes_is_an_error_and_nothing_else() {
        let crash = |(): &(), _: c_int| {
            // SAFETY: ends this process, the copy, as a wrong address would.
            unsafe { libc::raise(libc::SIGKILL) };
        };
        for channel in [Channel::Pipe, Channel::Socket] {
            let picture = Picture::take(&(), crash, channel, 0).expect("a copy");
            assert!(picture.read(&mut [0; 8]).expect("no error").is_empty(), "it has told nothing");
            let ended = picture.end();
            assert!(ended.is_ok() || ended == Err(Refused::Broken), "{ended:?}");
        }
        let picture = Picture::take(&(), crash, Channel::Socket, 0).expect("a copy");
        thread::sleep(Duration::from_millis(50));
        assert_eq!(picture.ask(&[1, 2, 3]), Err(Refused::Broken), "and no signal of a closed pipe");
    }

    #[test]
    fn more_memory_than_there_is_is_refused() {
        let Some(left) = system::memory_left() else { return };
        let refused = Picture::take(&(), |(), _| {}, Channel::Pipe, left.saturating_mul(2));
        assert!(matches!(refused.err(), Some(Refused::Memory { .. })));
    }
}
