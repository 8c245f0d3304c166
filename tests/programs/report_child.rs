//! Ends in the way that its first argument names. `tests/reports/report_file/main.rs` starts it.

#![expect(clippy::print_stdout, reason = "that is how it talks to the test")]

use std::{
    io::{Read, Write},
    process,
    sync::Mutex,
    thread,
    time::Duration,
};

use memscope_rs::{
    Timing,
    async_memory::{get_memory_snapshot, initialize, track},
    builder, report_guard,
};
use memscope_tests::{block_on, poll};

memscope_tests::install!();

/// What every report of this program must show.
fn leave_something() {
    std::mem::forget(block_on(track(async { vec![1u8; 12_345] }).named("left behind")));
}

fn ready() {
    println!("ready");
    std::io::stdout().flush().expect("stdout");
}

fn wait_for_the_end() -> ! {
    ready();
    loop {
        thread::sleep(Duration::from_mins(1));
    }
}

struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic!("wanted: the second one");
    }
}

extern "C" fn cannot_unwind() {
    panic!("wanted: across the border");
}

/// How a forked child ends: the status as `waitpid` gives it.
#[cfg(unix)]
fn fork(child: impl FnOnce()) -> i32 {
    let mut status = -1;
    // SAFETY: this program has only the threads of memscope's reports, which hold no lock that the
    // child needs.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        child();
    }
    // SAFETY: a place for the status.
    unsafe { libc::waitpid(pid, &raw mut status, 0) };
    status
}

/// Loads a library that has its own copy of memscope, and has it leave something behind.
#[cfg(unix)]
fn load_plugin(path: &str) {
    let path = std::ffi::CString::new(path).expect("no zero");
    // SAFETY: a C string, of a library whose constructors may run now.
    let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    assert!(!library.is_null(), "{path:?} is built with the tests");
    // SAFETY: a library that stays loaded, and a C string.
    let function = unsafe { libc::dlsym(library, c"leave_something_in_plugin".as_ptr()) };
    assert!(!function.is_null());
    // SAFETY: the library has this function under this name.
    let function = unsafe { std::mem::transmute::<*mut libc::c_void, extern "C" fn()>(function) };
    function();
}

fn until_there(path: &str) {
    let end = std::time::Instant::now() + Duration::from_secs(20);
    while !std::path::Path::new(path).exists() && std::time::Instant::now() < end {
        thread::sleep(Duration::from_millis(5));
    }
}

