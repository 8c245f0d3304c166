//! Plain data that users and every room may name.

pub(crate) mod await_point;
pub(crate) mod error;
pub(crate) mod event_kind;
pub(crate) mod human;
pub(crate) mod measured;
pub(crate) mod origin;
pub(crate) mod profile;
pub(crate) mod state_machine;
pub(crate) mod task;
pub(crate) mod text;

pub use await_point::{AwaitFrame, AwaitPoint, AwaitPoints};
#[cfg(feature = "report-file")]
pub(crate) use error::Unreadable;
pub use error::{Error, TaskError};
pub use event_kind::EventKind;
pub use human::HumanBytes;
pub use measured::Measured;
pub use origin::Origin;
pub use profile::{
    Bucket, Extent, HandOver, Items, Place, ProcessMemory, ProcessPoint, RuntimeMemory,
    SharedProfile, SiteProfile, TaskEvent, TaskMemoryProfile, TaskPerformanceMetrics, Timeline,
    ToolUsage, Trend, TrendPoint, VariableProfile, VariableSiteProfile,
};
pub use state_machine::{LocalProfile, StateMachine, WidestState};
pub use task::{TaskId, TaskState, TaskType};
pub(crate) use text::MOST_NAME;
pub use text::{Visible, VisiblePath};
