//! Tasks without an annotation: their names, their numbers and their bytes.
//! Each file runs in a process of its own.

mod names_after_fork;
mod names_of_programs;
mod runtime_hooks;
mod task_ends;
mod task_names;
mod type_names;
mod unannotated_counts;
mod unannotated_memory;
mod unannotated_server;
mod unannotated_tasks;

memscope_tests::install!();
memscope_tests::files_apart!();
