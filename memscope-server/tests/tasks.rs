//! All tasks, asked over HTTP by a client of its own.
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]

use std::{future::pending, net::SocketAddr, thread, time::Instant};

use http_body_util::{BodyExt, Empty};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use memscope_runtime::async_memory::{AwaitPoints, DumpedTask, TaskDump, TaskState, track};
use memscope_server::serve;
use tokio::{net::TcpStream, runtime::Builder};

use crate::support::LONG;

/// Asks with hyper's client, on a runtime of its own.
fn get(address: SocketAddr, path: &str) -> (StatusCode, String, String) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let stream = TcpStream::connect(address).await.expect("a connection");
        let (mut client, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
        tokio::spawn(connection);
        let request = Request::get(path).header("Host", address.to_string());
        let request = request.body(Empty::<Bytes>::new()).expect("a request");
        let answer = client.send_request(request).await.expect("an answer");
        let status = answer.status();
        let kind = answer.headers()["content-type"].to_str().expect("text").to_owned();
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        (status, kind, String::from_utf8(body.to_vec()).expect("text"))
    })
}

async fn waiting(kept: usize) {
    let kept = vec![1_u8; kept];
    pending::<()>().await;
    drop(kept);
}

#[test]
fn every_task_is_served_as_json_and_as_text_to_one_client_at_a_time() {
    let program = Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    for _ in 0..25 {
        program.spawn(track(waiting(1_000)).named("waits for ever"));
        program.spawn(waiting(2_000));
    }
    let server = serve("127.0.0.1:0").expect("a server");
    let address = server.local_address();
    let is_parked = |task: &&DumpedTask| {
        let is_ours = ["waits for ever", "server::tasks::waiting"].contains(&&*task.name);
        is_ours && task.state == TaskState::Idle && task.live_bytes >= 1_000
    };
    let until = Instant::now() + LONG;
    let dump = loop {
        let (status, kind, body) = get(address, "/tasks.json");
        assert_eq!((status, &*kind), (StatusCode::OK, "application/json"), "{body}");
        let dump: TaskDump = serde_json::from_str(&body).expect("a dump");
        if dump.tasks.iter().filter(is_parked).count() >= 50 {
            break dump;
        }
        assert!(Instant::now() < until, "not all have names and wait: {dump:#}");
    };
    let named: Vec<_> = dump.tasks.iter().filter(|task| task.name == "waits for ever").collect();
    assert_eq!(named.len(), 25, "{dump:#}");
    // Each task has one row, and without the feature `layout` no line.
    assert_eq!(dump.tasks.iter().filter(is_parked).count(), 50, "{dump:#}");
    for task in dump.tasks.iter().filter(is_parked) {
        assert!(task.id.is_some() && task.tokio_id.is_some(), "{task:#?}");
        assert!(task.await_point.is_none() && task.unknown.is_some(), "{task:#?}");
    }
    let AwaitPoints::Unavailable(why) = &dump.await_points else { panic!("{dump:#}") };
    assert!(why.contains("feature `layout`"), "{why}");
    // The server's own tasks have no row. Those of the clients have ended or are running.
    assert!(dump.tasks.iter().all(|task| !task.name.contains("memscope_server")), "{dump:#}");
    let (status, kind, text) = get(address, "/tasks.txt");
    assert_eq!((status, &*kind), (StatusCode::OK, "text/plain; charset=utf-8"));
    let line = text.lines().find(|line| line.contains("waits for ever")).expect("a line");
    assert!(line.trim_start().starts_with("25 "), "{text}");

    let clients: Vec<_> =
        (0..8).map(|_| thread::spawn(move || get(address, "/tasks.json"))).collect();
    let answers: Vec<_> = clients.into_iter().map(|it| it.join().expect("a client")).collect();
    assert!(answers.iter().any(|it| it.0 == StatusCode::OK));
    for (status, _, body) in answers.iter().filter(|it| it.0 != StatusCode::OK) {
        assert_eq!(*status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.contains("Another client asks"), "{body}");
    }
    server.shutdown();
    drop(program);
}
