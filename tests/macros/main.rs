//! What the macros accept and leave as it is. Each file runs in a process of its own.

mod derive_trackable;
mod macro_drop_order;
mod macro_forms;
mod macro_size;
mod track_var_forms;

memscope_tests::install!();
memscope_tests::files_apart!();
