//! A copy of the process that stands still, and the parts that may run in it.
//!
//! `copy` makes it. What runs there takes no lock and uses no allocator: `mapped` has lists,
//! `memory` reads addresses and what is mapped, `used_pages` what of that is in use, `stream` tells
//! what was found, and `answers` answers what is asked then. The process hears all that with
//! `asker`, and reads memory of the copy as `asked_memory`. `may_take` is asked before.
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
mod used_pages;
mod system;
mod stream;
mod copy;
mod answers;
mod asker;
mod asked_memory;
mod may_take;

pub(crate) use answers::{ASKED_WORDS, MOST_READ, READ, answer};
pub(crate) use asked_memory::AskedMemory;
pub(crate) use asker::{Asker, MOST_QUESTIONS};
pub(crate) use copy::{BYTES_ALWAYS, Channel, Picture, Refused};
pub(crate) use mapped::{List, Plain};
pub(crate) use may_take::{may_take, shared};
pub(crate) use memory::{Maps, Range, WORD, word};
#[cfg(all(feature = "layout", feature = "tokio"))]
pub(crate) use stream::words_in;
pub(crate) use stream::{END, START, Writer};
pub(crate) use used_pages::UsedPages;
