//! What tasks, scopes, streams and spans hold, from their start to whichever end.
//! Each file runs in a process of its own.

mod blocking;
mod panics;
mod scopes;
mod spans;
mod streams;
mod task_states;
mod thread_churn;
mod timing;
mod transfer;

memscope_tests::install!();
memscope_tests::files_apart!();
