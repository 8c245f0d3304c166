//! The layout of Tokio's tasks: where the block of a task has its future.

use serde::{Deserialize, Serialize};

use crate::{coroutine::Discriminant, type_id::TypeId};

/// The layout of the block, Tokio's `Cell`, that holds a task of one type. Offsets are in bytes
/// from its start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TaskLayout {
    /// The size of the block.
    pub size: u64,
    /// Where the task's id is.
    pub id_offset: u64,
    /// Where the future is, as long as the task has not ended.
    pub future_offset: u64,
    /// The type of the future.
    pub future_type: TypeId,
    /// The discriminant that says whether the block has the future, its output or neither.
    pub stage: Discriminant,
    /// Its value while the block has the future.
    pub has_future: u64,
    /// The room of the future, which its output takes afterwards; `None` if debug information does
    /// not tell.
    #[serde(default)]
    pub stage_room: Option<Room>,
    /// The room of the output; `None` as above.
    #[serde(default)]
    pub output: Option<Output>,
}

/// A part of a block, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Room {
    /// Its offset in the block.
    pub offset: u64,
    /// Its size.
    pub size: u64,
}

/// Where the block of a task has the output: what the future returned, or why it did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Output {
    /// The value of [`TaskLayout::stage`] while the block has the output.
    pub has_output: u64,
    /// The room that it takes.
    pub room: Room,
}
