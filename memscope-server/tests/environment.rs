//! `MEMSCOPE_SERVE` starts the server in a program that calls nothing of it. Each program is this
//! test, started again.

use std::{
    env,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use memscope_runtime::async_memory::track;
use memscope_server as _;

use crate::support::{LONG, get, request};

/// What the program does before it waits for the end of its input.
const PROGRAM: &str = "PROGRAM_OF_THE_TEST";

async fn holds(bytes: usize) {
    let held = vec![1_u8; bytes];
    std::future::pending::<()>().await;
    drop(held);
}

#[test]
fn as_a_program() {
    let Ok(program) = env::var(PROGRAM) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    match &*program {
        "init" => memscope_runtime::init(),
        "tracked" => drop(runtime.spawn(track(holds(1 << 20)).named("held"))),
        "forks" => forks(&runtime),
        "bare" => drop(runtime.spawn(holds(1 << 20))),
        _ => {}
    }
    let mut input = String::new();
    std::io::stdin().read_to_string(&mut input).expect("input");
}

/// Forks. The child has a copy of the server and ends by `exit`; this process goes on.
#[cfg(unix)]
fn forks(runtime: &tokio::runtime::Runtime) {
    drop(runtime.spawn(track(holds(1 << 20))));
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("a line, once it is served");
    // SAFETY: the child calls nothing but `exit`, whose functions take no lock that waits.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: `exit` does not return.
        unsafe { libc::exit(0) }
    }
    let mut status = 0;
    let end = Instant::now() + LONG;
    // SAFETY: the status is this function's.
    while unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } == 0 {
        assert!(Instant::now() < end, "the child does not end");
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(status, 0, "the child has ended well");
    // The test harness keeps what `eprintln` writes to itself.
    writeln!(std::io::stderr(), "memscope: the child has ended").expect("written");
}

#[cfg(not(unix))]
fn forks(_: &tokio::runtime::Runtime) {}

pub(crate) struct Program {
    pub(crate) child: Child,
    /// The lines that it writes to stderr.
    lines: Receiver<String>,
}

impl Program {
    pub(crate) fn start(program: &str, variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env::current_exe().expect("this program"))
            .args(["--exact", "environment::as_a_program"])
            .env(PROGRAM, program)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a program");
        let errors = BufReader::new(child.stderr.take().expect("a pipe"));
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            errors.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { child, lines }
    }

    /// The next line of memscope.
    pub(crate) fn line(&mut self) -> String {
        loop {
            let line = self.lines.recv_timeout(LONG).expect("a line of memscope's");
            if line.starts_with("memscope: ") {
                return line;
            }
        }
    }

    pub(crate) fn address(&mut self) -> SocketAddr {
        let line = self.line();
        let address = line.strip_prefix("memscope: serving at http://");
        let address = address.and_then(|it| it.strip_suffix('/')).expect(&line);
        address.parse().expect("an address")
    }

    /// Lets the program end, which must succeed. Returns what else it wrote.
    pub(crate) fn end(mut self) -> String {
        drop(self.child.stdin.take());
        let mut rest = String::new();
        loop {
            match self.lines.recv_timeout(LONG) {
                Ok(line) => rest.extend([&*line, "\n"]),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end: {rest}"),
            }
        }
        assert!(self.child.wait().expect("an end").success(), "{rest}");
        rest
    }
}

const ANY_PORT: (&str, &str) = ("MEMSCOPE_SERVE", "127.0.0.1:0");

#[test]
fn it_starts_with_a_tracked_task_an_unannotated_one_an_idle_runtime_and_init() {
    for program in ["tracked", "bare", "idle", "init"] {
        let mut program_ = Program::start(program, &[ANY_PORT]);
        let address = program_.address();
        // The server starts with the runtime's workers, before the task.
        let end = Instant::now() + LONG;
        loop {
            let report = get(address, "/report.txt");
            assert_eq!(report.status, 200, "{program}");
            if program != "tracked" || report.text().contains("held") {
                break;
            }
            assert!(Instant::now() < end, "{}", report.text());
            thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(program_.end(), "");
    }
}

#[test]
fn a_token_in_the_environment_is_asked_for() {
    let mut program = Program::start("init", &[ANY_PORT, ("MEMSCOPE_SERVE_TOKEN", "t0ken")]);
    let address = program.address();
    assert_eq!(get(address, "/metrics").status, 401);
    let bearer = "Authorization: Bearer t0ken\r\n";
    assert_eq!(request(address, "GET", "/metrics", bearer).status, 200);
    assert_eq!(program.end(), "");
}

#[test]
fn what_cannot_be_served_is_said_once_and_the_program_goes_on() {
    for (address, why) in [
        ("6071", "no address to serve at"),
        ("127.0.0.1:x", "no address to serve at"),
        ("0.0.0.0:0", "MEMSCOPE_SERVE_REMOTE=on"),
    ] {
        let mut program = Program::start("init", &[("MEMSCOPE_SERVE", address)]);
        let line = program.line();
        let begins = format!("memscope: MEMSCOPE_SERVE={address} does nothing: ");
        assert!(line.starts_with(&begins) && line.contains(why), "{line}");
        assert_eq!(program.end(), "");
    }
}

#[test]
fn a_taken_port_is_said_and_the_program_goes_on() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let mut program = Program::start("tracked", &[("MEMSCOPE_SERVE", &address)]);
    assert!(program.line().contains("taken by another process"));
    assert_eq!(program.end(), "");
}

#[test]
fn another_address_than_loopback_is_served_if_allowed_and_that_is_said() {
    let remote = [("MEMSCOPE_SERVE", "0.0.0.0:0"), ("MEMSCOPE_SERVE_REMOTE", "on")];
    let mut program = Program::start("init", &remote);
    let line = program.line();
    assert!(line.contains("other hosts") && line.contains("without a token"), "{line}");
    let address = program.address();
    let address = SocketAddr::from(([127, 0, 0, 1], address.port()));
    assert_eq!(get(address, "/health").status, 200);
    assert_eq!(program.end(), "");
}

#[test]
fn without_the_variable_there_is_no_server_and_no_line() {
    assert_eq!(Program::start("tracked", &[]).end(), "");
    assert_eq!(Program::start("init", &[("MEMSCOPE_SERVE", "")]).end(), "");
}
