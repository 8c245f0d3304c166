//! A TCP service on smol, without Tokio, that answers in capitals. The report shows which of its
//! tasks holds which bytes.
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::{io, net::SocketAddr, rc::Rc, time::Duration};

use memscope_rs::{
    async_memory::{TaskType, get_memory_snapshot, track},
    tracked,
};
use smol::{
    LocalExecutor, Timer,
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    lock::Mutex,
    net::{TcpListener, TcpStream},
    stream::StreamExt,
};

const CLIENTS: usize = 6;
const LINES: usize = 50;

/// The last answer to each client. It is kept after the connection has ended.
static LAST_SHOUTS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Serves one connection until its client hangs up.
#[tracked(task_type = "network", name = "connection")]
async fn serve(stream: TcpStream) -> io::Result<usize> {
    let mut lines = BufReader::with_capacity(4_096, stream.clone()).lines();
    let mut stream = stream;
    let mut served = 0;
    let mut last = String::new();
    while let Some(line) = lines.next().await {
        last = shout(&line?).await;
        stream.write_all(last.as_bytes()).await?;
        served += 1;
    }
    LAST_SHOUTS.lock().await.push(last);
    Ok(served)
}

/// A task inside a task: its bytes are not counted for the connection.
#[tracked(task_type = "cpu")]
async fn shout(line: &str) -> String {
    let mut text = line.to_uppercase();
    text.push_str("!\n");
    text
}

/// Gives each connection a task, and returns the number of lines.
async fn accept(executor: Rc<LocalExecutor<'static>>, listener: TcpListener) -> io::Result<usize> {
    let mut connections = Vec::new();
    for _ in 0..CLIENTS {
        let (stream, _) = listener.accept().await?;
        connections.push(executor.spawn(serve(stream)));
    }
    let mut served = 0;
    for connection in connections {
        served += connection.await?;
    }
    Ok(served)
}

/// Sends lines, and returns the number of bytes in the answers.
async fn client(address: SocketAddr, number: usize) -> io::Result<usize> {
    let mut stream = TcpStream::connect(address).await?;
    let mut answers = BufReader::new(stream.clone()).lines();
    let mut heard = 0;
    for line in 0..LINES {
        let text = format!("client {number} says {line} {}\n", "la".repeat(number * 20));
        stream.write_all(text.as_bytes()).await?;
        heard += answers.next().await.transpose()?.map_or(0, |answer| answer.len());
    }
    Ok(heard)
}

fn main() -> io::Result<()> {
    // Everything runs on this thread, so futures need not be `Send`.
    let executor = Rc::new(LocalExecutor::new());
    smol::block_on(executor.run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let accepting = executor.spawn(accept(Rc::clone(&executor), listener));
        // This task does not end by itself: smol cancels it when its handle is dropped.
        let heartbeat = async {
            let mut beats = Vec::with_capacity(1_000);
            loop {
                Timer::after(Duration::from_millis(1)).await;
                beats.push(std::time::Instant::now());
            }
        };
        let heartbeat = track(heartbeat).named("heartbeat").task_type(TaskType::Background);
        let heartbeat = executor.spawn::<()>(heartbeat);
        let mut clients = Vec::new();
        for number in 0..CLIENTS {
            let task = track(client(address, number)).named("client");
            clients.push(executor.spawn(task));
        }
        for client in clients {
            assert_ne!(client.await?, 0, "the service answered");
        }
        assert_eq!(accepting.await?, CLIENTS * LINES);
        heartbeat.cancel().await;
        println!("{}", get_memory_snapshot());
        Ok(())
    }))
}
