//! A client as thrifty as can be: the requests are ready-made, and of the answers only the length
//! is read.

use std::{
    cell::{Cell, RefCell},
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream as Blocking},
    ops::Range,
    rc::Rc,
    time::Instant,
};

use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime,
    task::LocalSet,
};

/// Pages that are asked for; the service keeps fewer, so that some have to be made again.
const PAGES: u64 = 1_536;
const ECHO_BYTES: usize = 4_096;

/// The requests, the same ones in the same order each time, and over how many connections they are
/// made.
#[derive(Debug)]
pub(crate) struct Load {
    texts: Rc<[Vec<u8>]>,
    connections: usize,
}

/// What the connections share.
#[derive(Debug)]
struct Work {
    texts: Rc<[Vec<u8>]>,
    end: usize,
    next: Cell<usize>,
    latencies: RefCell<Vec<u64>>,
}

impl Load {
    pub(crate) fn over(connections: usize) -> Self {
        Self { texts: texts(), connections }
    }

    /// Makes these of the requests, over connections each of which waits for its answers, and
    /// returns the nanoseconds of each.
    ///
    /// # Errors
    ///
    /// When the service cannot be reached, or answers with anything but success.
    pub(crate) fn make(&self, address: SocketAddr, which: Range<usize>) -> io::Result<Vec<u64>> {
        let work = Rc::new(Work {
            texts: Rc::clone(&self.texts),
            end: which.end,
            next: Cell::new(which.start),
            latencies: RefCell::new(Vec::with_capacity(which.len())),
        });
        runtime::Builder::new_current_thread().enable_all().build()?.block_on(
            LocalSet::new().run_until(async {
                let start = || tokio::task::spawn_local(connection(address, Rc::clone(&work)));
                let clients: Vec<_> = (0..self.connections).map(|_| start()).collect();
                for client in clients {
                    client.await??;
                }
                Ok::<_, io::Error>(())
            }),
        )?;
        Ok(work.latencies.take())
    }
}

/// Half of them are for orders, a quarter are echoes, a quarter for pages.
fn texts() -> Rc<[Vec<u8>]> {
    let mut random = 7u64;
    let text = |place: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        match place % 4 {
            0 | 2 => get(&format!("/orders/{}", 5 + (random >> 33) % 20)),
            1 => get(&format!("/page/{}", (random >> 33) % PAGES)),
            _ => {
                let mut text = format!(
                    "POST /echo HTTP/1.1\r\nhost: service\r\ncontent-length: {ECHO_BYTES}\r\n\r\n"
                )
                .into_bytes();
                text.extend([b'x'; ECHO_BYTES]);
                text
            }
        }
    };
    (0..8_192).map(text).collect()
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: service\r\naccept: */*\r\n\r\n").into_bytes()
}

async fn connection(address: SocketAddr, work: Rc<Work>) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let number = work.next.get();
        if number == work.end {
            return Ok(());
        }
        work.next.set(number + 1);
        let start = Instant::now();
        stream.write_all(&work.texts[number % work.texts.len()]).await?;
        let mut filled = 0;
        let mut whole = None;
        while whole.is_none_or(|whole| filled < whole) {
            let read = stream.read(&mut buffer[filled..]).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            filled += read;
            if whole.is_none() {
                whole = length(&buffer[..filled])?;
            }
        }
        let nanoseconds = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        work.latencies.borrow_mut().push(nanoseconds);
    }
}

/// How long the answer is, head and body, once its head is there.
fn length(answer: &[u8]) -> io::Result<Option<usize>> {
    let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = str::from_utf8(&answer[..head]).unwrap_or_default();
    let mut lines = text.split("\r\n");
    let is_success = lines.next().is_some_and(|line| line.starts_with("HTTP/1.1 200"));
    let body = lines.find_map(|line| line.strip_prefix("content-length: "));
    match body.and_then(|body| body.parse::<usize>().ok()) {
        Some(body) if is_success => Ok(Some(head + 4 + body)),
        _ => Err(io::Error::other(format!("the service answers {text}"))),
    }
}

/// What a service says that it has used so far.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Usage {
    /// Time of all its threads.
    pub(crate) cpu_ns: u64,
    /// Anonymous memory.
    pub(crate) resident_bytes: i64,
}

/// Asks over a connection of its own.
pub(crate) fn usage(address: SocketAddr) -> io::Result<Usage> {
    let answer = ask(address, "/usage")?;
    let start = answer.find("\r\n\r\n").unwrap_or(0);
    serde_json::from_str(&answer[start..]).map_err(io::Error::other)
}

/// Has memscope take a snapshot in the service.
pub(crate) fn look(address: SocketAddr) -> io::Result<()> {
    let answer = ask(address, "/look")?;
    let is_taken = answer.starts_with("HTTP/1.1 200");
    if is_taken { Ok(()) } else { Err(io::Error::other(format!("no snapshot: {answer}"))) }
}

/// Makes the service end itself; it does not answer.
pub(crate) fn quit(address: SocketAddr) -> io::Result<()> {
    ask(address, "/quit").map(|_| ())
}

fn ask(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = Blocking::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: service\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
