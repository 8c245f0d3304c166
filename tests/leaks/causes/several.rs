//! Services in which tasks of several kinds add to one collection.

use std::{
    collections::HashMap,
    hint::black_box,
    sync::{LazyLock, Mutex},
};

use memscope_rs::analysis::Leaks;
use tokio::task::yield_now;

use crate::{
    clock::sleep,
    service::{Mode, faults, judge, lock, rounds, three_sites},
};

faults! {
    SEVERAL in "several", Mode::ALL;

    events: "a list of events that requests of three kinds add to", Growing at "order", List: "what is done with, or bound it", "EVENTS";
    replies: "a map of replies that requests of three kinds add to", Growing at "search", Map: "a capacity or an age", "REPLIES";
    journal: "a list of events that three tasks which stay add to", Growing at "sync", List: "what is done with, or bound it", "JOURNAL";
    audited: "ten handlers that all call a function which adds to a list", Retained at "upload", List | Unknown: "what a task has put", "AUDIT";
}

async fn events(mode: Mode) -> Leaks {
    static EVENTS: Mutex<Vec<[usize; 16]>> = Mutex::new(Vec::new());
    async fn login(number: usize) {
        yield_now().await;
        lock(&EVENTS).push([number; 16]);
    }
    async fn search(number: usize) {
        yield_now().await;
        lock(&EVENTS).push([number; 16]);
    }
    async fn order(number: usize) {
        yield_now().await;
        lock(&EVENTS).push([number; 16]);
    }
    three_sites(mode, login, search, order).await;
    judge()
}

async fn replies(mode: Mode) -> Leaks {
    static REPLIES: LazyLock<Mutex<HashMap<usize, [usize; 16]>>> = LazyLock::new(Mutex::default);
    async fn login(number: usize) {
        yield_now().await;
        lock(&REPLIES).insert(number, [number; 16]);
    }
    async fn search(number: usize) {
        yield_now().await;
        lock(&REPLIES).insert(number, [number; 16]);
    }
    async fn order(number: usize) {
        yield_now().await;
        lock(&REPLIES).insert(number, [number; 16]);
    }
    three_sites(mode, login, search, order).await;
    judge()
}

/// One of them adds at each beat.
async fn journal(mode: Mode) -> Leaks {
    static JOURNAL: Mutex<Vec<[usize; 16]>> = Mutex::new(Vec::new());
    async fn mail() {
        loop {
            (0..4).for_each(|number| lock(&JOURNAL).push([number; 16]));
            sleep(3).await;
        }
    }
    async fn poll() {
        sleep(1).await;
        loop {
            (0..4).for_each(|number| lock(&JOURNAL).push([number; 16]));
            sleep(3).await;
        }
    }
    async fn sync() {
        sleep(2).await;
        loop {
            (0..4).for_each(|number| lock(&JOURNAL).push([number; 16]));
            sleep(3).await;
        }
    }
    mode.spawn("mail", mail());
    mode.spawn("poll", poll());
    mode.spawn("sync", sync());
    rounds(async |_| {}).await;
    judge()
}

async fn audited(mode: Mode) -> Leaks {
    static AUDIT: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
    fn audit() {
        lock(&AUDIT).push(black_box(vec![1; 500]));
    }
    macro_rules! handlers {
        ($($name:ident)*) => {
            $(async fn $name() {
                yield_now().await;
                audit();
            })*
            rounds(async |_| {
                for _ in 0..20 {
                    $(mode.spawn(stringify!($name), $name()).await.expect("no panic");)*
                }
            })
            .await;
        };
    }
    handlers!(list show create update delete search login logout upload report);
    judge()
}
