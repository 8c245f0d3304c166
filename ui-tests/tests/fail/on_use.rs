use memscope_rs::tracked;

#[tracked]
use std::future::Future as _;

fn main() {}
