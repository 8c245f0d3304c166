//! Services that keep what they are done with: in maps, lists and texts of many kinds.

use std::{
    any::Any,
    collections::{HashMap, HashSet},
    hint::black_box,
    sync::{LazyLock, Mutex, OnceLock},
};

use bytes::{Bytes, BytesMut};
use dashmap::DashMap;
use memscope_rs::analysis::Leaks;
use tokio::task::yield_now;

use crate::{
    clock::sleep,
    service::{Mode, faults, judge, lock, rounds, three_sites},
};

faults! {
    KEPT in "kept", [Mode::Bare];

    labels: "counters by labels that have the path in them", Retained | Growing at "request", Map | Unknown: "bound", "COUNTERS";
    interned: "texts that are interned and leaked", Retained at "request", Unknown | Lost | Map: "bound", "NAMES, or nothing";
    dash_inline: "a `DashMap` that keeps its values in its tables", Growing | Retained at "login", Map: "a capacity or an age", "SESSIONS";
    boxed_by_three: "boxes that requests of three kinds put in one list", Retained | Growing at "order", Unknown | List: "or bound it", "EVENTS";
    small_tables: "a small table for each request, all of them in a list", Retained at "request", Unknown | List: "or bound it", "ROWS";
    own_tables: "a task that keeps a small table for each message", Growing at "reader", Unknown | List: "empty it as it goes", "reader";
    generic: "a generic function that keeps what it is given", Retained at "request", Unknown | List: "bound", "VALUES";
    by_shelf: "a function of another crate of the workspace that keeps what five handlers give it", Retained at "show", Unknown | List: "or bound it", "LINES";
    headers: "slices of messages in a map", Retained at "request", Buffer | Map: "copy what is kept", "ETAGS";
}

async fn labels(mode: Mode) -> Leaks {
    mod metrics {
        use super::{HashMap, Mutex, OnceLock, lock};

        static COUNTERS: OnceLock<Mutex<HashMap<String, Counter>>> = OnceLock::new();

        #[derive(Default)]
        struct Counter {
            count: u64,
            buckets: [u64; 12],
        }

        pub(super) fn count(path: &str, status: u16) {
            let label = format!("requests{{path=\"{path}\",status=\"{status}\"}}");
            let counters = COUNTERS.get_or_init(Mutex::default);
            let mut counters = lock(counters);
            let counter = counters.entry(label).or_default();
            counter.count += 1;
            counter.buckets[usize::from(status) % 12] += 1;
        }
    }
    async fn request(number: usize) {
        yield_now().await;
        metrics::count(&format!("/users/{number:040}/orders"), 200);
    }
    rounds(async |round| {
        for number in 0..100 {
            mode.spawn("request", request(100 * round + number)).await.expect("no panic");
        }
    })
    .await;
    judge()
}

async fn interned(mode: Mode) -> Leaks {
    static NAMES: LazyLock<Mutex<HashSet<&'static str>>> = LazyLock::new(Mutex::default);
    fn intern(name: &str) -> &'static str {
        let mut names = lock(&NAMES);
        if let Some(known) = names.get(name) {
            return known;
        }
        let leaked: &'static str = Box::leak(name.to_owned().into_boxed_str());
        names.insert(leaked);
        leaked
    }
    async fn request(number: usize) {
        let name = format!("tag {number:0500}");
        yield_now().await;
        black_box(intern(&name));
    }
    rounds(async |round| {
        for number in 0..40 {
            mode.spawn("request", request(40 * round + number)).await.expect("no panic");
        }
    })
    .await;
    judge()
}

/// The same hashes in each run.
type Even = std::hash::BuildHasherDefault<std::hash::DefaultHasher>;

