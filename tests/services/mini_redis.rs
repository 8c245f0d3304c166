//! mini-redis as published, under a load of real clients. Each connection's task has a row with its
//! bytes, and nothing is lost.
//!
//! Which task allocates what (mini-redis 0.4): the acceptor makes each connection's buffers, 8 KiB
//! to write and 4 KiB to read, and spawns its task, so these are the acceptor's. The connection's
//! own task grows the buffer for reading, and copies keys and values out of it: they stay its own
//! in the store when it has ended. The clients run on threads without a Tokio task.

use std::{collections::HashMap, net::SocketAddr, thread, time::Duration};

use bytes::Bytes;
use memscope_rs::async_memory::{MemorySnapshot, TaskMemoryProfile, TaskState};
use memscope_tests::{alone, block_on, conserved, conserved_when, names_found, workers};
use mini_redis::client::{self, Client};
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    sync::oneshot,
};

use crate::ALLOCATOR;

/// What a connection reads into at first.
const READ_BUFFER: usize = 4 * 1024;
/// The standard size of Tokio's `BufWriter`.
const WRITE_BUFFER: usize = 8 * 1024;

/// A server in an unannotated task, and what stops it.
struct Server {
    runtime: Runtime,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: tokio::task::JoinHandle<mini_redis::Result<()>>,
}

impl Server {
    fn start() -> Self {
        let runtime = workers(4);
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("bound");
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = runtime.spawn(mini_redis::server::run(listener, stopped));
        Self { runtime, address, stop, serving }
    }

    fn stop(self) {
        drop(self.stop);
        self.runtime.block_on(self.serving).expect("no panic").expect("it served");
    }
}

/// A runtime that only drives the futures of this thread: what they allocate is in no task.
fn hands() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// To find names, a snapshot needs memory while it is taken, which `conserved` does not know of.
fn no_names() {
    memscope_rs::builder().name_tasks_from(u64::MAX).init().expect("good settings");
}

/// What the tasks of a server that is over leave behind at the most: tables that a process has
/// once, as that of threads that wait for a lock.
const LEFT: u64 = 16 * 1024;

fn plain(snapshot: &MemorySnapshot) -> impl Iterator<Item = &TaskMemoryProfile> {
    snapshot.tasks().iter().filter(|task| !task.is_annotated)
}

/// Live bytes of all unannotated tasks.
fn held(snapshot: &MemorySnapshot) -> u64 {
    plain(snapshot).map(|task| task.live_bytes).sum()
}

fn rows_of(snapshot: &MemorySnapshot, live_bytes: usize) -> Vec<&TaskMemoryProfile> {
    plain(snapshot).filter(|task| task.live_bytes == live_bytes as u64).collect()
}

/// The request as it comes in: an array of three bulk strings.
fn request_len(key: &str, value_len: usize) -> usize {
    let bulk = |len: usize| format!("${len}\r\n").len() + len + 2;
    "*3\r\n".len() + bulk("set".len()) + bulk(key.len()) + bulk(value_len)
}

/// The buffer that was doubled until the request fitted in; nothing where the acceptor's was large
/// enough.
fn grown_buffer(request_len: usize) -> usize {
    let mut buffer = READ_BUFFER;
    while buffer < request_len {
        buffer *= 2;
    }
    if buffer == READ_BUFFER { 0 } else { buffer }
}

const CONNECTIONS: usize = 64;

fn key_of(connection: usize) -> String {
    format!("key-{connection:03}")
}

fn value_len(connection: usize) -> usize {
    20_011 + 1_013 * connection
}

/// What the connection's task holds when its client has set its value.
fn holds(connection: usize) -> usize {
    let (key, value) = (key_of(connection), value_len(connection));
    key.len() + value + grown_buffer(request_len(&key, value))
}

/// Sets more keys than the connections will, so that the store's table does not grow any more;
/// returns with its connection open.
async fn prepare(address: SocketAddr) -> Client {
    let mut first = client::connect(address).await.expect("connects");
    for number in 0..150 {
        first.set(&format!("warm-{number}"), Bytes::from_static(b"-")).await.expect("set");
    }
    first
}

