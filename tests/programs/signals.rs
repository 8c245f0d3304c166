//! A host that uses signals, descriptors, namespaces and processes as its first argument says.
//! `tests/host/signals.rs` starts it.
//!
//! It asks for no report itself: the environment does.

#![expect(clippy::print_stdout, reason = "that is how it talks to the test")]

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        collections::BTreeMap,
        ffi::c_int,
        fs::{self, File},
        io::{Read, Write},
        mem::{MaybeUninit, zeroed},
        os::fd::{AsRawFd, FromRawFd},
        path::{Path, PathBuf},
        process::{self, Command, Stdio},
        ptr,
        sync::atomic::{AtomicI32, AtomicUsize, Ordering},
        thread,
        time::{Duration, Instant},
    };

    use memscope_rs::{async_memory::track, init, report_guard};
    use memscope_tests::{poll, workers};

    memscope_tests::install!();

    const FIVE_SECONDS: libc::timespec = libc::timespec { tv_sec: 5, tv_nsec: 0 };

    /// Has the threads of memscope start that start with a task.
    fn poll_a_task() {
        let mut task = Box::pin(track(async { vec![1u8; 12_345] }).named("left behind"));
        std::mem::forget(poll(&mut task));
    }

    fn say(line: &str) {
        println!("{line}");
        std::io::stdout().flush().expect("stdout");
    }

    fn wait_for_a_byte() {
        std::io::stdin().read_exact(&mut [0]).expect("a byte");
    }

    fn sleep_for_ever() -> ! {
        say("ready");
        loop {
            thread::sleep(Duration::from_mins(1));
        }
    }

    /// The numbers and names of this process's threads.
    fn threads() -> BTreeMap<String, String> {
        let tasks = fs::read_dir("/proc/self/task").expect("proc");
        let name = |path: PathBuf| fs::read_to_string(path.join("comm")).unwrap_or_default();
        tasks
            .map(|task| task.expect("a thread"))
            .map(|task| {
                let number = task.file_name().to_string_lossy().into_owned();
                (number, name(task.path()).trim_end().to_owned())
            })
            .collect()
    }

    /// Waits until threads of these names exist.
    fn wait_for_threads(names: &[&str]) {
        let start = Instant::now();
        while !names.iter().all(|name| threads().values().any(|there| there == name)) {
            assert!(start.elapsed() < Duration::from_secs(20), "{:?}", threads());
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// A field of what the system says of a thread; `None` if the thread has ended.
    fn field(thread: &str, name: &str) -> Option<String> {
        let status = fs::read_to_string(format!("/proc/self/task/{thread}/status")).ok()?;
        let value = status.lines().find_map(|line| line.strip_prefix(name));
        Some(value.expect("the field").trim().to_owned())
    }

    /// The signals that this thread has blocked.
    fn own_mask() -> String {
        // SAFETY: always succeeds.
        let number = unsafe { libc::gettid() };
        field(&number.to_string(), "SigBlk:").expect("it runs")
    }

    fn set(signals: &[c_int]) -> libc::sigset_t {
        let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
        // SAFETY: a place for a set.
        unsafe { libc::sigemptyset(set.as_mut_ptr()) };
        for signal in signals {
            // SAFETY: a set made by `sigemptyset`.
            unsafe { libc::sigaddset(set.as_mut_ptr(), *signal) };
        }
        // SAFETY: made above.
        unsafe { set.assume_init() }
    }

    fn block(signals: &[c_int]) {
        // SAFETY: a whole set; the old one is not asked for.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set(signals), ptr::null_mut()) };
    }

    fn send(signal: c_int) {
        let here = i32::try_from(process::id()).expect("a process id");
        // SAFETY: sends a signal to this process.
        assert_eq!(unsafe { libc::kill(here, signal) }, 0);
    }

    /// The signal that waits for this process, by `sigtimedwait`.
    fn take(signals: &[c_int]) -> c_int {
        // SAFETY: a whole set and time; what is known of the signal is not asked for.
        unsafe { libc::sigtimedwait(&set(signals), ptr::null_mut(), &FIVE_SECONDS) }
    }

    /// Threads that poll one task after the other.
    fn keep_busy() {
        for _ in 0..3 {
            thread::spawn(|| {
                loop {
                    assert!(poll(&mut Box::pin(track(async { vec![0u8; 100] }))).is_ready());
                    thread::sleep(Duration::from_micros(200));
                }
            });
        }
    }

    /// Blocks SIGTERM, and takes it much later while other threads are busy.
    fn busy(is_blocked_first: bool) {
        if is_blocked_first {
            block(&[libc::SIGTERM]);
        }
        init();
        poll_a_task();
        wait_for_threads(&["memscope", "memscope-signal"]);
        block(&[libc::SIGTERM]);
        keep_busy();
        send(libc::SIGTERM);
        // A thread that takes signals would take it now.
        thread::sleep(Duration::from_millis(20));
        say(&format!("the host finds signal {}", take(&[libc::SIGTERM])));
    }

    /// The same by `signalfd`.
    fn signal_descriptor() {
        init();
        poll_a_task();
        keep_busy_after_block();
        // SAFETY: a whole set; makes a new descriptor.
        let number = unsafe { libc::signalfd(-1, &set(&[libc::SIGTERM]), libc::SFD_CLOEXEC) };
        // SAFETY: made above.
        let mut file = unsafe { File::from_raw_fd(number) };
        send(libc::SIGTERM);
        let mut told = [0; size_of::<libc::signalfd_siginfo>()];
        file.read_exact(&mut told).expect("a signal");
        say(&format!("the host reads signal {}", told[0]));
    }

    fn keep_busy_after_block() {
        block(&[libc::SIGTERM]);
        keep_busy();
    }

    /// Closes all descriptors that it does not know, and writes to files of its own, in this
    /// folder.
    fn close_descriptors(folder: &Path, is_late: bool) {
        const FROM: u32 = 3;
        if is_late {
            poll_a_task();
            wait_for_threads(&["memscope-signal"]);
        }
        // SAFETY: nothing in this program has a descriptor yet.
        assert_eq!(unsafe { libc::close_range(FROM, u32::MAX, 0) }, 0);
        let mut files: Vec<File> = (0..40)
            .map(|number| File::create(folder.join(format!("{number}.own"))).expect("a file"))
            .collect();
        let numbers: Vec<i32> = files.iter().map(AsRawFd::as_raw_fd).collect();
        assert_eq!(numbers, (3..43).collect::<Vec<_>>(), "nothing was open");
        poll_a_task();
        for round in 0..20 {
            for (number, file) in files.iter_mut().enumerate() {
                writeln!(file, "file {number} round {round}").expect("its own descriptor");
            }
            thread::sleep(Duration::from_millis(10));
        }
        for number in numbers {
            // SAFETY: asks for the flags of a descriptor.
            assert!(unsafe { libc::fcntl(number, libc::F_GETFD) } >= 0, "{number} was closed");
        }
        sleep_for_ever();
    }

    static TAKEN: AtomicI32 = AtomicI32::new(0);
    static BEFORE: AtomicUsize = AtomicUsize::new(0);

    extern "C" fn count(_: c_int) {
        TAKEN.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts, and calls the handler that was there before.
    extern "C" fn count_and_chain(signal: c_int) {
        count(signal);
        let before = BEFORE.load(Ordering::Relaxed);
        if before != libc::SIG_DFL && before != libc::SIG_IGN {
            // SAFETY: `sigaction` said that this is the handler.
            let before: extern "C" fn(c_int) = unsafe { std::mem::transmute(before) };
            before(signal);
        }
    }

    /// Installs a handler, and keeps the one before.
    fn handle(signal: c_int, handler: extern "C" fn(c_int), flags: c_int) {
        // SAFETY: zeroed, the struct is valid.
        let mut action: libc::sigaction = unsafe { zeroed() };
        action.sa_sigaction = handler as libc::sighandler_t;
        action.sa_flags = flags;
        // SAFETY: zeroed, the struct is valid.
        let mut before: libc::sigaction = unsafe { zeroed() };
        // SAFETY: a whole action, and a place for the old one.
        unsafe { libc::sigaction(signal, &raw const action, &raw mut before) };
        BEFORE.store(before.sa_sigaction, Ordering::Relaxed);
    }

    /// Takes a few signals by a handler of its own.
    fn take_three(signal: c_int) {
        for number in 1..=3 {
            set_errno(4_242);
            send(signal);
            let start = Instant::now();
            while TAKEN.load(Ordering::Relaxed) < number {
                assert!(start.elapsed() < Duration::from_secs(10), "it must come");
            }
            assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(4_242), "errno");
        }
        say("three");
    }

    fn set_errno(to: c_int) {
        // SAFETY: the place of this thread's `errno`.
        let place = unsafe { libc::__errno_location() };
        // SAFETY: as above.
        unsafe { place.write(to) };
    }

    /// Sleeps by one system call, and exits when that is interrupted.
    fn sleep_once() -> ! {
        say("ready");
        let minute = libc::timespec { tv_sec: 60, tv_nsec: 0 };
        // SAFETY: reads the time given.
        unsafe { libc::nanosleep(&raw const minute, ptr::null_mut()) };
        process::exit(77);
    }

    /// Makes the next child process 1 of a namespace, starts this program there, and ends as it
    /// ends.
    fn in_namespace(how: &str) -> ! {
        // SAFETY: concerns processes that are started from here on.
        if unsafe { libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWPID) } != 0 {
            say("ready");
            say("no namespaces");
            process::exit(0);
        }
        let program = std::env::current_exe().expect("a path");
        let mut command = Command::new(program);
        let mut child = command.arg(how).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut ready = [0; 6];
        child.stdout.as_mut().expect("a pipe").read_exact(&mut ready).expect("a line");
        say("ready");
        say(&child.id().to_string());
        process::exit(child.wait().expect("its end").code().unwrap_or(99));
    }

    #[expect(clippy::too_many_lines, reason = "one short arm for each host")]
    pub(super) fn main() {
        let at_main = threads();
        let mut arguments = std::env::args().skip(1);
        let how = arguments.next().expect("how");
        let more = arguments.next().unwrap_or_default();
        match how.as_str() {
            "at main" => {
                let open = fs::read_dir("/proc/self/fd").expect("proc").count();
                // One is the folder that is being read.
                say(&format!("{} thread, {} descriptors", at_main.len(), open - 1));
            }
            "threads" => {
                init();
                block(&[libc::SIGUSR1]);
                let own = own_mask();
                poll_a_task();
                wait_for_threads(&["memscope", "memscope-signal", "memscope-report"]);
                assert_eq!(own_mask(), own);
                for (number, name) in threads() {
                    if name.starts_with("memscope")
                        && let Some(mask) = field(&number, "SigBlk:")
                    {
                        say(&format!("{name} {mask}"));
                    }
                }
            }
            "change user" => {
                init();
                poll_a_task();
                wait_for_threads(&["memscope", "memscope-signal", "memscope-report"]);
                // SAFETY: changes the user of all threads, if it is allowed.
                let result =
                    unsafe { libc::setuid(if more == "root" { 65_534 } else { getuid() }) };
                assert_eq!(result, 0);
                let users: Vec<String> =
                    threads().keys().filter_map(|number| field(number, "Uid:")).collect();
                assert!(users.iter().all(|user| *user == users[0]), "{users:?}");
                say("all are one user");
                process::exit(0);
            }
            "unshare" => {
                // SAFETY: concerns this process alone.
                let result = unsafe { libc::unshare(libc::CLONE_NEWUSER) };
                say(&format!("unshare gives {result}"));
            }
            "busy" => busy(true),
            "busy, blocked late" => busy(false),
            "blocked late, no report" => {
                init();
                poll_a_task();
                wait_for_threads(&["memscope"]);
                block(&[libc::SIGTERM]);
                send(libc::SIGTERM);
                say(&format!("the host finds signal {}", take(&[libc::SIGTERM])));
            }
            "signalfd" => signal_descriptor(),
            "closefds" => close_descriptors(Path::new(&more), false),
            "closefds late" => close_descriptors(Path::new(&more), true),
            "sleep" => sleep_for_ever(),
            "task and sleep" => {
                poll_a_task();
                wait_for_threads(&["memscope-signal"]);
                sleep_for_ever();
            }
            "sleep once" => sleep_once(),
            "task and sleep once" => {
                poll_a_task();
                wait_for_threads(&["memscope-signal"]);
                sleep_once();
            }
            "unannotated" => {
                let runtime = workers(2);
                let (sender, receiver) = std::sync::mpsc::channel();
                for _ in 0..10 {
                    let sender = sender.clone();
                    runtime.spawn(async move {
                        let held = vec![1u8; 10_000];
                        sender.send(()).expect("the receiver");
                        std::future::pending::<()>().await;
                        drop(held);
                    });
                }
                for _ in 0..10 {
                    receiver.recv().expect("a sender");
                }
                runtime.block_on(async { sleep_for_ever() });
            }
            "allocate" => {
                say("ready");
                loop {
                    let blocks: Vec<Vec<u8>> = (1..50).map(|size| vec![1; size * 37]).collect();
                    std::hint::black_box(blocks);
                }
            }
            "own handler later" => {
                poll_a_task();
                wait_for_threads(&["memscope-signal"]);
                handle(libc::SIGTERM, count_and_chain, 0);
                take_three(libc::SIGTERM);
            }
            "own handler, no thread" => {
                handle(libc::SIGTERM, count_and_chain, 0);
                take_three(libc::SIGTERM);
                assert_eq!(threads().len(), 1);
            }
            "own handler before" => {
                handle(libc::SIGTERM, count, 0);
                let report = report_guard().to(&more);
                take_three(libc::SIGTERM);
                drop(report);
            }
            "own handler for one" => {
                if more == "thread" {
                    poll_a_task();
                    wait_for_threads(&["memscope-signal"]);
                }
                handle(libc::SIGTERM, count_and_chain, libc::SA_RESETHAND);
                send(libc::SIGTERM);
                let start = Instant::now();
                while TAKEN.load(Ordering::Relaxed) == 0 {
                    assert!(start.elapsed() < Duration::from_secs(10), "it must come");
                }
                // Whatever else the signal does, it does now.
                thread::sleep(Duration::from_millis(300));
                say("goes on");
            }
            "wait" => {
                say("ready");
                wait_for_a_byte();
            }
            "task and wait" => {
                poll_a_task();
                wait_for_threads(&["memscope-signal"]);
                say("ready");
                wait_for_a_byte();
            }
            "in a namespace" => in_namespace(&more),
            other => panic!("no such host: {other}"),
        }
    }

    fn getuid() -> libc::uid_t {
        // SAFETY: always succeeds.
        unsafe { libc::getuid() }
    }
}
