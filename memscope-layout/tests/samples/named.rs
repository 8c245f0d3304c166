//! A program whose functions are looked up by their addresses, which it prints: the exported one, a
//! generic one, and one that has another function in it.

use std::hint::black_box;

#[inline(never)]
fn plain() -> u64 {
    black_box(KEPT.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
}

#[inline(never)]
fn generic<T>(value: T) -> T {
    black_box(value)
}

#[inline(always)]
fn inlined() -> u64 {
    black_box(3)
}

#[inline(never)]
fn outer() -> u64 {
    inlined() + 1
}

fn main() {
    let total = plain() + u64::from(generic(2u8)) + outer();
    println!("{total}");
}

static KEPT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
