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

use crate::load::{Kind, Load};

/// What the connections share.
#[derive(Debug)]
struct Work {
    texts: Rc<[Vec<u8>]>,
    end: usize,
    next: Cell<usize>,
    latencies: RefCell<Vec<u64>>,
}

impl Work {
    /// The number of the next request; `None` if all are made.
    fn take(&self) -> Option<usize> {
        let number = self.next.get();
        if number == self.end {
            return None;
        }
        self.next.set(number + 1);
        Some(number)
    }

    fn note(&self, start: Instant) {
        let nanoseconds = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.latencies.borrow_mut().push(nanoseconds);
    }
}

impl Load {
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
        let start = |number| {
            let (work, is_websocket) = (Rc::clone(&work), self.kind.is_websocket(number));
            tokio::task::spawn_local(async move {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                let connection = Connection { stream, buffer: vec![0; 64 << 10] };
                if is_websocket {
                    connection.talk(&work).await
                } else {
                    connection.ask(&work).await
                }
            })
        };
        runtime::Builder::new_current_thread().enable_all().build()?.block_on(
            LocalSet::new().run_until(async {
                let clients: Vec<_> = (0..self.connections).map(start).collect();
                for client in clients {
                    client.await??;
                }
                Ok::<_, io::Error>(())
            }),
        )?;
        Ok(work.latencies.take())
    }
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Makes requests over HTTP.
    async fn ask(mut self, work: &Work) -> io::Result<()> {
        while let Some(number) = work.take() {
            let start = Instant::now();
            self.stream.write_all(&work.texts[number % work.texts.len()]).await?;
            self.read(answer_length).await?;
            work.note(start);
        }
        Ok(())
    }

    /// Sends messages over a websocket.
    async fn talk(mut self, work: &Work) -> io::Result<()> {
        let request = "GET /live HTTP/1.1\r\nhost: service\r\nconnection: upgrade\r\n\
                       upgrade: websocket\r\nsec-websocket-version: 13\r\n\
                       sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        self.stream.write_all(request.as_bytes()).await?;
        self.read(|read| Ok(head_length(read))).await?;
        while let Some(number) = work.take() {
            let message = Kind::message(number);
            let start = Instant::now();
            // The last piece, text, with a mask of zeroes: RFC 6455, section 5.2.
            let mut frame = vec![0x81, 0x80 | u8::try_from(message.len()).unwrap_or(0), 0, 0, 0, 0];
            frame.extend(message.as_bytes());
            self.stream.write_all(&frame).await?;
            self.read(|read| Ok(frame_length(read))).await?;
            work.note(start);
        }
        Ok(())
    }

    /// Reads until there is as much as `length` says.
    async fn read(
        &mut self,
        length: impl Fn(&[u8]) -> io::Result<Option<usize>>,
    ) -> io::Result<()> {
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[filled..]).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            filled += read;
            if length(&self.buffer[..filled])?.is_some_and(|length| filled >= length) {
                return Ok(());
            }
        }
    }
}

/// How long an answer is, head and body, once that is known.
fn answer_length(answer: &[u8]) -> io::Result<Option<usize>> {
    let Some(head) = head_length(answer) else { return Ok(None) };
    let text = str::from_utf8(&answer[..head]).unwrap_or_default();
    let mut lines = text.split("\r\n");
    if !lines.next().is_some_and(|line| line.starts_with("HTTP/1.1 200")) {
        return Err(io::Error::other(format!("the service answers {text}")));
    }
    let body = lines.find_map(|line| line.strip_prefix("content-length: "));
    if let Some(body) = body.and_then(|body| body.parse::<usize>().ok()) {
        return Ok(Some(head + body));
    }
    // In chunks: the last one is empty.
    Ok(answer.ends_with(b"\r\n0\r\n\r\n").then_some(answer.len()))
}

/// How long the head of an answer is, once it is there.
fn head_length(answer: &[u8]) -> Option<usize> {
    answer.windows(4).position(|four| four == b"\r\n\r\n").map(|head| head + 4)
}

/// How long a frame of a websocket is, head and body, once that is known.
fn frame_length(frame: &[u8]) -> Option<usize> {
    match *frame {
        [_, 127, ref length @ ..] => {
            let body = u64::from_be_bytes(*length.first_chunk()?);
            usize::try_from(body).ok()?.checked_add(10)
        }
        [_, 126, high, low, ..] => Some(4 + usize::from(u16::from_be_bytes([high, low]))),
        [_, length @ 0..=125, ..] => Some(2 + usize::from(length)),
        _ => None,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_as_long_as_its_head_says() {
        let length = |text: &str| answer_length(text.as_bytes()).expect("success");
        assert_eq!(length("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n"), None);
        assert_eq!(length("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\na"), Some(41));
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        assert_eq!(length(&format!("{head}1\r\na\r\n")), None);
        let whole = format!("{head}1\r\na\r\n0\r\n\r\n");
        assert_eq!(length(&whole), Some(whole.len()));
        assert!(answer_length(b"HTTP/1.1 500 No\r\n\r\n").is_err());
    }

    #[test]
    fn a_frame_is_as_long_as_its_head_says() {
        assert_eq!(frame_length(&[0x81]), None);
        assert_eq!(frame_length(&[0x81, 5, 0]), Some(7));
        assert_eq!(frame_length(&[0x81, 126, 1]), None);
        assert_eq!(frame_length(&[0x81, 126, 1, 0]), Some(260));
        assert_eq!(frame_length(&[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]), Some(65_546));
    }
}
