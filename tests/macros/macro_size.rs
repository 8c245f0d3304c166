//! A tracked function's future is at most 32 bytes larger than the plain one's, and smaller where
//! it takes large arguments by value. `--nocapture` shows the sizes.

#![allow(
    clippy::print_stdout,
    clippy::large_types_passed_by_value,
    clippy::unused_async,
    reason = "this is what it is about"
)]

use std::mem::size_of_val;

/// The largest size that the wrapper may add.
const WRAPPER_BYTES: usize = 32;

async fn pause() {
    std::future::pending::<()>().await;
}

#[derive(Debug)]
struct Large([u8; 1000]);

macro_rules! twice {
    ($($item:item)*) => {
        mod plain {
            use super::*;
            $($item)*
        }

        #[memscope_macros::tracked]
        mod tracked {
            use super::*;
            $($item)*
        }
    };
}

twice! {
    pub(crate) async fn nothing() {
        pause().await;
    }

    pub(crate) async fn without_await(a: u8) -> u8 {
        a
    }

    pub(crate) async fn array(a: [u8; 1000]) -> u8 {
        pause().await;
        a[0]
    }

    pub(crate) async fn reference(a: &[u8; 1000]) -> u8 {
        pause().await;
        a[0]
    }

    pub(crate) async fn three_arrays(a: [u8; 1000], b: [u64; 100], c: (u8, [u8; 300])) -> u64 {
        pause().await;
        u64::from(a[0]) + b[0] + u64::from(c.0)
    }

    pub(crate) async fn large_and_reference(a: Large, b: &str, c: usize) -> usize {
        pause().await;
        a.0.len() + b.len() + c
    }

    pub(crate) async fn large_then_string(a: Large, b: String) -> usize {
        pause().await;
        a.0.len() + b.len()
    }

    pub(crate) async fn two_large(a: Large, b: Large) -> usize {
        pause().await;
        a.0.len() + b.0.len()
    }

    pub(crate) async fn unused(_: Large, _a: Large, _: [u8; 1000]) {
        pause().await;
    }

    pub(crate) async fn patterns(
        (a, _): (Large, Large), Large(b): Large, [c, ..]: [u8; 1000],
    ) -> usize {
        pause().await;
        a.0.len() + b.len() + usize::from(c)
    }

    pub(crate) async fn strings(a: String, b: Vec<u8>, mut c: String) -> usize {
        c.push('c');
        pause().await;
        a.len() + b.len() + c.len()
    }

    pub(crate) async fn large_output(a: u8) -> [u8; 1000] {
        if a == 0 {
            return [1; 1000];
        }
        pause().await;
        [a; 1000]
    }

    pub(crate) async fn fallible(a: Large) -> Result<[u8; 1000], std::num::ParseIntError> {
        pause().await;
        let parsed: u8 = "1".parse()?;
        pause().await;
        Ok([parsed + a.0[0]; 1000])
    }

    #[must_use]
    pub(crate) async fn kept_async(a: Large, b: [u8; 1000]) -> usize {
        pause().await;
        a.0.len() + b.len()
    }
}

#[test]
fn futures_shrink_or_grow_by_the_wrapper_at_most() {
    println!("{:<22} {:>6} {:>8}", "bytes", "plain", "tracked");
    macro_rules! sizes {
        ($($name:ident($($argument:expr),*) $comparison:tt;)*) => {
            $(
                let plain = size_of_val(&plain::$name($($argument),*));
                let tracked = size_of_val(&tracked::$name($($argument),*));
                let name = stringify!($name);
                println!("{name:<22} {plain:>6} {tracked:>8}");
                assert!(tracked <= plain + WRAPPER_BYTES, "{name} grew from {plain} to {tracked}");
                sizes!($comparison $name plain tracked);
            )*
        };
        (shrinks $name:ident $plain:ident $tracked:ident) => {
            let name = stringify!($name);
            assert!($tracked < $plain, "{name} did not shrink from {}: {}", $plain, $tracked);
        };
        (may_grow $name:ident $plain:ident $tracked:ident) => {};
    }
    let large = || Large([0; 1000]);
    sizes! {
        nothing() may_grow;
        without_await(0) may_grow;
        array([0; 1000]) shrinks;
        reference(&[0; 1000]) may_grow;
        three_arrays([0; 1000], [0; 100], (0, [0; 300])) shrinks;
        large_and_reference(large(), "", 0) shrinks;
        large_then_string(large(), String::new()) shrinks;
        two_large(large(), large()) shrinks;
        unused(large(), large(), [0; 1000]) may_grow;
        patterns((large(), large()), large(), [0; 1000]) may_grow;
        strings(String::new(), Vec::new(), String::new()) may_grow;
        large_output(0) may_grow;
        fallible(large()) shrinks;
        kept_async(large(), [0; 1000]) may_grow;
    }
    assert!(
        size_of_val(&tracked::array([0; 1000])) <= 1000 + 16 + WRAPPER_BYTES,
        "the array is held once"
    );
}
