//! Exports: a snapshot of memory as files for other tools. Each is a function of a
//! [`MemorySnapshot`](memscope_runtime::async_memory::MemorySnapshot) alone.

mod html;
mod page;

pub use html::{html, live_page, live_page_policy, page_json};
