#![deny(unused)]

use memscope_rs::tracked;

#[tracked]
pub async fn load(used: String, unused: Vec<u8>, other: &str, mut same: u8) -> usize {
    used.len() + usize::from(same)
}

#[must_use = "for this it stays an `async fn`"]
#[tracked]
pub async fn kept(used: String, (unused, _): (u8, u8)) -> usize {
    used.len()
}

#[tracked]
async fn dead() {}

fn main() {}
