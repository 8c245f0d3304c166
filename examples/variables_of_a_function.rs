//! Variables of an async function: registered, used, and moved.
#![allow(
    unused_imports,
    clippy::all,
    clippy::pedantic,
    clippy::print_stdout,
    reason = "the code stands as it was designed"
)]

use memscope_rs::{init, track_var};
use tokio;

#[tokio::main]
pub(crate) async fn main() {
    init();

    let result = async_computation().await;
    track_var!(result);

    println!("computation done: {:?}", result);

    what_memscope_saw();
}

async fn async_computation() -> Vec<i32> {
    let data = vec![1, 2, 3, 4, 5];
    track_var!(data);

    tokio::time::sleep(tokio::time::Duration::from_millis(100)).await;

    data.into_iter().map(|x| x * 2).collect()
}

/// `collect` reuses the block of the vector that it consumes. So one block of 20 bytes has two
/// names, and `data` lives on in `result`: a variable lives until its block is freed.
fn what_memscope_saw() {
    for variable in memscope_rs::async_memory::get_memory_snapshot().variables() {
        println!(
            "`{}` (line {}): {} bytes, {} for {:.1} ms",
            variable.name,
            variable.line,
            variable.heap_bytes,
            if variable.live { "alive" } else { "lived" },
            variable.lifetime_ns as f64 / 1e6,
        );
    }
}
