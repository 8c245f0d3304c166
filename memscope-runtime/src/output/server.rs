//! What the crate `memscope-server` needs of the runtime: threads, bytes and snapshots that are
//! memscope's own, and the variable `MEMSCOPE_SERVE`.
//!
//! The runtime does not depend on the server. A program that links the server has it [registered]
//! (register) before `main`. The first task, the second thread or `init` then starts a thread that
//! calls it.

use std::{ffi::CStr, fmt, io};

use crate::{
    alloc::{self, Background, current::exempt, own_threads},
    environment::Environment,
    output::start,
    primitives::{
        Lock, Pending, StaticRef, pending_starts,
        sync::{AtomicU8, AtomicU32, Ordering},
    },
    snapshot::{MemorySnapshot, for_server},
};

/// What the environment asks of the server.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The text of the variable, which may be no valid address.
    pub address: &'a str,
    /// The token that each request must carry.
    pub token: Option<&'a str>,
    /// Whether the address may be another one than loopback.
    pub is_remote: bool,
}

/// A function that starts the server, and says on stderr why it cannot.
type Serve = fn(Wanted<'_>);

static SERVE: StaticRef<Serve> = StaticRef::none();
/// Whether the server has been started, or a thread is about to.
static STARTED: AtomicU8 = AtomicU8::new(0);

/// Registers the function that the variable `MEMSCOPE_SERVE` calls. May be called before `main`.
pub fn register(serve: &'static Serve) {
    SERVE.set(serve);
}

/// Requests a start of the server at the next occasion, if the environment asks for it.
pub(crate) fn want(environment: &Environment) {
    static START: fn() = start_once;
    if environment.serve.is_some() {
        pending_starts::want(Pending::Server, &START);
    }
}

/// Starts the server now, if the environment asks for it. Must not be called in the allocator.
pub(crate) fn start_if_wanted() {
    if start::environment().serve.is_some() {
        start_once();
    }
}

/// Starts the thread that starts the server, once. May be called in the allocator: takes no lock
/// and no memory from the program's heap.
fn start_once() {
    if STARTED.swap(1, Ordering::Relaxed) == 0 && own_threads::spawn::<Starter>(0).is_err() {
        // The system refuses to create a thread; the next call of `init` tries again.
        STARTED.store(0, Ordering::Relaxed);
    }
}

struct Starter;

impl Background for Starter {
    const NAME: &'static CStr = c"memscope-start";
    const STACK_BYTES: usize = 1 << 20;

    fn run(_: u32) {
        let environment = start::environment();
        let Some(address) = &environment.serve else { return };
        let Some(serve) = SERVE.get() else {
            warn(format_args!(
                "MEMSCOPE_SERVE does nothing: this program is built without memscope's feature \
                 `server`"
            ));
            return;
        };
        serve(Wanted {
            address,
            token: environment.serve_token.as_deref(),
            is_remote: environment.serves_remote,
        });
    }
}

/// Runs `work` with its memory charged to no task or thread: it is memscope's own.
///
/// Memory that outlives the call must be freed inside another call.
pub fn own<T>(work: impl FnOnce() -> T) -> T {
    exempt(work)
}

/// Takes a snapshot that is memscope's own memory. Must be called, and its result dropped, inside
/// [`own`].
pub fn snapshot() -> MemorySnapshot {
    for_server()
}

/// Prints one line on stderr, which starts with `memscope:`.
pub fn warn(line: fmt::Arguments<'_>) {
    alloc::warn(line);
}

/// What a new thread does.
type Work = Box<dyn FnOnce() + Send>;

/// The work of threads that have not begun, by number.
static WORK: Lock<Vec<(u32, Work)>> = Lock::new(Vec::new());

/// Runs `work` on a new thread that is memscope's own: all its memory is memscope's, and it takes
/// no signal of the program's. Must be called inside [`own`].
///
/// # Errors
///
/// When the system cannot start a thread. The work is dropped then.
pub fn spawn(work: Box<dyn FnOnce() + Send>) -> io::Result<()> {
    static NUMBERS: AtomicU32 = AtomicU32::new(0);
    let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
    WORK.lock().push((number, work));
    own_threads::spawn::<Worker>(number).map_err(|error| {
        drop(take(number));
        io::Error::other(error.to_string())
    })
}

fn take(number: u32) -> Option<Work> {
    let mut work = WORK.lock();
    let at = work.iter().position(|(it, _)| *it == number)?;
    Some(work.swap_remove(at).1)
}

struct Worker;

impl Background for Worker {
    const NAME: &'static CStr = c"memscope-serve";
    const STACK_BYTES: usize = 2 << 20;

    fn run(number: u32) {
        if let Some(work) = take(number) {
            work();
        }
    }
}
