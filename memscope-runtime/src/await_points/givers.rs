//! Functions of generators of streams that have given an item.

/// Futures that hand on an item of a stream: they are pending once, while the stream is ready with
/// the item. So the function that awaits one is not what its task waits for.
///
/// Each was read in the source of the version named above it.
const GIVERS: [&str; 3] = [
    // async-stream 0.3.
    "async_stream::yielder::Send",
    // async-fn-stream 0.2.
    "async_fn_stream::CollectFuture",
    // genawaiter 0.99.
    "genawaiter::core::Barrier",
];

/// Whether a function that awaits a value of this type has given an item.
pub(super) fn gives_an_item(type_name: &str) -> bool {
    GIVERS.contains(&type_name.split('<').next().unwrap_or_default())
}
