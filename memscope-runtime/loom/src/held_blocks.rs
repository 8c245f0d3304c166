//! Blocks that one thread frees while another may hold them.

use loom::{sync::Arc, thread};

use crate::{Plain, primitives::held_block::HeldBlock};

/// An entry, and a block that is not atomic: its number of bytes, 0 once it was given back.
struct Table {
    entry: HeldBlock,
    block: Plain,
}

const BLOCK: u64 = 64;

impl Table {
    fn new() -> Arc<Self> {
        Arc::new(Self { entry: HeldBlock::empty(), block: Plain::new() })
    }

    /// Makes the block, with 10 bytes.
    fn make(&self) {
        self.block.replace(10);
        self.entry.enter(BLOCK);
    }

    fn free(&self) -> bool {
        // The owner's last change.
        self.block.replace(11);
        let is_free = self.entry.leave();
        if is_free {
            self.give_back();
        }
        is_free
    }

    fn give_back(&self) {
        assert_eq!(self.block.replace(0), 11, "given back twice");
    }

    /// Looks at the block, as a report does. Returns whether the block was left to this thread.
    fn look(&self) -> bool {
        let Some(block) = self.entry.hold() else { return false };
        assert_eq!(block, BLOCK);
        let is_left = self.entry.let_go();
        if is_left {
            self.give_back();
        }
        is_left
    }
}

/// The thread that frees a block and the reader that holds it agree on which of them gives the
/// memory back.
#[test]
fn a_block_is_given_back_once_whether_or_not_a_reader_holds_it() {
    loom::model(|| {
        let table = Table::new();
        table.make();
        let reader = {
            let table = Arc::clone(&table);
            thread::spawn(move || table.look())
        };
        let by_owner = table.free();
        let by_reader = reader.join().unwrap();
        assert_eq!((by_owner, table.block.get()), (!by_reader, 0));
        assert_eq!(table.entry.block(), 0);
    });
}

/// A reader reads a block only while it is there, and what was written before it was entered.
#[test]
fn a_block_that_is_held_stays_until_the_reader_lets_go() {
    loom::model(|| {
        let table = Table::new();
        let reader = {
            let table = Arc::clone(&table);
            thread::spawn(move || {
                if table.entry.hold().is_some() {
                    // The owner writes only what no reader looks at.
                    assert_eq!(table.block.get(), 10);
                    if table.entry.let_go() {
                        assert_eq!(table.block.replace(0), 10);
                    }
                }
            })
        };
        table.make();
        if table.entry.leave() {
            assert_eq!(table.block.replace(0), 10);
        }
        reader.join().unwrap();
        assert_eq!((table.block.get(), table.entry.block()), (0, 0));
    });
}
