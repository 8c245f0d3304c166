//! What memscope itself holds in the program's heap, charged to no task or thread: for a moment,
//! while it reads and writes reports.

use super::current;
use crate::{
    accounting::{Block, Owner, variable},
    primitives::sync::{AtomicI64, Ordering},
    variables::{Blocks, Trackable},
};

static BYTES: AtomicI64 = AtomicI64::new(0);
static BLOCKS: AtomicI64 = AtomicI64::new(0);

pub(crate) fn add(bytes: usize) {
    BYTES.fetch_add(bytes.cast_signed() as i64, Ordering::Relaxed);
    BLOCKS.fetch_add(1, Ordering::Relaxed);
}

pub(crate) fn remove(bytes: usize) {
    BYTES.fetch_sub(bytes.cast_signed() as i64, Ordering::Relaxed);
    BLOCKS.fetch_sub(1, Ordering::Relaxed);
}

/// Charges the current owner with the blocks of a value that was made in memory of memscope's own,
/// and that the program keeps. Sizes are measured, or it is not known how the blocks were
/// allocated.
pub(crate) fn give(value: &impl Trackable) {
    let mut give = |block: Block| {
        let mut owner = None;
        variable::rename(block, |there| {
            // NOTE: nobody else has the block, so that this is asked once.
            (there == Owner::memscope()).then(|| {
                *owner.get_or_insert_with(|| {
                    remove(block.layout.size());
                    current::charge(block.start, block.layout)
                })
            })
        });
    };
    value.visit(&mut Blocks::new(&mut give));
}

/// Bytes and blocks that live now.
pub(crate) fn live() -> (u64, u64) {
    let now = |count: &AtomicI64| u64::try_from(count.load(Ordering::Relaxed)).unwrap_or(0);
    (now(&BYTES), now(&BLOCKS))
}
