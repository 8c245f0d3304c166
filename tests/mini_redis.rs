//! mini-redis as published, under a load of real clients: each connection's task has a row with its bytes, and nothing is lost.
//!
//! Who allocates what (mini-redis 0.4): the task that accepts makes each connection's buffers, 8 KiB to write and 4 KiB to read, and
//! spawns its task, so these are the acceptor's. The connection's own task grows the buffer for reading, and copies keys and
//! values out of it: they stay its own in the store when it has ended. The clients run on threads without a Tokio task.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    thread,
    time::Duration,
};

use bytes::Bytes;
use memscope_rs::async_memory::{
    MemorySnapshot, TaskMemoryProfile, TaskState, get_memory_snapshot,
};
use memscope_tests::{alone, block_on, conserved, conserved_when, workers};
use mini_redis::client::{self, Client};
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    sync::oneshot,
};

memscope_tests::install!();

/// What a connection reads into at first.
const READ_BUFFER: usize = 4 * 1024;
/// The standard size of Tokio's `BufWriter`.
const WRITE_BUFFER: usize = 8 * 1024;

/// A server in a task that nobody annotated, and what stops it.
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

/// What a server that is over leaves behind, of a kind that a process has once: the table of threads that wait for a lock.
fn left_by_a_server() -> u64 {
    static ONCE: OnceLock<u64> = OnceLock::new();
    *ONCE.get_or_init(|| {
        let more_threads_than_later = workers(16);
        let meeting = Arc::new(std::sync::Barrier::new(16));
        for _ in 0..16 {
            let meeting = Arc::clone(&meeting);
            more_threads_than_later.spawn(async move {
                meeting.wait();
            });
        }
        drop(more_threads_than_later);
        let server = Server::start();
        hands().block_on(async {
            drop(prepare(server.address).await);
        });
        server.stop();
        held(&conserved(&ALLOCATOR))
    })
}

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

/// The buffer that was doubled until the request fitted in; nothing where the acceptor's was large enough.
fn grown_buffer(request_len: usize) -> usize {
    let mut buffer = READ_BUFFER;
    while buffer < request_len {
        buffer *= 2;
    }
    if buffer == READ_BUFFER { 0 } else { buffer }
}

const CONNECTIONS: usize = 64;

/// Tokio keeps a list of the sockets that were closed lately; some tasks find it full, and make it longer.
const FEW: usize = 6;
const LIST_OF_CLOSED: u64 = 512;

/// Tasks that hold so much are named by their futures.
const LEAST_NAMED: u64 = 100_000;

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

/// Sets more keys than the connections will, so that the store's table does not grow any more; returns with its connection open.
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
    no_names();
    let left = left_by_a_server();
    memscope_rs::builder().name_tasks_from(LEAST_NAMED).init().expect("good settings");
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
    // The first snapshot finds the names.
    drop(get_memory_snapshot());
    let snapshot = conserved_when(&ALLOCATOR, |snapshot| {
        (0..CONNECTIONS).all(|connection| rows_of(snapshot, holds(connection)).len() == 1)
    });
    for connection in 0..CONNECTIONS {
        let row = rows_of(&snapshot, holds(connection))[0];
        let is_named = row.name.contains("mini_redis");
        assert_eq!(is_named, row.peak_bytes >= LEAST_NAMED, "{row:#?}");
        // The reply and the parts of the request are gone again, and were its own.
        assert!(row.peak_bytes > row.live_bytes && row.freed_bytes > 0, "{row:#?}");
        assert_eq!((row.state, row.freed_elsewhere_bytes), (TaskState::Unknown, 0), "{row:#?}");
    }
    // The buffers of all connections, and of the last ones also the cells of their tasks, are the acceptor's.
    let acceptor = plain(&snapshot).max_by_key(|task| task.live_bytes).expect("a row");
    let connections = CONNECTIONS as u64 + 1;
    let per_connection = acceptor.live_bytes / connections;
    let buffers = WRITE_BUFFER as u64..(WRITE_BUFFER + READ_BUFFER) as u64;
    assert!(buffers.contains(&per_connection), "{acceptor:#?}");
    let grown = (0..CONNECTIONS).filter(|connection| value_len(*connection) > READ_BUFFER).count();
    let taken = (grown * READ_BUFFER) as u64;
    assert!(acceptor.freed_elsewhere_bytes >= taken, "the small buffers, grown by others");

    // Each reads what its neighbour has set: the first copy of a value needs a count of references, which is the reader's.
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

    // The clients close: the buffers go, what the store keeps stays with the tasks that allocated it.
    drop((clients, first));
    let kept = |connection| key_of(connection).len() + value_len(connection) + count;
    let exact = |snapshot: &MemorySnapshot| {
        (0..CONNECTIONS).filter(|c| rows_of(snapshot, kept(*c)).len() == 1).count()
    };
    let snapshot = conserved_when(&ALLOCATOR, |snapshot| exact(snapshot) >= CONNECTIONS - FEW);
    for connection in 0..CONNECTIONS {
        let (least, most) = (kept(connection) as u64, kept(connection) as u64 + LIST_OF_CLOSED);
        let rows = plain(&snapshot).filter(|task| (least..=most).contains(&task.live_bytes));
        assert_eq!(rows.count(), 1, "connection {connection}: {least} bytes\n{snapshot:#}");
    }

    // The values are overwritten by one more client: what is left are the keys and the counts.
    hands.block_on(async {
        let mut last = client::connect(address).await.expect("connects");
        for connection in 0..CONNECTIONS {
            last.set(&key_of(connection), Bytes::new()).await.expect("set");
        }
    });
    let keys = key_of(0).len();
    conserved_when(&ALLOCATOR, |snapshot| rows_of(snapshot, keys).len() >= CONNECTIONS - FEW);

    server.stop();
    conserved_when(&ALLOCATOR, |snapshot| held(snapshot) == left);
}

