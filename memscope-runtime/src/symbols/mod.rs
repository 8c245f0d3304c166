//! Names of functions, from the symbol tables of the program's files.
//!
//! A name is looked up once for each address, by memscope's own thread `memscope-names`, and kept.
//! Reports only read what is kept: [`call_at`]. So a report that is made before a name is there
//! shows none, and the next one has it.

pub(crate) mod notes;

#[cfg(feature = "symbols")]
mod detail;
#[cfg(all(feature = "symbols", feature = "tokio"))]
mod drop_glue;
#[cfg(feature = "symbols")]
mod kept_bytes;
#[cfg(feature = "symbols")]
mod libraries;
#[cfg(feature = "symbols")]
pub(crate) mod modules;
#[cfg(feature = "symbols")]
mod names;
#[cfg(feature = "symbols")]
mod sources;
#[cfg(feature = "symbols")]
mod stack_names;
#[cfg(all(feature = "symbols", feature = "tokio"))]
mod task_names;
#[cfg(feature = "symbols")]
mod thread;

#[cfg(feature = "symbols")]
pub(crate) use detail::Detail;
#[cfg(feature = "symbols")]
pub(crate) use kept_bytes::kept_bytes;
#[cfg(feature = "symbols")]
pub(crate) use libraries::Library;
#[cfg(feature = "symbols")]
pub(crate) use names::{call_at, left_out, resolve};
#[cfg(feature = "symbols")]
pub(crate) use sources::look_up_now;
#[cfg(feature = "symbols")]
pub(crate) use sources::{wait_for_names, want_if_waiting};
#[cfg(feature = "symbols")]
pub(crate) use stack_names::want_stack_names;
#[cfg(not(feature = "symbols"))]
pub(crate) use without::*;

#[cfg(all(feature = "symbols", unix))]
use crate::primitives::fork;

/// What is known of the function at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "all are made with the feature `symbols` alone")]
pub(crate) enum Lookup {
    /// No thread has looked for it yet.
    NotLookedUp,
    /// The address lies in no function whose name is known.
    Unknown,
    Known(&'static str),
}

/// What is known of the code at an address.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "tokio"), allow(dead_code, reason = "tasks are named by it"))]
pub(crate) struct Call {
    pub(crate) name: Lookup,
    pub(crate) library: Option<&'static Library>,
    pub(crate) detail: &'static Detail,
    /// Whether no more is going to be known.
    pub(crate) is_settled: bool,
}

/// Called in a forked child, which has no thread that looks up names.
#[cfg(all(feature = "symbols", unix))]
pub(crate) fn forked() {
    thread::forked();
    if names::forked() {
        fork::note_left_behind(1);
    }
}

/// Without the feature `symbols` no function has a name.
#[cfg(not(feature = "symbols"))]
#[allow(dead_code, reason = "as with the feature")]
mod without {
    use super::{Call, Lookup};

    /// No library is known.
    #[derive(Debug)]
    pub(crate) struct Library {
        pub(crate) path: &'static str,
        pub(crate) build_id: Option<&'static str>,
    }

    impl Library {
        #[expect(clippy::unused_self, reason = "as with the feature")]
        pub(crate) fn offset_of(&self, _: usize) -> u64 {
            0
        }
    }

    /// Nothing is added to a symbol.
    #[derive(Debug)]
    pub(crate) struct Detail {
        pub(crate) inlined: &'static [&'static str],
    }

    pub(crate) fn call_at(_: usize) -> Call {
        let detail = &Detail { inlined: &[] };
        Call { name: Lookup::Unknown, library: None, detail, is_settled: true }
    }

    pub(crate) fn want_stack_names() -> bool {
        false
    }

    pub(crate) fn want_if_waiting() -> u64 {
        0
    }

    pub(crate) fn wait_for_names() -> u64 {
        0
    }

    pub(crate) fn look_up_now() {}

    pub(crate) fn left_out() -> u64 {
        0
    }

    pub(crate) fn kept_bytes() -> u64 {
        0
    }
}
