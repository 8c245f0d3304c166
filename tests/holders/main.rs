//! The heap's graph: which roots hold which blocks. Each file runs in a process of its own.

mod held_by_tasks;
mod hostile;
mod random_heaps;
mod what_holds;

memscope_tests::install!(memscope_tests::Zeroing, memscope_tests::Zeroing);
memscope_tests::files_apart!();
