//! Clients that are wrong, slow, too many, or strangers: each is refused or cut off, and the others
//! are answered.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    thread,
    time::{Duration, Instant},
};

use memscope_server::{Server, builder, serve};

use crate::support::{LONG, connect, get, raw, request, to_end};

fn server() -> (Server, SocketAddr) {
    let server = serve("127.0.0.1:0").expect("a server");
    let address = server.local_address();
    (server, address)
}

fn answers(address: SocketAddr) {
    assert_eq!(get(address, "/health").status, 200);
}

#[test]
fn only_names_of_this_host_are_answered() {
    let (_server, address) = server();
    let port = address.port();
    let status =
        |host: &str| request(address, "GET", "/snapshot.json", &format!("Host: {host}\r\n")).status;
    for host in [
        format!("127.0.0.1:{port}"),
        "127.0.0.1".to_owned(),
        format!("localhost:{port}"),
        "LOCALHOST".to_owned(),
        format!("[::1]:{port}"),
        "10.1.2.3:6071".to_owned(),
    ] {
        assert_eq!(status(&host), 200, "{host}");
    }
    for host in [
        "evil.example",
        "evil.example:80",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "127.0.0.1@evil.example",
        "evil.example@127.0.0.1",
        "x localhost",
        "",
    ] {
        let answer = request(address, "GET", "/snapshot.json", &format!("Host: {host}\r\n"));
        assert!([400, 403].contains(&answer.status), "{host}: {}", answer.status);
        assert!(!answer.text().contains("memscope_format"), "{host}");
    }
    let none = raw(address, b"GET /snapshot.json HTTP/1.0\r\n\r\n").expect("an answer");
    assert_eq!(none.status, 403, "no host at all");
    let two = request(address, "GET", "/", "Host: localhost\r\nHost: evil.example\r\n");
    assert!([400, 403].contains(&two.status), "{}", two.status);
    let absolute = format!(
        "GET http://evil.example/ HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(raw(address, absolute.as_bytes()).expect("an answer").status, 403);
}

#[test]
fn another_site_may_lead_to_the_page_and_ask_for_nothing() {
    let (_server, address) = server();
    let asks = |path: &str, site: &str, mode: &str| {
        let headers = format!("Sec-Fetch-Site: {site}\r\nSec-Fetch-Mode: {mode}\r\n");
        request(address, "GET", path, &headers).status
    };
    assert_eq!(asks("/snapshot.json", "cross-site", "no-cors"), 403);
    assert_eq!(asks("/snapshot.json", "same-site", "cors"), 403);
    for path in ["/holders.json", "/tasks.json", "/tasks.txt"] {
        assert_eq!(asks(path, "cross-site", "navigate"), 403, "{path}: it stops the process");
    }
    assert_eq!(asks("/", "cross-site", "navigate"), 200);
    assert_eq!(asks("/snapshot.json", "same-origin", "cors"), 200);
    assert_eq!(asks("/snapshot.json", "none", "navigate"), 200);
}

#[test]
fn only_get_and_head_are_answered() {
    let (_server, address) = server();
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW"] {
        let answer = request(address, method, "/metrics", "Origin: http://evil.example\r\n");
        assert!([400, 405].contains(&answer.status), "{method}: {}", answer.status);
        assert_eq!(answer.header("access-control-allow-origin"), None, "{method}");
    }
    let answer = request(address, "POST", "/metrics", "Content-Length: 1000000000\r\n");
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")));
}

#[test]
fn what_is_no_request_is_refused_and_others_are_answered() {
    let (_server, address) = server();
    let mut noise = Vec::new();
    let mut state = 1_u64;
    for _ in 0..100_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        noise.push(state.to_be_bytes()[0]);
    }
    let long_url = format!("GET /{} HTTP/1.1\r\nHost: {address}\r\n\r\n", "a".repeat(100_000));
    let long_header =
        format!("GET / HTTP/1.1\r\nHost: {address}\r\nX: {}\r\n\r\n", "a".repeat(1_000_000));
    let many_headers =
        format!("GET / HTTP/1.1\r\nHost: {address}\r\n{}\r\n", "X: y\r\n".repeat(1_000));
    let requests: [&[u8]; 9] = [
        &noise,
        b"\0\0\0\0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        long_url.as_bytes(),
        long_header.as_bytes(),
        many_headers.as_bytes(),
    ];
    for request in requests {
        if let Some(answer) = raw(address, request) {
            assert!((400..600).contains(&answer.status), "{}: {request:.40?}", answer.status);
        }
        answers(address);
    }
    let long = get(address, &format!("/{}", "a".repeat(3_000)));
    assert_eq!(long.status, 414);
}

