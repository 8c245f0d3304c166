//! A program that prints where its function `outer` is in its file: the offset from the first byte.
//! The compiler puts `inlined` into it.

use std::{fs, hint::black_box};

#[inline(always)]
fn inlined(seed: u64) -> u64 {
    black_box(seed) ^ 3
}

#[inline(never)]
fn outer(seed: u64) -> u64 {
    inlined(seed) + 1
}

fn main() {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let program = fs::read_link("/proc/self/exe").unwrap();
    let first = maps.lines().find(|it| it.ends_with(program.to_str().unwrap())).unwrap();
    let base = u64::from_str_radix(first.split('-').next().unwrap(), 16).unwrap();
    black_box(outer(black_box(7)));
    println!("{}", (outer as fn(u64) -> u64) as usize as u64 - base);
}
