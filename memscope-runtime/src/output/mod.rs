//! Text, JSON files, and reports that a process writes by itself.

#[cfg(feature = "report-file")]
pub(crate) mod auto_report;
#[cfg(feature = "report-file")]
pub(crate) mod file;
#[cfg(feature = "report-file")]
pub(crate) mod input;
pub(crate) mod os_hooks;
pub(crate) mod pressure;
#[cfg(feature = "report-file")]
pub(crate) mod server;
pub(crate) mod start;
pub(crate) mod text;

#[cfg(feature = "report-file")]
pub use auto_report::{ReportGuard, report_guard};
#[cfg(feature = "report-file")]
pub use input::MOST_BYTES;
