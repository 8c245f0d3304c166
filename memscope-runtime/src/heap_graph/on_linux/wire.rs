//! What the copy of the process tells: a stream of words.

use crate::picture::{Asker, Refused};

/// What comes next in the stream.
pub(super) const TOTALS: u64 = 1;
pub(super) const ROOT: u64 = 2;
pub(super) const CELL: u64 = 3;
pub(super) const SHARED: u64 = 4;
pub(super) const LEAK: u64 = 5;
/// Instead of all others: there was no memory for the graph, or no room.
pub(super) const NO_ROOM: u64 = 6;
pub(super) const RUNTIME: u64 = 7;

/// Blocks that were made by tasks of one site, in one size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    /// The index of the site.
    pub(super) site: u64,
    /// The id of the task, if all were made by the same one; 0: none, or several.
    pub(super) task: u64,
    /// The index of the stack of one of them that was sampled, + 1; 0: none was.
    pub(super) stack: u64,
    pub(super) blocks: u64,
    /// The sum of their own sizes.
    pub(super) own_bytes: u64,
    /// With all that is held through them alone.
    pub(super) bytes: u64,
}

impl Group {
    pub(super) fn words(self) -> [u64; 6] {
        [self.site, self.task, self.stack, self.blocks, self.own_bytes, self.bytes]
    }

    fn of([site, task, stack, blocks, own_bytes, bytes]: [u64; 6]) -> Self {
        Self { site, task, stack, blocks, own_bytes, bytes }
    }
}

/// Groups, after their number.
pub(super) fn groups(asker: &mut Asker<'_>) -> Result<Vec<Group>, Refused> {
    const MOST: u64 = 1 << 16;
    let count = asker.word()?;
    if count > MOST {
        return Err(Refused::Broken);
    }
    (0..count).map(|_| asker.words().map(Group::of)).collect()
}
