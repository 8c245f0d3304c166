//! A program that does nothing with memscope-rs, with the feature `server`: one variable serves its
//! page, and one writes it.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use memscope_rs::async_memory::MemorySnapshot;

const PROGRAM: &str = "PROGRAM_OF_THE_TEST";
/// Of a debug build on a busy machine.
const LONG: Duration = Duration::from_mins(1);

/// The program: a task that memscope is not told of.
#[test]
fn as_a_program() {
    if env::var_os(PROGRAM).is_none() {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    drop(runtime.spawn(async {
        let held = vec![1_u8; 1 << 20];
        std::future::pending::<()>().await;
        drop(held);
    }));
    let mut input = String::new();
    std::io::stdin().read_to_string(&mut input).expect("input");
}

#[test]
fn a_report_whose_name_ends_in_html_is_the_page_and_replaces_one() {
    let path = env::temp_dir().join(format!("memscope-page-{}.html", std::process::id()));
    for _ in 0..2 {
        let program = Command::new(env::current_exe().expect("this program"))
            .args(["--exact", "as_a_program"])
            .env(PROGRAM, "")
            .env("MEMSCOPE_REPORT", &path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a program");
        let pid = program.id();
        let output = program.wait_with_output().expect("its end");
        assert!(output.status.success());
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        let page = fs::read_to_string(&path).expect("the page");
        fs::write(&path, page.split_inclusive('\n').take(9).collect::<String>()).expect("cut");
        let (_, data) = page.split_once("id=\"snapshot\">").expect("a snapshot");
        let (data, end) = data.split_once("</script>").expect("its end");
        let snapshot = MemorySnapshot::from_json(data).expect("a report");
        assert_eq!(snapshot.origin().pid, pid);
        assert!(page.starts_with("<!doctype html>") && end.trim_end().ends_with("</html>"));
    }
    fs::remove_file(&path).expect("it is there");
}

#[test]
fn one_variable_serves_a_program_that_names_nothing_of_memscope() {
    let mut program = Command::new(env::current_exe().expect("this program"))
        .args(["--exact", "as_a_program"])
        .env(PROGRAM, "")
        .env("MEMSCOPE_SERVE", "127.0.0.1:0")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a program");
    let errors = program.stderr.take().expect("a pipe");
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || BufReader::new(errors).lines().try_for_each(|it| sender.send(it)));
    let line = lines.recv_timeout(LONG).expect("a line").expect("text");
    let address = line.strip_prefix("memscope: serving at http://");
    let address = address.and_then(|it| it.strip_suffix('/')).expect(&line);
    let end = Instant::now() + LONG;
    loop {
        let answer = metrics(address);
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("# EOF\n"), "{answer}");
        // It is there before the first task: it starts with the runtime's workers.
        if answer.contains("memscope_live_bytes{") {
            break;
        }
        assert!(Instant::now() < end, "{answer}");
        thread::sleep(Duration::from_millis(20));
    }
    drop(program.stdin.take());
    assert!(program.wait().expect("an end").success());
}

fn metrics(address: &str) -> String {
    let mut client = TcpStream::connect(address).expect("a connection");
    client.set_read_timeout(Some(LONG)).expect("a timeout");
    write!(client, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")
        .expect("written");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an answer");
    answer
}
