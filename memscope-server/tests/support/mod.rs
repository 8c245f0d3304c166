//! A client that uses real sockets.
#![allow(dead_code, reason = "each test uses a part of it")]

pub(crate) mod figures;
pub(crate) mod prometheus;
pub(crate) mod standing;

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// Long enough for a machine that is busy with other work.
pub(crate) const LONG: Duration = Duration::from_mins(1);

/// An answer: its status, its headers in lower case, and its body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let at = find(bytes, b"\r\n\r\n").expect("the end of the head");
        let head = String::from_utf8(bytes[..at].to_vec()).expect("a head is text");
        let (first, headers) = head.split_once("\r\n").unwrap_or((&head, ""));
        let status = first.split(' ').nth(1).and_then(|it| it.parse().ok()).expect("a status");
        let headers: Vec<(String, String)> = headers
            .split("\r\n")
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let is_chunked =
            headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
        let mut body = bytes[at + 4..].to_vec();
        if is_chunked {
            body = unchunked(&body);
        }
        Self { status, headers, body }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(it, _)| it == name).map(|(_, value)| &**value)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|it| it == what)
}

fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(at) = find(bytes, b"\r\n") {
        let size = std::str::from_utf8(&bytes[..at]).expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a size");
        whole.extend_from_slice(&bytes[at + 2..at + 2 + size]);
        bytes = &bytes[at + 4 + size..];
    }
    whole
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(LONG)).expect("a timeout");
    stream.set_write_timeout(Some(LONG)).expect("a timeout");
    stream
}

/// Sends these bytes, and reads until the server closes. Returns `None` if it closed without an
/// answer.
pub(crate) fn raw(address: SocketAddr, bytes: &[u8]) -> Option<Answer> {
    let mut stream = connect(address);
    // An error means that the server has closed before it read all.
    let _ = stream.write_all(bytes);
    let answer = to_end(&mut stream);
    (!answer.is_empty()).then(|| Answer::of(&answer))
}

/// Reads until the server closes or resets the connection.
pub(crate) fn to_end(stream: &mut TcpStream) -> Vec<u8> {
    let (mut answer, mut buffer) = (Vec::new(), [0; 16 << 10]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return answer,
            Ok(count) => answer.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return answer,
            Err(error) => panic!("{error} after {} bytes", answer.len()),
        }
    }
}

/// A request with these headers beside `Host`.
pub(crate) fn request(address: SocketAddr, method: &str, path: &str, headers: &str) -> Answer {
    let host = if headers.to_lowercase().contains("host:") {
        String::new()
    } else {
        format!("Host: {address}\r\n")
    };
    let request = format!("{method} {path} HTTP/1.1\r\n{host}{headers}Connection: close\r\n\r\n");
    raw(address, request.as_bytes()).expect("an answer")
}

pub(crate) fn get(address: SocketAddr, path: &str) -> Answer {
    request(address, "GET", path, "")
}

/// Reads a stream of events until `is_done` accepts all that was read.
pub(crate) fn events(address: SocketAddr, is_done: impl Fn(&str) -> bool) -> String {
    let mut stream = connect(address);
    write!(stream, "GET /events HTTP/1.1\r\nHost: {address}\r\n\r\n").expect("written");
    let (mut text, mut buffer) = (Vec::new(), [0; 16 << 10]);
    let end = Instant::now() + LONG;
    loop {
        let count = stream.read(&mut buffer).expect("events");
        text.extend_from_slice(&buffer[..count]);
        let seen = String::from_utf8_lossy(&text);
        if is_done(&seen) {
            return seen.into_owned();
        }
        assert!(count != 0 && Instant::now() < end, "the stream ends: {} bytes", text.len());
    }
}
