//! The first program in README.md.
#![expect(clippy::print_stdout, reason = "an example prints")]

use memscope_rs::{async_memory::get_memory_snapshot, tracked};

#[tracked(task_type = "io")]
async fn load(kib: usize) -> Vec<u8> {
    let file = vec![0u8; 4 * kib * 1024];
    file[..kib * 1024].to_vec()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let cached = load(100).await;
    load(300).await;
    println!("{}", get_memory_snapshot());
    drop(cached);
}
