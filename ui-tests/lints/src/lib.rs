//! Functions that lints have something to say of, or must have nothing to say of. With the feature
//! `tracked` each has `#[tracked]`.

#![cfg_attr(feature = "judged", warn(clippy::all, clippy::pedantic, clippy::nursery))]
#![cfg_attr(not(feature = "judged"), allow(warnings, clippy::all, clippy::pedantic))]

use std::{
    future::{Future, Ready, ready},
    pin::Pin,
};

#[cfg(feature = "tracked")]
use memscope_rs::tracked;

/// The type of an argument that is not there.
#[cfg(any())]
pub struct Absent;

/// What other code may hand out.
pub type Later = Ready<u8>;

macro_rules! forms {
    ($($form:item)*) => { $(#[cfg_attr(feature = "tracked", tracked)] $form)* };
}

// Outputs that are futures themselves.

#[cfg_attr(feature = "tracked", tracked)]
pub async fn hands_out_a_future(n: u8) -> Ready<u8> {
    ready(n)
}

#[cfg_attr(feature = "tracked", tracked)]
pub async fn hands_out_an_alias(n: u8) -> Later {
    ready(n)
}

#[cfg_attr(feature = "tracked", tracked)]
pub async fn hands_out_a_box() -> Pin<Box<dyn Future<Output = u8>>> {
    Box::pin(async { 1 })
}

#[cfg_attr(feature = "tracked", tracked)]
pub async fn hands_out_what_is_not_named(n: u8) -> impl Future<Output = u8> {
    ready(n)
}

#[cfg_attr(feature = "tracked", tracked)]
pub async fn hands_back<F: Future<Output = u8>>(future: F) -> F {
    future
}

#[cfg_attr(feature = "tracked", tracked)]
pub async fn hands_back_a_reference<F: Future + Unpin>(future: &mut F) -> &mut F {
    future
}

#[cfg_attr(feature = "tracked", tracked)]
pub async fn hands_out_in_parentheses(n: u8) -> <Option<Later> as IntoIterator>::Item {
    if n == 1 {
        return ready(2);
    }
    ready(n)
}

#[cfg_attr(feature = "tracked", tracked)]
#[must_use]
pub async fn must_be_used(n: u8) -> Ready<u8> {
    ready(n)
}

// Bodies that never end, or not here.

#[cfg_attr(feature = "tracked", tracked)]
pub async fn not_written_yet(_n: u8) -> Ready<u8> {
    todo!()
}

#[cfg_attr(feature = "tracked", tracked)]
pub async fn panics(n: u8) -> Vec<u8> {
    if n == 1 {
        return Vec::new();
    }
    panic!("never {n}")
}

#[cfg_attr(feature = "tracked", tracked)]
pub async fn never_ends() -> ! {
    loop {
        ready(()).await;
    }
}

#[cfg_attr(feature = "tracked", tracked)]
pub async fn ends_in_a_return(n: u8) -> u8 {
    return n;
}

// Attributes of arguments, functions and blocks.

#[cfg_attr(feature = "tracked", tracked)]
pub async fn unused_by_permission(#[allow(unused_variables)] n: u8) {}

#[cfg_attr(feature = "tracked", tracked)]
pub async fn unused_without_permission(n: u8) {}

#[cfg_attr(feature = "tracked", tracked)]
pub async fn unused_parts_by_permission(#[allow(unused_variables)] (a, b): (u8, String)) {}

#[cfg_attr(feature = "tracked", tracked)]
pub async fn unused_mut_by_permission(
    first: String,
    #[allow(unused_mut)] mut list: Vec<u8>,
) -> usize {
    first.len() + list.len()
}

#[cfg_attr(feature = "tracked", tracked)]
pub async fn unused_as_expected(
    #[expect(unused_variables)] n: u8,
    #[expect(unused_mut)] mut list: Vec<u8>,
) -> usize {
    list.len()
}

#[cfg_attr(feature = "tracked", tracked)]
pub async fn unused_under_a_condition(#[cfg_attr(all(), allow(unused_variables))] n: u8) {}

#[cfg_attr(feature = "tracked", tracked)]
pub async fn without_some(#[cfg(any())] (a, b): Absent, #[cfg(any())] _: Absent, n: u8) -> u8 {
    n
}

#[cfg_attr(feature = "tracked", tracked)]
#[expect(clippy::unused_async, reason = "it is awaited one day")]
pub async fn expected_above() -> u8 {
    1
}

#[cfg_attr(all(), expect(clippy::unused_async))]
#[cfg_attr(feature = "tracked", tracked)]
pub async fn expected_under_a_condition() -> u8 {
    1
}

#[cfg_attr(feature = "tracked", tracked)]
pub async fn expected_inside() -> u8 {
    #![expect(clippy::unused_async, reason = "it is awaited one day")]
    1
}

pub struct Owner;

#[cfg_attr(feature = "tracked", tracked)]
#[expect(clippy::unused_async, reason = "they are awaited one day")]
impl Owner {
    pub async fn by_reference(&self) -> Ready<u8> {
        ready(1)
    }
    pub async fn by_value(self, #[allow(unused_variables)] n: u8) {}
}

#[cfg_attr(feature = "tracked", tracked)]
#[expect(async_fn_in_trait, reason = "for one thread")]
pub trait Provides {
    async fn provided(&self) -> Ready<u8> {
        ready(1)
    }
}

#[async_trait::async_trait]
pub trait Boxed {
    async fn give(&self) -> Ready<u8>;
}

#[cfg_attr(feature = "tracked", tracked)]
#[async_trait::async_trait]
impl Boxed for Owner {
    async fn give(&self) -> Ready<u8> {
        ready(1)
    }
}

// What comes out of other macros.

macro_rules! interpolated {
    ($name:ident, $ty:ty, $value:expr, $body:block, $statement:stmt) => {
        #[cfg_attr(feature = "tracked", tracked)]
        pub async fn $name() -> $ty {
            let value: $ty = $value;
            if $value > 3 {
                $statement
            }
            let other = match value {
                1 => $body,
                _ => $value,
            };
            drop($body);
            let _ = other;
            $body
        }
    };
}
interpolated!(of_parts, u8, (1 + 1), { 7 }, return 3);
interpolated!(of_larger_parts, u64, { 2 }, { (7) }, return { 3 });

macro_rules! of_a_block {
    ($name:ident, $body:block) => {
        #[cfg_attr(feature = "tracked", tracked)]
        pub async fn $name() -> u8 $body
    };
}
of_a_block!(whole_body, { 3 });
of_a_block!(whole_nested_body, { { 3 } });

forms! {
    pub async fn as_an_item(n: u8) -> u8 {
        n
    }
    pub async fn as_an_item_that_hands_out_a_future(n: u8) -> Ready<u8> {
        { ready(n) }
    }
}

// What lints judge in a body is judged all the same.

#[cfg_attr(feature = "tracked", tracked)]
pub async fn judged_inside(list: &[u8]) -> usize {
    let length = list.len();
    if list.len() == 0 {
        return 1;
    } else {
        drop(list.to_vec())
    }
    (length)
}

#[cfg_attr(feature = "tracked", tracked)]
pub async fn last_temporary(first: String, list: std::sync::Mutex<Vec<u8>>) -> usize {
    match list.lock().expect("no panic").first() {
        Some(byte) => usize::from(*byte),
        None => first.len(),
    }
}
