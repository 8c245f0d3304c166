//! What every service has before anything is measured.

use std::thread::{self, JoinHandle};

/// A thread that sleeps until this is dropped. Alone in its process, a thread gets shortcuts from
/// glibc; a contender that starts a thread of its own would lose them.
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

/// Blocks of all sizes with gaps between them: in an empty heap, how glibc aligns a block to a
/// cache line depends on what happens to lie behind the last one.
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
