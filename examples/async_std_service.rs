//! A service on async-std: documents arrive over TCP, a pipeline of tasks compresses them on
//! several threads, and one cache grows.
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::{io, net::SocketAddr, time::Duration};

use async_std::{
    channel::{Receiver, Sender, bounded},
    future::timeout,
    io::{ReadExt, WriteExt},
    net::{Shutdown, TcpListener, TcpStream},
    stream::StreamExt,
    task,
};
use memscope_rs::{
    async_memory::{TaskState, TaskType, get_memory_snapshot, track},
    tracked,
};

const CLIENTS: usize = 8;
const DOCUMENT_BYTES: usize = 64 << 10;

/// Reads one document to its end and passes it on.
#[tracked(task_type = "network")]
async fn receive(mut stream: TcpStream, documents: Sender<Vec<u8>>) -> io::Result<()> {
    let mut document = Vec::with_capacity(DOCUMENT_BYTES);
    stream.read_to_end(&mut document).await?;
    documents.send(document).await.map_err(io::Error::other)
}

/// Compresses each document, and frees what `receive` has allocated.
#[tracked(task_type = "cpu")]
async fn compress(documents: Receiver<Vec<u8>>, small: Sender<Vec<(u8, u32)>>) {
    while let Ok(document) = documents.recv().await {
        let mut runs: Vec<(u8, u32)> = Vec::new();
        for byte in document {
            match runs.last_mut() {
                Some((last, count)) if *last == byte => *count += 1,
                _ => runs.push((byte, 1)),
            }
        }
        if small.send(runs).await.is_err() {
            return;
        }
    }
}

/// Keeps everything that it receives.
#[tracked(task_type = "memory")]
async fn cache(small: Receiver<Vec<(u8, u32)>>) -> Vec<Vec<(u8, u32)>> {
    let mut kept = Vec::new();
    while let Ok(runs) = small.recv().await {
        kept.push(runs);
    }
    kept
}

/// Sends a document with repeated bytes.
async fn send(address: SocketAddr, number: usize) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let letters = b'a'..=b'z';
    let document: Vec<u8> =
        letters.cycle().flat_map(|letter| [letter; 16]).take(DOCUMENT_BYTES - number).collect();
    stream.write_all(&document).await?;
    stream.shutdown(Shutdown::Write)
}

fn main() -> io::Result<()> {
    task::block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (documents, received) = bounded(2);
        let (small, compressed) = bounded(2);
        // Two tasks share the documents. Each may move between async-std's threads.
        for _ in 0..2 {
            task::spawn(compress(received.clone(), small.clone()));
        }
        drop((received, small));
        let cache = task::spawn(cache(compressed));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let client = track(send(address, number)).named("client");
                task::spawn(client.task_type(TaskType::NetworkIntensive))
            })
            .collect();
        let mut incoming = listener.incoming().take(CLIENTS);
        let mut receiving = Vec::new();
        while let Some(stream) = incoming.next().await {
            receiving.push(task::spawn(receive(stream?, documents.clone())));
        }
        // One client never sends anything: its time runs out, and its task is cancelled.
        let silent = TcpStream::connect(address).await?;
        let (late, _) = listener.accept().await?;
        let late = timeout(Duration::from_millis(50), receive(late, documents)).await;
        assert!(late.is_err(), "nothing was said");
        drop(silent);
        for client in clients {
            client.await?;
        }
        for task in receiving {
            task.await?;
        }
        let kept = cache.await;
        assert_eq!(kept.len(), CLIENTS);
        let snapshot = get_memory_snapshot();
        let cancelled = snapshot.tasks().iter().filter(|task| task.state == TaskState::Cancelled);
        assert_eq!(cancelled.count(), 1);
        println!("{snapshot}");
        drop(kept);
        Ok(())
    })
}
