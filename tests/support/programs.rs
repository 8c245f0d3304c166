//! Programs that a test starts, signals and waits for, and folders for what they write.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, ErrorKind, Read},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

/// How long something may take that must come: far longer than it ever does.
const DEADLINE: Duration = Duration::from_secs(20);

/// How long a program may work without a word.
const LONGEST_SILENCE: Duration = Duration::from_mins(5);

/// A folder of its own, removed with what is in it.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// A new one among the temporary files.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    #[expect(clippy::new_without_default, reason = "it makes a folder")]
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("memscope-programs-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where a file in it is, or would be.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// What is in it, in the order of names.
    ///
    /// # Panics
    ///
    /// When it cannot be read.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("a folder");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// A program that is told what to do by its first argument, without any setting of memscope's.
pub fn program(path: impl AsRef<OsStr>, how: &str) -> Command {
    let mut command = Command::new(path);
    let set = std::env::vars_os().map(|(name, _)| name);
    for name in set.filter(|name| name.to_string_lossy().starts_with("MEMSCOPE_")) {
        command.env_remove(name);
    }
    command.arg(how).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Starts it.
///
/// A program that was written just now may be open still: another test has forked meanwhile, and
/// until that copy of this process runs its own program it has all files that were open.
///
/// # Panics
///
/// When it does not start.
#[track_caller]
pub fn started(command: &mut Command) -> Child {
    let start = Instant::now();
    loop {
        match command.spawn() {
            Err(error)
                if error.kind() == ErrorKind::ExecutableFileBusy && start.elapsed() < DEADLINE =>
            {
                thread::sleep(Duration::from_millis(1));
            }
            child => return child.expect("it starts"),
        }
    }
}

/// A program that has printed `ready`. Dropped, it is killed.
#[derive(Debug)]
pub struct Running {
    /// The process.
    pub child: Child,
    lines: Lines,
}

/// What a program writes, line by line. A program that hangs does not hang its test.
#[derive(Debug)]
pub struct Lines(Receiver<String>);

impl Lines {
    /// Reads what is written to there, on a thread.
    pub fn of(pipe: impl Read + Send + 'static) -> Self {
        let (sender, lines) = mpsc::channel();
        let read = move || {
            let lines = BufReader::new(pipe).lines().map_while(Result::ok);
            for line in lines {
                if sender.send(line).is_err() {
                    return;
                }
            }
        };
        thread::spawn(read);
        Self(lines)
    }

    /// The next line without blanks at its end; empty at the end of all.
    ///
    /// # Panics
    ///
    /// When there is none for long.
    #[track_caller]
    pub fn next_line(&self) -> String {
        match self.0.recv_timeout(LONGEST_SILENCE) {
            Ok(line) => line.trim_end().to_owned(),
            Err(RecvTimeoutError::Disconnected) => String::new(),
            Err(RecvTimeoutError::Timeout) => panic!("no line for {LONGEST_SILENCE:?}"),
        }
    }
}

impl Running {
    /// Starts it, and waits for that line.
    ///
    /// # Panics
    ///
    /// When it prints something else.
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        let mut child = started(command);
        let lines = Lines::of(child.stdout.take().expect("a pipe"));
        let mut running = Self { child, lines };
        assert_eq!(running.line(), "ready");
        running
    }

    /// [`start`](Self::start), or `None` where the first line is `otherwise`.
    ///
    /// # Panics
    ///
    /// When it prints something else.
    #[track_caller]
    pub fn start_or(command: &mut Command, otherwise: &str) -> Option<Self> {
        let mut child = started(command);
        let lines = Lines::of(child.stdout.take().expect("a pipe"));
        let mut running = Self { child, lines };
        let line = running.line();
        assert!(line == "ready" || line == otherwise, "{line}");
        (line == "ready").then_some(running)
    }

    /// The next line that it prints; empty at the end.
    ///
    /// # Panics
    ///
    /// When it prints none for long.
    #[track_caller]
    pub fn line(&mut self) -> String {
        self.lines.next_line()
    }

    /// Sends a signal to it.
    #[cfg(unix)]
    pub fn signal(&self, signal: i32) {
        send(self.child.id(), signal);
    }

    /// How it ended.
    ///
    /// # Panics
    ///
    /// When it does not end soon.
    #[track_caller]
    pub fn end(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("its state") {
                return status;
            }
            assert!(start.elapsed() < DEADLINE, "it must end");
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Sends a signal to a process.
///
/// # Panics
///
/// When there is no such process.
#[cfg(unix)]
pub fn send(process: u32, signal: i32) {
    let process = i32::try_from(process).expect("a process id");
    // SAFETY: sends a signal to a child that has not been waited for.
    assert_eq!(unsafe { libc::kill(process, signal) }, 0);
}

/// Waits for what must come.
///
/// # Panics
///
/// When it does not come.
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < DEADLINE, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Whether the process that runs the tests ignores this signal, as a shell has what it runs in the
/// background do: its children then ignore it too, and memscope leaves that as it is.
pub fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}

/// Runs this test again in a process with a variable, unless this is that process. Returns whether
/// it is: then the test goes on. Its name is that of the thread.
///
/// # Panics
///
/// When the test fails there.
#[must_use]
pub fn is_with_variable(name: &str, value: &str) -> bool {
    if std::env::var(name).is_ok_and(|it| it == value) {
        return true;
    }
    let test = thread::current().name().expect("a test").to_owned();
    let program = std::env::current_exe().expect("its path");
    let mut command = Command::new(program);
    command.args(["--exact", &test, "--nocapture", "--test-threads=1"]).env(name, value);
    let output = command.output().expect("started");
    let printed = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && printed.contains("1 passed"), "{printed}{errors}");
    false
}
