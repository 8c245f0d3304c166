//! What every service has before anything is measured: a second thread, and a heap with gaps.

use std::thread::{self, JoinHandle};

/// Both, for as long as this lives.
///
/// Alone in its process, a thread gets shortcuts from glibc, which a contender loses that starts a thread of its own. And in an empty heap the ways
/// of the C library depend on what happens to lie behind the last block.
#[derive(Debug)]
pub(crate) struct LivedIn {
    second: JoinHandle<()>,
    _blocks: Vec<Vec<u8>>,
}

impl LivedIn {
    pub(crate) fn new() -> Self {
        let mut blocks: Vec<Vec<u8>> =
            (0..2_000).map(|place| Vec::with_capacity(16 + place * 37 % 2_000)).collect();
        let mut place = 0;
        blocks.retain(|_| {
            place += 1;
            place % 3 != 0
        });
        Self { second: thread::spawn(thread::park), _blocks: blocks }
    }
}

impl Drop for LivedIn {
    fn drop(&mut self) {
        self.second.thread().unpark();
    }
}
