//! The cases, by family.

mod adapters;
mod async_streams;
mod beside_others;
mod both_ways;
mod by_hand;
mod by_hand_parts;
mod by_hand_states;
mod concurrency;
mod control_flow;
mod database;
mod full_lists;
mod further;
mod futures_future;
mod futures_stream;
mod grpc;
mod http;
mod io_and_process;
mod lists;
mod macros;
mod middle_of_requests;
mod over_and_kept;
mod polled_before;
mod same_names;
mod selects;
mod service_loops;
mod services;
mod sinks_and_channels;
mod sources;
mod tokio_sync;
mod tokio_util;
mod wrappers;

macro_rules! families {
    ($($name:ident),* $(,)?) => {
        &[$((
            stringify!($name),
            concat!("src/cases/", stringify!($name), ".rs"),
            include_str!(concat!(stringify!($name), ".rs")),
        )),*]
    };
}

/// The families: their names, files and sources.
pub(crate) const FAMILIES: &[(&str, &str, &str)] = families![
    adapters,
    async_streams,
    beside_others,
    both_ways,
    by_hand,
    by_hand_parts,
    by_hand_states,
    concurrency,
    control_flow,
    database,
    full_lists,
    further,
    futures_future,
    futures_stream,
    grpc,
    http,
    io_and_process,
    lists,
    macros,
    middle_of_requests,
    over_and_kept,
    polled_before,
    same_names,
    selects,
    service_loops,
    services,
    sinks_and_channels,
    sources,
    tokio_sync,
    tokio_util,
    wrappers,
];

/// Removes what the cases have written.
pub(crate) fn clean() {
    let _ = std::fs::remove_file(database::file());
}

/// Spawns the tasks of all cases, in a runtime of Tokio.
pub(crate) async fn spawn() {
    futures_future::spawn();
    futures_stream::spawn();
    sinks_and_channels::spawn();
    tokio_sync::spawn();
    io_and_process::spawn();
    tokio_util::spawn();
    adapters::spawn();
    async_streams::spawn();
    concurrency::spawn();
    macros::spawn();
    middle_of_requests::spawn();
    wrappers::spawn();
    beside_others::spawn();
    both_ways::spawn();
    by_hand::spawn();
    by_hand_parts::spawn();
    by_hand_states::spawn();
    full_lists::spawn();
    over_and_kept::spawn();
    polled_before::spawn();
    selects::spawn().await;
    further::spawn();
    control_flow::spawn();
    service_loops::spawn();
    services::spawn();
    same_names::spawn();
    sources::spawn();
    lists::spawn();
    database::spawn();
    http::spawn().await;
    grpc::spawn().await;
}
