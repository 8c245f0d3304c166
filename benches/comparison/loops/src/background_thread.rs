//! A second thread and a fragmented heap, which every service has: both exist before a measurement.

use std::thread::{self, JoinHandle};

/// A thread that sleeps until this is dropped. In a process with one thread glibc takes shortcuts.
/// A contender that starts a thread of its own would lose them.
#[derive(Debug)]
pub(crate) struct SecondThread(JoinHandle<()>);

impl SecondThread {
    pub(crate) fn start() -> Self {
        Self(thread::spawn(thread::park))
    }
}

impl Drop for SecondThread {
    fn drop(&mut self) {
        self.0.thread().unpark();
    }
}

/// Allocates blocks of all sizes with gaps between them. In an empty heap the last block decides
/// how glibc aligns the next one to a cache line.
pub(crate) fn fragmented_heap() -> Vec<Vec<u8>> {
    let mut blocks: Vec<Vec<u8>> =
        (0..2_000).map(|place| Vec::with_capacity(16 + place * 37 % 2_000)).collect();
    let mut place = 0;
    blocks.retain(|_| {
        place += 1;
        place % 3 != 0
    });
    blocks
}
