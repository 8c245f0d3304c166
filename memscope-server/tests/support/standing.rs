//! Tasks that hold bytes and stand still.

use std::{future::pending, sync::mpsc};

use memscope_runtime::async_memory::track;
use memscope_tests::workers;
use tokio::runtime::Runtime;

use super::LONG;

/// Starts a runtime with a tracked task of each name that holds this many bytes. Returns when all
/// have started.
pub(crate) fn standing<N: Into<String>>(tasks: impl IntoIterator<Item = (N, usize)>) -> Runtime {
    let runtime = workers(2);
    let (started, starts) = mpsc::channel();
    let mut count = 0;
    for (name, size) in tasks {
        let started = started.clone();
        let work = async move {
            let held = vec![1_u8; size];
            started.send(()).expect("a receiver");
            pending::<()>().await;
            drop(held);
        };
        drop(runtime.spawn(track(work).named(name.into())));
        count += 1;
    }
    for _ in 0..count {
        starts.recv_timeout(LONG).expect("it starts");
    }
    runtime
}