async fn dash_inline(mode: Mode) -> Leaks {
    static SESSIONS: LazyLock<DashMap<usize, [usize; 16], Even>> =
        LazyLock::new(|| DashMap::with_hasher_and_shard_amount(Even::default(), 8));
    async fn login(number: usize) {
        yield_now().await;
        SESSIONS.insert(number, [number; 16]);
    }
    rounds(async |round| {
        for number in 0..150 {
            mode.spawn("login", login(150 * round + number)).await.expect("no panic");
        }
    })
    .await;
    judge()
}

async fn boxed_by_three(mode: Mode) -> Leaks {
    static EVENTS: Mutex<Vec<Box<dyn Any + Send>>> = Mutex::new(Vec::new());
    async fn login(number: usize) {
        yield_now().await;
        let event = Box::new([number; 60]);
        lock(&EVENTS).push(event);
    }
    async fn search(number: usize) {
        yield_now().await;
        let event = Box::new((number, [1u8; 600]));
        lock(&EVENTS).push(event);
    }
    async fn order(number: usize) {
        yield_now().await;
        let event = Box::new(["order"; 40].map(|it| (it, number)));
        lock(&EVENTS).push(event);
    }
    three_sites(mode, login, search, order).await;
    judge()
}

async fn small_tables(mode: Mode) -> Leaks {
    static ROWS: Mutex<Vec<HashMap<usize, [usize; 12]>>> = Mutex::new(Vec::new());
    async fn request(number: usize) {
        yield_now().await;
        let mut row = HashMap::new();
        for column in 0..12 {
            row.insert(column, [number; 12]);
        }
        lock(&ROWS).push(row);
    }
    rounds(async |round| {
        for number in 0..30 {
            mode.spawn("request", request(30 * round + number)).await.expect("no panic");
        }
    })
    .await;
    judge()
}

async fn own_tables(mode: Mode) -> Leaks {
    async fn reader() {
        let mut rows: Vec<HashMap<usize, [usize; 12]>> = Vec::new();
        for number in 0.. {
            let mut row = HashMap::new();
            for column in 0..12 {
                row.insert(column, [number; 12]);
            }
            rows.push(row);
            black_box(&rows);
            sleep(3).await;
        }
    }
    mode.spawn("reader", reader());
    rounds(async |_| {}).await;
    judge()
}

async fn generic(mode: Mode) -> Leaks {
    static VALUES: Mutex<Vec<Box<dyn Any + Send>>> = Mutex::new(Vec::new());
    fn remember<T: Clone + Send + 'static>(value: &T) {
        let value = Box::new(value.clone());
        lock(&VALUES).push(value);
    }
    async fn request(number: u64) {
        let point = [number; 50];
        yield_now().await;
        remember(&point);
        remember(&(point, "seen"));
    }
    rounds(async |_| {
        for number in 0..40 {
            mode.spawn("request", request(number)).await.expect("no panic");
        }
    })
    .await;
    judge()
}

async fn by_shelf(mode: Mode) -> Leaks {
    macro_rules! handlers {
        ($($name:ident)*) => {
            $(async fn $name(number: usize) {
                yield_now().await;
                memscope_tests::shelf::note(number);
            })*
            rounds(async |round| {
                for number in 0..20 {
                    $(mode.spawn(stringify!($name), $name(20 * round + number)).await.expect("no panic");)*
                }
            })
            .await;
        };
    }
    handlers!(list create update delete show);
    judge()
}

async fn headers(mode: Mode) -> Leaks {
    static ETAGS: LazyLock<Mutex<HashMap<usize, Bytes>>> = LazyLock::new(Mutex::default);
    async fn request(number: usize) {
        let mut message = BytesMut::with_capacity(4_096);
        message.extend_from_slice(&[b'e'; 3_000]);
        yield_now().await;
        let etag = message.split_to(20).freeze();
        lock(&ETAGS).insert(number, etag);
    }
    rounds(async |round| {
        for number in 0..30 {
            mode.spawn("request", request(30 * round + number)).await.expect("no panic");
        }
    })
    .await;
    judge()
}
