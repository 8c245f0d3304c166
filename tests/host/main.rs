//! The host: its forks, its signals, its limit of memory. Each file runs in a process of its own.

mod forks;
mod forks_amid_ends;
mod memory_limit;
mod signals;

memscope_tests::install!();
memscope_tests::files_apart!(memory_limit);