#[test]
fn each_connection_has_a_row_with_exactly_what_it_allocated() {
    let _alone = alone();
    let (server, hands) = (Server::start(), hands());
    let address = server.address;
    let first = hands.block_on(prepare(address));

    // Each client sets one value and stays connected.
    let mut clients: Vec<Client> = hands.block_on(async {
        let mut clients = Vec::new();
        for connection in 0..CONNECTIONS {
            let mut client = client::connect(address).await.expect("connects");
            let value = Bytes::from(vec![b'.'; value_len(connection)]);
            client.set(&key_of(connection), value).await.expect("set");
            clients.push(client);
        }
        clients
    });
    names_found();
    let snapshot = conserved_when(&ALLOCATOR, |snapshot| {
        (0..CONNECTIONS).all(|connection| {
            matches!(rows_of(snapshot, holds(connection))[..], [row] if row.state == TaskState::Idle)
        })
    });
    for connection in 0..CONNECTIONS {
        let row = rows_of(&snapshot, holds(connection))[0];
        assert!(row.name.starts_with("mini_redis::server::"), "{row:#?}");
        // The reply and the parts of the request are gone again, and were its own.
        assert!(row.peak_bytes > row.live_bytes && row.freed_bytes > 0, "{row:#?}");
        assert_eq!(row.freed_elsewhere_bytes, 0, "{row:#?}");
    }
    // The buffers of all connections, and of the last ones also the cells of their tasks, are the
    // acceptor's.
    let acceptor = plain(&snapshot).max_by_key(|task| task.live_bytes).expect("a row");
    let connections = CONNECTIONS as u64 + 1;
    let per_connection = acceptor.live_bytes / connections;
    let buffers = WRITE_BUFFER as u64..(WRITE_BUFFER + READ_BUFFER) as u64;
    assert!(buffers.contains(&per_connection), "{acceptor:#?}");
    let grown = (0..CONNECTIONS).filter(|connection| value_len(*connection) > READ_BUFFER).count();
    let taken = (grown * READ_BUFFER) as u64;
    assert!(acceptor.freed_elsewhere_bytes >= taken, "the small buffers, grown by others");

    // Each reads what its neighbour has set: the first copy of a value needs a count of references,
    // which is the reader's.
    hands.block_on(async {
        for (connection, client) in clients.iter_mut().enumerate() {
            let neighbour = (connection + 1) % CONNECTIONS;
            let value = client.get(&key_of(neighbour)).await.expect("got").expect("set");
            assert_eq!(value.len(), value_len(neighbour));
        }
    });
    let count = 3 * size_of::<usize>();
    let after_get = |snapshot: &MemorySnapshot| {
        (0..CONNECTIONS).all(|connection| rows_of(snapshot, holds(connection) + count).len() == 1)
    };
    conserved_when(&ALLOCATOR, after_get);

    drop((clients, first));
    server.stop();
    conserved_when(&ALLOCATOR, |snapshot| held(snapshot) < LEFT);
}

/// Threads of clients set, get and publish at random; the law holds at every moment, and in
/// the end the rows hold what the store does.
#[test]
fn under_load_the_sum_is_the_whole_at_every_moment() {
    // Most requests wait until the other side has confirmed the one before. The server lets 250
    // clients in.
    const THREADS: u64 = 16;
    const CLIENTS: u64 = 12;
    const REQUESTS: usize = 20;
    let _alone = alone();
    no_names();
    let server = Server::start();
    let address = server.address;
    let load = |thread: u64| {
        let mut stored: HashMap<String, usize> = HashMap::new();
        block_on(async {
            let mut random = thread.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut clients = Vec::new();
            for _ in 0..CLIENTS {
                clients.push(client::connect(address).await.expect("connects"));
            }
            for request in 0..REQUESTS * clients.len() {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let key = format!("{thread}-{}", random % 50);
                let size = usize::try_from(random % 30_000).expect("small") + 1;
                let place = request % clients.len();
                let client = &mut clients[place];
                match random >> 61 {
                    0..=3 => {
                        client.set(&key, Bytes::from(vec![1; size])).await.expect("set");
                        stored.insert(key, size);
                    }
                    4 | 5 => {
                        let value = client.get(&key).await.expect("got");
                        assert_eq!(value.map(|value| value.len()), stored.get(&key).copied());
                    }
                    6 => {
                        let message = Bytes::from(vec![2; size]);
                        assert_eq!(client.publish(&key, message).await.expect("published"), 0);
                    }
                    // A connection closes, and another one opens.
                    _ => *client = client::connect(address).await.expect("connects"),
                }
            }
        });
        stored
    };
    let (stored, readings) = thread::scope(|scope| {
        let threads: Vec<_> =
            (1..=THREADS).map(|thread| scope.spawn(move || load(thread))).collect();
        let mut readings = 0;
        while !threads.iter().all(thread::ScopedJoinHandle::is_finished) {
            conserved(&ALLOCATOR);
            readings += 1;
            thread::sleep(Duration::from_millis(20));
        }
        let stored = threads.into_iter().flat_map(|thread| thread.join().expect("no panic"));
        (stored.collect::<HashMap<_, _>>(), readings)
    });
    assert!(readings >= 1, "{readings}");
    let values: usize = stored.values().sum();
    // The table, the keys and the counts of references beside the values; and the acceptor, which
    // waits.
    let around = 64 * 1024 + 64 * stored.len();
    let range = values as u64..(values + around) as u64;
    conserved_when(&ALLOCATOR, |snapshot| range.contains(&held(snapshot)));
    server.stop();
    conserved_when(&ALLOCATOR, |snapshot| held(snapshot) < LEFT);
}
