//! Plain data that users and every room may name.

pub(crate) mod timeline;
pub(crate) mod variable_profile;
pub(crate) mod site_profile;
pub(crate) mod task_profile;
pub(crate) mod await_point;
pub(crate) mod brackets;
pub(crate) mod counters;
pub(crate) mod error;
pub(crate) mod event_kind;
pub(crate) mod heap_graph;
pub(crate) mod human;
pub(crate) mod measured;
pub(crate) mod origin;
pub(crate) mod over_budget;
pub(crate) mod process;
pub(crate) mod resident;
pub(crate) mod stack_profile;
pub(crate) mod stacks;
pub(crate) mod state_machine;
pub(crate) mod symbol;
pub(crate) mod task;
pub(crate) mod dumped_memory;
pub(crate) mod task_dump;
pub(crate) mod text;

pub(crate) use await_point::p50_and_p99;
pub use await_point::{AwaitBranch, AwaitFrame, AwaitNode, AwaitPoint, AwaitPoints};
pub(crate) use counters::{TaskCounters, counters, row_of};
pub use dumped_memory::{DumpedCell, DumpedMemory, MemoryPiece};
#[cfg(feature = "report-file")]
pub(crate) use error::Unreadable;
pub use error::{Error, TaskError};
pub use event_kind::EventKind;
pub use heap_graph::{HeapGraph, HeapStep, HeldBy, RootKind, Unreachable};
pub use human::HumanBytes;
pub use measured::Measured;
pub use origin::Origin;
pub use over_budget::{AllocatingCode, Holder, OverBudget, OverBudgetTask};
pub use process::{ProcessMemory, RuntimeMemory, TaskCells, ToolUsage};
pub use resident::{AllocatorKind, AllocatorUsage, Limit, LimitSource, Pressure, Resident};
pub use site_profile::{
    Bucket, HandOver, Place, SharedProfile, SiteProfile, TaskPerformanceMetrics,
};
pub use stack_profile::{Library, StackFrame, StackProfile};
pub use stacks::{Stacks, StacksState};
pub use state_machine::{LocalProfile, StateMachine, WidestState};
pub use task::{TaskId, TaskState, TaskType};
pub use task_dump::{DumpedTask, TaskDump};
pub use task_profile::{Items, TaskMemoryProfile};
pub(crate) use text::MOST_NAME;
pub use text::{Visible, VisiblePath};
pub use timeline::{ProcessPoint, TaskEvent, Timeline, Trend, TrendPoint};
pub use variable_profile::{Extent, VariableProfile, VariableSiteProfile};
