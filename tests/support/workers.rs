//! Threads that share a list of work.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

/// Calls the function with each of these, this many at a time. Returns what it returned, in the
/// order of the list.
///
/// # Panics
///
/// When the function panics.
pub fn each<T: Sync, R: Send>(
    all: &[T],
    at_a_time: usize,
    call: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let some = || {
        let mut done = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(it) = all.get(place) else { return done };
            done.push((place, call(it)));
        }
    };
    let mut done: Vec<(usize, R)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..at_a_time.min(all.len())).map(|_| scope.spawn(some)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, it)| it).collect()
}
