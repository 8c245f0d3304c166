//! Every byte is charged to its task, and to no other. Each file runs in a process of its own.

mod accuracy;
mod concurrent_stress;
mod cross_thread_frees;
mod model;
mod ownership;
mod spawn_cell;

memscope_tests::install!();
memscope_tests::files_apart!();
