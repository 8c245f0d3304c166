//! Services with a collection in one block, which moves to twice its room as it fills.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use memscope_rs::analysis::{LeakKind::Growing, Leaks};
use tokio::{sync::Notify, time::sleep};

use crate::service::{Service, Sickness, judge, lock, passing_work, requests, rounds, start};

pub(crate) const SICK: &[Service] = &[
    Service {
        name: "requests add to one shared vector for ever",
        sickness: Some(Sickness { kind: Growing, site: "handler", variables: &[] }),
        run: || Box::pin(shared_vec()),
    },
    Service {
        name: "workers that add to one map for ever",
        sickness: Some(Sickness { kind: Growing, site: "worker", variables: &[] }),
        run: || Box::pin(map_of_workers()),
    },
];

pub(crate) const HEALTHY: &[Service] = &[
    Service {
        name: "a shared vector that has doubled to its size",
        sickness: None,
        run: || Box::pin(full_vec()),
    },
    Service {
        name: "a shared log that doubles until it is flushed",
        sickness: None,
        run: || Box::pin(flushed_log()),
    },
];

/// Requests that each add a KiB to the vector.
async fn add(vec: &Arc<Mutex<Vec<u64>>>) {
    requests("handler", 40, |_| {
        let vec = Arc::clone(vec);
        async move {
            passing_work(2).await;
            lock(&vec).extend_from_slice(&[7; 128]);
        }
    })
    .await;
}

async fn shared_vec() -> Leaks {
    let vec = Arc::default();
    rounds(async |_| add(&vec).await).await;
    let leaks = judge();
    drop(vec);
    leaks
}

async fn map_of_workers() -> Leaks {
    let map: Arc<Mutex<HashMap<u64, [u8; 512]>>> = Arc::default();
    let more: Vec<Arc<Notify>> = (0..4).map(|_| Arc::default()).collect();
    for more in &more {
        let (map, more) = (Arc::clone(&map), Arc::clone(more));
        start("worker", async move {
            loop {
                more.notified().await;
                for _ in 0..8 {
                    let mut map = lock(&map);
                    let key = map.len() as u64;
                    map.insert(key, [1; 512]);
                }
            }
        });
    }
    rounds(async |_| {
        for more in &more {
            more.notify_one();
        }
        sleep(Duration::from_millis(5)).await;
    })
    .await;
    judge()
}

async fn full_vec() -> Leaks {
    let vec = Arc::default();
    rounds(async |round| {
        if round < 5 {
            add(&vec).await;
        } else {
            requests("handler", 40, |_| passing_work(2)).await;
        }
    })
    .await;
    let leaks = judge();
    drop(vec);
    leaks
}

async fn flushed_log() -> Leaks {
    let log = Arc::default();
    rounds(async |round| {
        add(&log).await;
        if round % 4 == 3 {
            drop(std::mem::take(&mut *lock(&log)));
        }
    })
    .await;
    let leaks = judge();
    drop(log);
    leaks
}
