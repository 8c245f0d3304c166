//! More clients than there are places. The test needs a process of its own, as the clients take its
//! descriptors.

use std::{
    io::Read,
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use memscope_server::builder;

use crate::support::{LONG, raw};

#[test]
fn a_thousand_at_once_are_answered_or_refused_and_counted() {
    let server = builder().connections(16).serve("127.0.0.1:0").expect("a server");
    let address = server.local_address();
    let held: Vec<TcpStream> =
        (0..1_000).filter_map(|_| TcpStream::connect(address).ok()).collect();
    // The first sixteen have a place. The others are closed, with an answer if it fits.
    for mut client in held.iter().skip(16) {
        client.set_read_timeout(Some(LONG)).expect("a timeout");
        let mut answer = [0; 12];
        match client.read(&mut answer) {
            Ok(12) => assert_eq!(&answer, b"HTTP/1.1 503"),
            Ok(0) | Err(_) => {}
            Ok(count) => panic!("{count} bytes"),
        }
    }
    // A busy machine may close the first ones, and give their places to others.
    let refused = held.len() * 9 / 10;
    drop(held);
    let start = Instant::now();
    let health = loop {
        // The places of clients that have left are free soon.
        let request =
            format!("GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        match raw(address, request.as_bytes()) {
            Some(answer) if answer.status == 200 => break answer,
            _ => assert!(start.elapsed() < LONG, "no place is free"),
        }
        thread::sleep(Duration::from_millis(20));
    };
    let counted = health.text().split(", ").last().and_then(|it| it.split(' ').next());
    let counted: usize = counted.and_then(|it| it.parse().ok()).expect("a count");
    assert!(counted >= refused, "{refused} refused: {}", health.text());
    server.shutdown();
}