#[test]
fn connections_that_say_nothing_or_half_of_it_are_closed() {
    let (_server, address) = server();
    let mut silent = connect(address);
    let mut half = connect(address);
    half.write_all(b"GET / HTTP/1.1\r\nHo").expect("written");
    let mut one_sided = connect(address);
    one_sided.shutdown(std::net::Shutdown::Write).expect("half closed");
    let mut kept = connect(address);
    write!(kept, "GET /health HTTP/1.1\r\nHost: {address}\r\n\r\n").expect("written");
    for client in [&mut silent, &mut half, &mut one_sided, &mut kept] {
        // It fails after a minute.
        let _ = to_end(client);
    }
    answers(address);
}

#[test]
fn clients_that_read_nothing_do_not_keep_the_others_from_their_answers() {
    let (_server, address) = server();
    let slow: Vec<_> = (0..30)
        .map(|_| {
            let mut client = connect(address);
            // The client asks for many answers, and takes none.
            for _ in 0..100 {
                let asked = write!(client, "GET / HTTP/1.1\r\nHost: {address}\r\n\r\n");
                if asked.is_err() {
                    break;
                }
            }
            client
        })
        .collect();
    for path in ["/", "/metrics", "/debug/pprof/heap"] {
        assert_eq!(get(address, path).status, 200, "{path}");
    }
    // In the end all clients are cut off except this one, which asks.
    let start = Instant::now();
    while !get(address, "/health").text().contains("connections: 1 open") {
        assert!(start.elapsed() < LONG, "{}", get(address, "/health").text());
        thread::sleep(Duration::from_millis(50));
    }
    drop(slow);
}

#[test]
fn streams_have_a_bound_of_their_own() {
    let (_server, address) = server();
    let mut open = Vec::new();
    let mut refused = 0;
    for _ in 0..40 {
        let mut client = connect(address);
        write!(client, "GET /events HTTP/1.1\r\nHost: {address}\r\n\r\n").expect("written");
        let mut status = [0; 12];
        client.read_exact(&mut status).expect("an answer");
        match &status {
            b"HTTP/1.1 200" => open.push(client),
            b"HTTP/1.1 503" => refused += 1,
            _ => panic!("{}", String::from_utf8_lossy(&status)),
        }
    }
    assert_eq!((open.len(), refused), (32, 8));
    assert_eq!(get(address, "/metrics").status, 200, "a scraper still has a place");
}

#[test]
fn a_token_is_asked_for_and_opens_any_host() {
    let server = builder().token("s3cret +/=").serve("127.0.0.1:0").expect("a server");
    let address = server.local_address();
    let with = |path: &str, headers: &str| request(address, "GET", path, headers).status;
    assert_eq!(with("/metrics", ""), 401);
    assert_eq!(get(address, "/metrics").header("www-authenticate"), Some("Bearer"));
    for wrong in ["Bearer", "Bearer ", "Bearer s3cret", "Bearer s3cret +/=x", "Basic s3cret +/="] {
        assert_eq!(with("/metrics", &format!("Authorization: {wrong}\r\n")), 401, "{wrong}");
    }
    assert_eq!(with("/?token=s3cret", ""), 401);
    assert_eq!(with("/metrics", "Authorization: Bearer s3cret +/=\r\n"), 200);
    assert_eq!(with("/metrics", "authorization: bearer s3cret +/=\r\n"), 200);
    assert_eq!(with("/?token=s3cret%20%2B%2F%3D", ""), 200, "as the page passes it on");
    assert_eq!(with("/health", ""), 200, "probes have none");
    let headers = "Host: shop.example\r\nAuthorization: Bearer s3cret +/=\r\n";
    assert_eq!(with("/metrics", headers), 200);
    assert_eq!(with("/metrics", "Host: shop.example\r\n"), 403);
    server.shutdown();
}

#[test]
fn addresses_that_cannot_be_served_are_errors_that_say_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let error = |address: &str| serve(address).expect_err("an error").to_string();
    assert!(error(&address.to_string()).contains("taken by another process"));
    assert!(error("0.0.0.0:0").contains("MEMSCOPE_SERVE_REMOTE=on"));
    assert!(error("[::]:0").contains("other hosts"));
    for wrong in ["", "127.0.0.1", "127.0.0.1:99999", "::1:x"] {
        assert!(error(wrong).contains("no address to serve at"), "{wrong}: {}", error(wrong));
    }
    // A task may call it too, although it then drops the runtime that the server does not need.
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let error = runtime.block_on(async { serve(address).expect_err("an error") });
    assert!(error.to_string().contains("taken by another process"));
    let remote = builder().remote(true).token("t").serve("0.0.0.0:0").expect("allowed");
    let local = SocketAddr::from(([127, 0, 0, 1], remote.local_address().port()));
    assert_eq!(get(local, "/metrics").status, 401);
    remote.shutdown();
}