#[expect(clippy::too_many_lines, reason = "one short arm for each way to end")]
fn main() {
    let mut arguments = std::env::args().skip(1);
    let how = arguments.next().expect("how to end");
    let path = arguments.next().unwrap_or_default();
    if how == "nothing" {
        return;
    }
    leave_something();
    match how.as_str() {
        "return" => {}
        "keep, then return" => {
            static KEPT: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
            for _ in 0..40 {
                let page = block_on(track(async { vec![1u8; 4_000] }).named("kept"));
                KEPT.lock().expect("no panic").push(page);
            }
        }
        "exit" => process::exit(3),
        "exit in a thread" => {
            thread::spawn(|| process::exit(4)).join().expect("never");
        }
        "panic" => panic!("wanted: the end"),
        "panic elsewhere" => {
            let panicked = thread::spawn(|| panic!("wanted: a thread")).join();
            assert!(panicked.is_err());
            wait_for_the_end();
        }
        "panic and abort" => cannot_unwind(),
        "panic twice" => {
            let _guard = PanicsWhenDropped;
            panic!("wanted: the first one");
        }
        "panic with a hook" => {
            let previous = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                eprintln!("the program's hook");
                previous(panic);
            }));
            panic!("wanted: the end");
        }
        "exit while tasks run" => {
            let runtime = memscope_tests::workers(2);
            for _ in 0..8 {
                runtime.spawn(track(async {
                    loop {
                        drop(vec![0u8; 100]);
                        tokio::task::yield_now().await;
                    }
                }));
            }
            for _ in 0..4 {
                thread::spawn(|| {
                    loop {
                        drop(get_memory_snapshot());
                    }
                });
            }
            thread::sleep(Duration::from_millis(20));
            process::exit(0);
        }
        "wait" => wait_for_the_end(),
        "guard" => {
            let _report = report_guard().to(path);
            ready();
            std::io::stdin().read_exact(&mut [0]).expect("a byte");
        }
        "default guard" => drop(report_guard()),
        "guard every" => {
            let _report = report_guard().to(path).every(Duration::ZERO);
            wait_for_the_end();
        }
        "guard of another folder" => {
            let report = report_guard().to(path);
            std::env::set_current_dir("/").expect("a folder");
            drop(report);
        }
        "ctrl_c" => block_on(async {
            let mut signal = Box::pin(tokio::signal::ctrl_c());
            assert!(poll(&mut signal).is_pending(), "the handler is installed by the first poll");
            ready();
            signal.await.expect("a handler");
            println!("got it");
        }),
        "graceful" => block_on(async {
            let held = Box::pin(track(async { vec![1u8; 5_000_000] }).named("held"));
            let held = held.await;
            let mut signal = Box::pin(tokio::signal::ctrl_c());
            assert!(poll(&mut signal).is_pending(), "the handler is installed by the first poll");
            ready();
            signal.await.expect("a handler");
            until_there(&path);
            drop(held);
        }),
        "panic, then return" => {
            let held = block_on(track(async { vec![1u8; 5_000_000] }).named("held"));
            assert!(thread::spawn(|| panic!("wanted: a thread")).join().is_err());
            drop(held);
        }
        "guard, then return" => {
            let held = block_on(track(async { vec![1u8; 5_000_000] }).named("held"));
            drop(report_guard());
            drop(held);
        }
        "write_to" => {
            if let Err(error) = get_memory_snapshot().write_to(&path) {
                println!("{error}");
            }
        }
        "talk" => {
            println!("line one");
            drop(report_guard());
            println!("line two");
        }
        "a program of its own" => {
            let program = std::env::current_exe().expect("a program");
            let status = process::Command::new(program).arg("return").status();
            assert!(status.expect("it starts").success());
        }
        #[cfg(unix)]
        "plugin" => load_plugin(&path),
        #[cfg(unix)]
        "ids" => {
            // SAFETY: returns a number.
            let real = unsafe { libc::getuid() };
            // SAFETY: the same.
            let effective = unsafe { libc::geteuid() };
            println!("{real} {effective}");
        }
        "abort" => process::abort(),
        #[cfg(unix)]
        // SAFETY: ends the process; there is nothing to be kept.
        "_exit" => unsafe { libc::_exit(5) },
        #[cfg(unix)]
        "exec" => {
            let error =
                std::os::unix::process::CommandExt::exec(&mut process::Command::new("true"));
            panic!("{error}");
        }
        "failed allocation" => {
            std::alloc::handle_alloc_error(std::alloc::Layout::new::<[u8; 1 << 20]>())
        }
        "a hook that does not chain" => {
            std::panic::set_hook(Box::new(|_| eprintln!("the program's hook")));
            cannot_unwind();
        }
        "fork and return" => {
            #[cfg(unix)]
            println!("{}", fork(|| drop(report_guard().to("of-the-child.json"))));
        }
        #[cfg(unix)]
        "terminate" => block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let mut signals = signal(SignalKind::terminate()).expect("a handler");
            let _report = (!path.is_empty()).then(|| report_guard().to(path));
            ready();
            for _ in 0..3 {
                signals.recv().await;
                println!("got it");
            }
        }),
        "settings" => {
            // What code says wins, the rest is the environment's.
            builder().timing(Timing::EveryTask).init().expect("in range");
            block_on(initialize()).expect("nothing can fail");
            for _ in 0..50 {
                let mut task = Box::pin(track(async {}));
                assert!(poll(&mut task).is_ready());
            }
            let snapshot = get_memory_snapshot();
            let ended = snapshot.tasks().iter().filter(|task| task.state.is_ended()).count();
            let timed = snapshot.tasks().iter().filter(|task| task.busy_ns.is_some()).count();
            println!("{ended} rows, {timed} timed");
        }
        #[cfg(unix)]
        "fork" => {
            let child = fork(|| {
                drop(std::panic::catch_unwind(|| panic!("wanted: in the child")));
                process::exit(0);
            });
            println!("{child}");
        }
        #[cfg(unix)]
        "fork and be killed" => {
            let child = fork(|| {
                // SAFETY: sends a signal to this thread.
                unsafe { libc::raise(libc::SIGTERM) };
                process::exit(0);
            });
            println!("{child}");
        }
        other => panic!("no such end: {other}"),
    }
}
