//! What a snapshot says of limits: the memory limit of the process, and budgets of tasks.

use super::MemorySnapshot;
use crate::model::{OverBudgetTask, Resident};

impl MemorySnapshot {
    /// Where the resident memory of the process is, and its limit.
    ///
    /// ```
    /// use memscope_runtime::async_memory::get_memory_snapshot;
    ///
    /// let resident = get_memory_snapshot().resident();
    /// # #[cfg(target_os = "linux")]
    /// assert!(resident.resident_bytes > Some(0));
    /// ```
    pub fn resident(&self) -> Resident {
        self.parts.resident.clone()
    }

    /// The tasks that a poll has left above their budgets, the newest first, at most 64. Each is
    /// there once.
    pub fn over_budget(&self) -> &[OverBudgetTask] {
        &self.parts.over_budget
    }
}
