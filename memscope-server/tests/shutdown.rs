//! The end of a server. The test needs a process of its own, so that no other test takes the port.

use std::{
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use memscope_server::serve;

use crate::support::{LONG, connect, get, to_end};

#[test]
fn a_server_that_is_shut_down_or_dropped_frees_its_port_and_its_clients() {
    let server = serve("127.0.0.1:0").expect("a server");
    let address = server.local_address();
    let mut idle = connect(address);
    server.shutdown();
    let _ = to_end(&mut idle);
    let server = serve(address).expect("the port is free");
    assert_eq!(get(address, "/health").status, 200);
    drop(server);
    let start = Instant::now();
    while TcpStream::connect(address).is_ok() {
        assert!(start.elapsed() < LONG, "it still serves");
        thread::sleep(Duration::from_millis(5));
    }
}
