//! Threads whose thread-locals have destructors, and what these see of Tokio. Each thread prints
//! what it sees, in order.

use std::{cell::RefCell, future::Future, pin::Pin, sync::mpsc, task::Waker, thread};

use tokio::runtime::{Builder, Handle, Runtime};

pub(crate) type Work = Pin<Box<dyn Future<Output = ()>>>;

/// What a destructor does besides saying that it runs.
#[derive(Clone, Copy)]
enum Does {
    Nothing,
    /// Asks whether there is a runtime here.
    Asks,
    /// Runs a task on a runtime of its own.
    RunsTokio,
}

struct Says(&'static str, Does, Option<Box<u32>>);

impl Drop for Says {
    fn drop(&mut self) {
        let Self(name, does, _) = self;
        match does {
            Does::Nothing => println!("  {name}"),
            Does::Asks => println!("  {name}: {}", tokio_here()),
            Does::RunsTokio => println!("  {name}: {} from a task", one_task(&current_thread())),
        }
    }
}

/// What Tokio says of this thread.
fn tokio_here() -> &'static str {
    match Handle::try_current() {
        Ok(_) => "a runtime",
        Err(error) if error.is_thread_local_destroyed() => "Tokio's thread-local is gone",
        Err(_) => "no runtime",
    }
}

type Local = RefCell<Option<Says>>;

thread_local! {
    static FIRST: Local = const { RefCell::new(None) };
    static SECOND: Local = const { RefCell::new(None) };
    static THIRD: Local = const { RefCell::new(None) };
}

/// Registers the destructor, without an allocation.
fn register(local: &'static thread::LocalKey<Local>, name: &'static str, does: Does) {
    local.with_borrow_mut(|says| *says = Some(Says(name, does, None)));
}

/// An allocation, freed by the destructor.
fn allocate(local: &'static thread::LocalKey<Local>) {
    local.with_borrow_mut(|says| says.as_mut().expect("registered").2 = Some(Box::new(1)));
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().build().expect("a runtime")
}

fn one_task(runtime: &Runtime) -> u32 {
    runtime.block_on(async { tokio::spawn(async { *Box::new(7) }).await.expect("no panic") })
}

#[repr(align(128))]
struct Aligned([u8; 128]);

/// What a thread does, beside registering destructors.
type Body = fn(&Handle, fn(Work));

const BODIES: &[(&str, Body)] = &[
    ("a destructor registered before the first allocation runs Tokio", |_, _| {
        register(&FIRST, "first", Does::RunsTokio);
        allocate(&FIRST);
    }),
    ("a destructor registered after the first allocation runs Tokio", |_, _| {
        drop(std::hint::black_box(Box::new(1)));
        register(&FIRST, "first", Does::RunsTokio);
        allocate(&FIRST);
    }),
    ("Tokio runs between two destructors", |_, _| {
        register(&FIRST, "first", Does::Asks);
        allocate(&FIRST);
        println!("  {}", one_task(&current_thread()));
        register(&SECOND, "second", Does::RunsTokio);
        allocate(&SECOND);
    }),
    ("Tokio runs after allocations and two destructors", |_, _| {
        register(&FIRST, "first", Does::Asks);
        allocate(&FIRST);
        register(&SECOND, "second", Does::Asks);
        allocate(&SECOND);
        println!("  {}", one_task(&current_thread()));
        register(&THIRD, "third", Does::Asks);
        allocate(&THIRD);
    }),
    ("blocks are aligned as Tokio's cells", |_, _| {
        register(&FIRST, "first", Does::RunsTokio);
        allocate(&FIRST);
        let (sender, mut receiver) = tokio::sync::mpsc::channel(4);
        sender.try_send(std::hint::black_box(Box::new(Aligned([1; 128])))).expect("room");
        println!("  {}", receiver.try_recv().expect("sent").0[0]);
        register(&SECOND, "second", Does::Nothing);
        allocate(&SECOND);
    }),
    ("a blocking task is spawned elsewhere", |_, _| {
        register(&FIRST, "first", Does::RunsTokio);
        allocate(&FIRST);
        let (sender, receiver) = mpsc::channel();
        // A runtime whose pool has no threads yet.
        let runtime = thread::spawn(current_thread).join().expect("no panic");
        drop(runtime.spawn_blocking(move || sender.send(1)));
        println!("  {}", receiver.recv().expect("sent"));
        thread::spawn(move || drop(runtime)).join().expect("no panic");
    }),
    ("a task is spawned elsewhere, and its output dropped here", |elsewhere, _| {
        register(&FIRST, "first", Does::Asks);
        allocate(&FIRST);
        let (sender, receiver) = mpsc::channel();
        let task = elsewhere.spawn(async move {
            sender.send(1).expect("received");
            vec![1_u8; 100]
        });
        println!("  {}", receiver.recv().expect("sent"));
        while !task.is_finished() {
            thread::yield_now();
        }
        drop(task);
        register(&SECOND, "second", Does::Asks);
        allocate(&SECOND);
    }),
    ("a waker of a task outlives it", |elsewhere, _| {
        register(&FIRST, "first", Does::RunsTokio);
        allocate(&FIRST);
        let (sender, receiver) = mpsc::channel();
        let spawner = elsewhere.clone();
        let spawn = move || {
            let task = spawner.spawn(std::future::poll_fn(move |context| {
                drop(sender.send(Waker::clone(context.waker())));
                std::task::Poll::Ready(())
            }));
            while !task.is_finished() {
                thread::yield_now();
            }
        };
        thread::spawn(spawn).join().expect("no panic");
        drop(receiver.recv().expect("sent"));
    }),
    ("a future is run without Tokio", |_, run| {
        register(&FIRST, "first", Does::RunsTokio);
        allocate(&FIRST);
        run(Box::pin(async {
            println!("  {}", vec![1_u8; 5_000].len());
        }));
        register(&SECOND, "second", Does::Nothing);
        allocate(&SECOND);
    }),
];

/// `run`: how a future is run without Tokio.
pub(crate) fn main(run: fn(Work)) {
    println!("there was no task in this process");
    let first = || {
        register(&FIRST, "first", Does::RunsTokio);
        allocate(&FIRST);
    };
    thread::spawn(first).join().expect("no panic");
    let workers = Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
    for (what, body) in BODIES {
        println!("{what}");
        let handle = workers.handle().clone();
        let thread = thread::spawn(move || body(&handle, run));
        thread.join().expect("no panic");
    }
    // The main thread's run when the process exits.
    register(&FIRST, "main's", Does::RunsTokio);
    allocate(&FIRST);
}
