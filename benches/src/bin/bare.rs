//! The loops without memscope: System allocator, Tokio's own spawn.
#![expect(clippy::print_stdout, reason = "the figures are its output")]

use memscope_benches::{ALLOCATIONS, median_of, per_poll, per_spawn, polls};

fn main() {
    for (name, work) in ALLOCATIONS {
        println!("{name}\t{}", median_of(work));
    }
    println!("poll\t{}", median_of(|| per_poll(|| tokio::spawn(polls()))));
    println!("spawn and join\t{}", median_of(|| per_spawn(|| tokio::spawn(async { 1 }))));
}
