//! Futures whose first wait keeps half as much as the second: less than a box saves there.

use std::hint::black_box;

async fn head(id: usize) -> usize {
    let head = [id as u8; 4096];
    shop::turn().await;
    black_box(&head).len()
}

async fn report(id: usize) -> usize {
    head(id).await + shop::read_row(id).await
}

async fn report_boxed(id: usize) -> usize {
    head(id).await + Box::pin(shop::read_row(id)).await
}

fn main() {
    println!("{}", shop::run(report(1)) + shop::run(report_boxed(1)));
}
