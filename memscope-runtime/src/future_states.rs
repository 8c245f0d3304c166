//! State machines and variables one by one, and what analysers make of them.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{error::Error, task::TaskId};

/// What an [`AllocationInfo`] describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AllocationKind {
    /// The state machine of a living task.
    StateMachine,
    /// A live variable that `track_var!` registered.
    Variable,
}

/// Memory that is known one by one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllocationInfo {
    /// What it is.
    pub kind: AllocationKind,
    /// Bytes.
    pub size: usize,
    /// Its type.
    pub type_name: Cow<'static, str>,
    /// The task it belongs to.
    pub task: Option<TaskId>,
}

/// The sizes of state machines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AsyncAnalysisReport {
    /// How many.
    pub async_allocation_count: usize,
}

/// Looks at state machines.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsyncAnalyzer {}

/// The tracker of this process.
#[derive(Clone, Copy, Debug)]
pub struct GlobalTracker {}

/// The tracker of this process.
pub fn get_global_tracker() -> GlobalTracker {
    GlobalTracker {}
}

impl GlobalTracker {
    /// What is known one by one.
    ///
    /// # Errors
    ///
    /// None yet.
    pub fn get_active_allocations(&self) -> Result<Vec<AllocationInfo>, Error> {
        Ok(Vec::new())
    }
}
