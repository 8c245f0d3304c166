//! Whole services. Each file runs in a process of its own.

// Examples name the facade. Here this crate stands for it: the runtime and the macros, and an
// allocator of the tests'.
extern crate memscope_rs as runtime;
extern crate self as memscope_rs;

mod mini_redis;
mod tower_bounds;
mod tower_layer;
mod tower_service;
mod web_service;

use memscope_macros::tracked;
use runtime::*;

memscope_tests::install!();
memscope_tests::files_apart!();
