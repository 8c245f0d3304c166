//! The stack of an unannotated task at the time when it became large, and the name found in it.

use std::sync::atomic::AtomicUsize;

use crate::{
    alloc::{current::Entered, unannotated},
    primitives::{
        HasLinks, Links, Slab, Zeroed, fork,
        sync::{AtomicU64, Ordering},
    },
};

const FRAMES: usize = 192;
/// The most traces that wait for a snapshot to name them. Further ones are not taken.
const MOST_WAITING: u32 = 64;

/// Return addresses, innermost first.
#[derive(Debug)]
struct Trace {
    /// The id of the record; 0: no trace, or one that is being written.
    id: AtomicU64,
    tokio_id: AtomicU64,
    frames: [AtomicUsize; FRAMES],
    links: Links,
}

// SAFETY: atomics only.
unsafe impl Zeroed for Trace {}

impl HasLinks for Trace {
    fn links(&self) -> &Links {
        &self.links
    }
}

static TRACES: Slab<Trace> = Slab::new();

/// Captures the stack of the thread. Called in the allocator.
#[cold]
#[inline(never)]
pub(crate) fn take(tokio_id: u64, id: u64) {
    let Some(trace) = TRACES.take_up_to(MOST_WAITING) else { return };
    let mut frames = trace.frames.iter();
    let mut last = frames.next();
    // SAFETY: only the debug help library of Windows needs synchronisation; on Unix the unwinder's
    // tables are only read.
    #[cfg(unix)]
    unsafe {
        backtrace::trace_unsynchronized(|frame| {
            let Some(place) = last else { return false };
            place.store(frame.ip().addr(), Ordering::Relaxed);
            last = frames.next();
            true
        });
    }
    if let Some(end) = last {
        end.store(0, Ordering::Relaxed);
    }
    trace.tokio_id.store(tokio_id, Ordering::Relaxed);
    // Release: publishes the frames. Pairs with the Acquire in `name_all`.
    trace.id.store(id, Ordering::Release);
}

/// Names all tasks that were traced since the last call. Must not be called in the allocator,
/// because it looks up symbols.
///
/// Does nothing in a forked child of a process with other threads. One of them may have been
/// looking up symbols, and then the lock for that is held for ever.
pub(crate) fn name_all() {
    if fork::may_have_foreign_locks() {
        return;
    }
    // The symbols' memory is charged to the thread, outside of all tasks, and freed below.
    let _untracked = Entered::untracked();
    let mut has_looked = false;
    for trace in TRACES.iter() {
        let id = trace.id.swap(0, Ordering::Acquire);
        if id == 0 {
            continue;
        }
        let addresses = trace.frames.iter().map(|frame| frame.load(Ordering::Relaxed));
        let name = name_of(addresses.take_while(|address| *address != 0));
        has_looked = true;
        if let Some(name) = name {
            unannotated::rename(trace.tokio_id.load(Ordering::Relaxed), id, &name);
        }
        TRACES.put(trace);
    }
    if has_looked {
        backtrace::clear_symbol_cache();
    }
}

/// Returns the name of the future that Tokio polls, or of the closure that it runs: the first frame
/// that Tokio's innermost one calls, glue excluded.
fn name_of(addresses: impl Iterator<Item = usize>) -> Option<String> {
    let mut names: Vec<String> = Vec::new();
    for address in addresses {
        // A return address is behind its call.
        let call = std::ptr::without_provenance_mut(address.saturating_sub(1));
        backtrace::resolve(call, |symbol| {
            names.extend(symbol.name().map(|name| format!("{name:#}")));
        });
    }
    let tokio = names.iter().position(|name| is_tokio(name))?;
    let name = names[..tokio].iter().rev().find(|name| !is_glue(name))?;
    Some(future_name(name))
}

/// Returns whether this is a frame of Tokio that polls a future or runs a closure.
fn is_tokio(name: &str) -> bool {
    let task = name.split_once("tokio::runtime::task::");
    // Excludes the frames in which a task spawns another one.
    task.is_some_and(|(_, function)| function.contains("poll"))
        || name.contains("tokio::runtime::blocking::")
}

/// Returns whether this is a frame between Tokio and the future, without a name of its own.
fn is_glue(name: &str) -> bool {
    const GLUE: [&str; 8] = [
        "core::",
        "alloc::",
        "std::",
        "tokio::runtime::",
        "tokio::task::",
        "tokio::util::",
        "tokio::loom::",
        "__rust",
    ];
    let name = name.trim_start_matches(['<', '&']);
    GLUE.iter().any(|glue| name.starts_with(glue))
}

/// Shortens a symbol to the name of the future:
/// `<hyper::Connection<I, S> as core::future::future::Future>::poll` is `hyper::Connection<I, S>`,
/// and the body of an async function is the function.
fn future_name(symbol: &str) -> String {
    let inside = symbol.strip_prefix('<').and_then(|name| name.split_once(" as "));
    let mut name = inside.map_or(symbol, |(of, _)| of);
    while let Some(shorter) = name.strip_suffix("::{{closure}}") {
        name = shorter;
    }
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_future_is_named_as_it_is_written() {
        for (symbol, name) in [
            ("app::serve::{{closure}}", "app::serve"),
            ("app::serve::{{closure}}::{{closure}}", "app::serve"),
            (
                "<hyper::server::Connection<I,S> as core::future::future::Future>::poll",
                "hyper::server::Connection<I,S>",
            ),
            ("app::work", "app::work"),
        ] {
            assert_eq!(future_name(symbol), name);
        }
    }

    #[test]
    fn what_stands_between_tokio_and_the_future_is_passed_over() {
        assert!(is_glue("<core::pin::Pin<P> as core::future::future::Future>::poll"));
        assert!(is_glue(
            "<alloc::boxed::Box<F,A> as core::ops::function::FnOnce<Args>>::call_once"
        ));
        assert!(!is_glue("<hyper::Connection as core::future::future::Future>::poll"));
        assert!(!is_glue("app::core::run"));
    }

    #[test]
    fn a_task_that_spawns_another_is_named_by_what_polls_it() {
        assert!(is_tokio("tokio::runtime::task::core::Core<T,S>::poll::{{closure}}"));
        assert!(is_tokio("<tokio::runtime::blocking::task::BlockingTask<T> as Future>::poll"));
        assert!(!is_tokio("tokio::runtime::task::core::Cell<T,S>::new"));
        assert!(!is_tokio("tokio::runtime::task::list::OwnedTasks<S>::bind"));
    }
}
