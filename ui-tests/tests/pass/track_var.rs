//! Every form of `track_var!` and `#[derive(Trackable)]`, from the facade, under strict lints.

#![forbid(unsafe_code, unused)]
#![deny(
    warnings,
    clippy::pedantic,
    elided_lifetimes_in_paths,
    missing_debug_implementations,
    missing_docs,
    single_use_lifetimes,
    trivial_casts,
    unreachable_pub,
    unused_lifetimes,
    unused_qualifications,
    variant_size_differences
)]

use memscope_rs::{Trackable, track_var, tracked};

mod reexport {
    pub(crate) use memscope_rs as memory;
}

static CACHE: std::sync::Mutex<Vec<u8>> = std::sync::Mutex::new(Vec::new());

#[derive(Debug, Trackable)]
struct Session<'a, T> {
    user: &'a str,
    rows: Vec<T>,
    nested: (u8, (Vec<u8>, u8)),
    #[trackable(skip)]
    _shared: std::sync::Arc<u8>,
}

#[derive(Debug, Trackable)]
#[trackable(crate = crate::reexport::memory)]
enum State {
    Idle,
    Busy(Vec<u8>),
    Ended { reason: String },
}

impl<T> Session<'_, T> {
    #[tracked]
    async fn run(&mut self, i: usize) {
        track_var!(self.rows, self.nested.1.0, deep: self.rows[i + 1], *self);
        self.rows.truncate(1);
        std::future::ready(()).await;
        track_var!(crate = crate::reexport::memory, self.user);
    }
}

fn generic<T, U>(list: &[T], value: U) -> U {
    for element in list {
        track_var!(*element, list, value);
    }
    value
}

fn main() {
    let mut rows = vec![0_u64; 1_000];
    track_var!(rows);
    rows.push(1);
    let boxed = Box::new(rows);
    track_var!(*boxed, boxed, deep: *boxed, boxed[0], CACHE, *CACHE.lock().expect("unpoisoned"),);
    let mut session = Session {
        user: "ada",
        rows: vec![vec![1], vec![2]],
        nested: (1, (vec![1], 2)),
        _shared: std::sync::Arc::new(1),
    };
    {
        let mut run = std::pin::pin!(session.run(0));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(run.as_mut().poll(&mut context).is_ready());
    }
    let states = [State::Idle, State::Busy(vec![1]), State::Ended { reason: String::new() }];
    for state in &states {
        track_var!(*state, deep: *state);
    }
    assert_eq!(generic(&states, || 1)(), 1);
    assert_eq!(session.rows, [[1]]);
}
