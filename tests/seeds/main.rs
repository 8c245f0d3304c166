//! The programs of the documents that the project comes from, in `examples/`.
//! Each file runs in a process of its own.

// Examples name the facade. Here this crate stands for it: the runtime and the macros, and an
// allocator of the tests'.
extern crate memscope_rs as runtime;
extern crate self as memscope_rs;

mod seeds_analysis_01;
mod seeds_analysis_02;
mod seeds_analysis_03;
mod seeds_analysis_04;
mod seeds_analysis_05;
mod seeds_analysis_06;
mod seeds_analysis_07;
mod seeds_analysis_08;
mod seeds_module_01;
mod seeds_module_02;
mod seeds_module_03;
mod seeds_module_04;
mod seeds_module_05;

use memscope_macros::track_var;
use runtime::*;

memscope_tests::install!();
memscope_tests::files_apart!();
