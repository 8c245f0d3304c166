//! One opaque error for what can fail outside the allocator.

use std::{any::Any, fmt};

use crate::{probe::Measured, task::TaskId};

/// Why a call of memscope failed; its `Display` says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Setting { name: &'static str, value: u64, most: u64 },
    MonitorNotStarted,
    MonitorRunning,
    NotMeasured(Measured),
    TaskIsOver(TaskId),
}

impl Error {
    pub(crate) fn setting(name: &'static str, value: u64, most: u64) -> Self {
        Self { kind: Kind::Setting { name, value, most } }
    }

    pub(crate) fn monitor_not_started() -> Self {
        Self { kind: Kind::MonitorNotStarted }
    }

    pub(crate) fn monitor_running() -> Self {
        Self { kind: Kind::MonitorRunning }
    }

    pub(crate) fn not_measured(why: Measured) -> Self {
        Self { kind: Kind::NotMeasured(why) }
    }

    pub(crate) fn task_is_over(task: TaskId) -> Self {
        Self { kind: Kind::TaskIsOver(task) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Setting { name, value, most } => {
                write!(f, "`{name}` is {value}, expected a number from 1 to {most}")
            }
            Kind::MonitorNotStarted => f.write_str(
                "the monitor is not running: call `start_monitoring` before `stop_monitoring`",
            ),
            Kind::MonitorRunning => f.write_str(
                "the monitor is already running: call `stop_monitoring` before starting it again",
            ),
            Kind::NotMeasured(why) => write!(f, "sizes are not measured: {}", why.reason()),
            Kind::TaskIsOver(task) => write!(
                f,
                "task #{task} is over or never was: transfer to a task whose future still exists"
            ),
        }
    }
}

impl std::error::Error for Error {}

/// Why the future of [`create_tracked`](crate::async_memory::create_tracked) gave no output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskError {
    /// It panicked, with this message.
    Panicked(String),
}

impl TaskError {
    /// From what `std::panic::catch_unwind` caught.
    pub(crate) fn panicked(payload: &(dyn Any + Send)) -> Self {
        let message = payload
            .downcast_ref::<&'static str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Self::Panicked(message.unwrap_or("a value that is not a string").to_owned())
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Panicked(message) = self;
        write!(f, "the task panicked: {message}")
    }
}

impl std::error::Error for TaskError {}