/// The slots of a channel are made by its first subscriber; a message is the publisher's, whoever delivers it last.
#[test]
fn a_published_message_is_the_publishers_and_is_freed_by_the_subscribers() {
    const SUBSCRIBERS: usize = 8;
    const MESSAGE: usize = 300_007;
    let _alone = alone();
    no_names();
    let left = left_by_a_server();
    let (server, hands) = (Server::start(), hands());
    let address = server.address;
    hands.block_on(async {
        let mut subscribers = Vec::new();
        for _ in 0..SUBSCRIBERS {
            let client = client::connect(address).await.expect("connects");
            subscribers.push(client.subscribe(vec!["news".to_owned()]).await.expect("subscribed"));
        }
        let slots = 1_024 * size_of::<Bytes>() as u64;
        let snapshot = conserved(&ALLOCATOR);
        let channels =
            plain(&snapshot).filter(|task| (slots..3 * slots).contains(&task.live_bytes));
        assert!(channels.count() >= 1, "{snapshot:#}");

        let mut publisher = client::connect(address).await.expect("connects");
        let message = Bytes::from(vec![b'!'; MESSAGE]);
        let reached = publisher.publish("news", message).await.expect("published");
        assert_eq!(reached, SUBSCRIBERS as u64);
        for subscriber in &mut subscribers {
            let message = subscriber.next_message().await.expect("received").expect("open");
            assert_eq!(message.content.len(), MESSAGE);
        }
        let is_publisher = |task: &&TaskMemoryProfile| {
            task.peak_bytes >= MESSAGE as u64 && task.freed_elsewhere_bytes >= MESSAGE as u64
        };
        let snapshot = conserved_when(&ALLOCATOR, |snapshot| {
            plain(snapshot).filter(is_publisher).count() == 1
        });
        let publisher_row = plain(&snapshot).find(is_publisher).expect("one");
        let buffer = grown_buffer(MESSAGE) as u64;
        assert!((buffer..buffer + 1_024).contains(&publisher_row.live_bytes), "{publisher_row:#?}");
    });
    server.stop();
    conserved_when(&ALLOCATOR, |snapshot| held(snapshot) == left);
}

/// Four threads of clients set, get and publish at random; the law holds at every moment, and in the end the rows hold what the store does.
#[test]
fn under_load_the_sum_is_the_whole_at_every_moment() {
    const THREADS: u64 = 4;
    const CLIENTS: u64 = 25;
    const REQUESTS: usize = 40;
    let _alone = alone();
    no_names();
    let left = left_by_a_server();
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
    assert!(readings >= 3, "{readings}");
    let values: usize = stored.values().sum();
    // The table, the keys and the counts of references beside the values; and the acceptor, which waits.
    let around = 16 * 1024 + 64 * stored.len();
    let range = left + values as u64..left + (values + around) as u64;
    conserved_when(&ALLOCATOR, |snapshot| range.contains(&held(snapshot)));
    server.stop();
    conserved_when(&ALLOCATOR, |snapshot| held(snapshot) == left);
}
