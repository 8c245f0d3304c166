#![deny(unused_must_use)]

use memscope_rs::tracked;

#[tracked]
async fn load() -> u8 {
    1
}

#[must_use = "it says something"]
#[tracked]
async fn kept() -> u8 {
    1
}

async fn run() {
    load();
    kept();
    kept().await;
}

fn main() {
    drop(run());
}
