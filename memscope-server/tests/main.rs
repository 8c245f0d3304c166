//! What is served over HTTP, and the metrics of registries and meters. Each file runs in a process
//! of its own.

mod support;

mod clients;
mod crowd;
#[cfg(target_os = "linux")]
mod discovery;
mod endpoints;
mod environment;
mod hidden;
mod holders;
#[cfg(all(feature = "prometheus-client", feature = "opentelemetry"))]
mod metrics_adapters;
mod mounted;
mod prometheus;
mod scrapers;
mod sharing;
mod shutdown;
mod stuck;
mod tasks;

memscope_tests::install!();
memscope_tests::files_apart!();
