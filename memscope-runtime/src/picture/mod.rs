//! A copy of the process that stands still, and the parts that may run in it.
//!
//! `copy` makes it. What runs there takes no lock and uses no allocator: `mapped` has lists,
//! `memory` reads addresses and what is mapped, and `stream` tells what was found. `may_take` is
//! asked before.
#![cfg(all(
    feature = "enabled",
    feature = "symbols",
    target_os = "linux",
    target_pointer_width = "64"
))]
#![cfg_attr(
    not(feature = "tokio"),
    allow(dead_code, unused_imports, reason = "for the dump of tasks, which are Tokio's")
)]

mod mapped;
mod memory;
mod system;
mod stream;
mod copy;
mod may_take;

pub(crate) use copy::{BYTES_ALWAYS, Channel, MOST_ASKED, Picture, Refused};
pub(crate) use mapped::{List, Plain};
pub(crate) use may_take::{may_take, shared};
pub(crate) use memory::{Maps, Range, WORD, word};
pub(crate) use stream::{END, Reader, START, Writer};
