//! The `#[tracked]` attribute of `memscope-rs`, which re-exports it.

#![forbid(unsafe_code)]

mod args;
mod check;
mod error;
mod expand;
mod item;
mod tokens;
mod wrap;

use proc_macro::TokenStream;

/// Makes every call of an `async fn` a task of its own in the memory report.
///
/// You write
///
/// ```text
/// #[tracked(task_type = "network")]
/// async fn fetch(url: String) -> Result<Vec<u8>, Error> {
///     …
/// }
/// ```
///
/// and it becomes
///
/// ```text
/// fn fetch(url: String) -> impl Future<Output = Result<Vec<u8>, Error>> {
///     static CALLSITE: Callsite = Callsite::new("fetch", TaskType::NetworkIntensive, "src/main.rs", 2);
///     track(&CALLSITE, async move { … })
/// }
/// ```
///
/// Calls, arguments, borrows, `Send`, type errors and the order in which things are dropped stay those of the
/// `async fn`. The future gets smaller where it takes large arguments by value, since an `async fn` holds those twice,
/// and never larger than by the few words of the wrapper.
///
/// # Options
///
/// | option | meaning |
/// |---|---|
/// | `task_type = "…"` | `"cpu"`, `"io"`, `"network"`, `"memory"`, `"streaming"`, `"background"` or `"mixed"`; none: unspecified |
/// | `name = "…"` | the name in reports instead of the function's own |
/// | `crate = path` | where `memscope_rs` is found, when it is renamed or re-exported |
///
/// # Where it can stand
///
/// * On an `async fn`: free, in an `impl`, in a `trait` or in its implementation. A declaration without a body has
///   nothing to track and stays as it is: put the attribute on the implementations.
/// * On an `impl`, a `trait` or an inline `mod`: it goes for every `async fn` inside, those in nested blocks included.
///   Functions are then named `Type::function`. `#[tracked(…)]` on an inner item changes the options it names,
///   `#[tracked(skip)]` leaves that item out.
/// * With `#[async_trait]`, `#[tokio::main]` and `#[tokio::test]`, above them or below. Above them, and above any other
///   attribute that it does not know, it leaves the signature an `async fn` for the other macro to see and wraps the
///   body only: the future then is as large as the plain one and the wrapper, and what the pattern of an argument does
///   not bind is dropped last.
/// * On a function that ends in an `async` block or in `Box::pin(async move { … })`.
///
/// With the feature `enabled` off, everything is left as it was written.
#[proc_macro_attribute]
pub fn tracked(arguments: TokenStream, item: TokenStream) -> TokenStream {
    if cfg!(feature = "enabled") {
        expand::tracked(arguments.into(), item.into()).into()
    } else {
        expand::plain(item.into()).into()
    }
}
