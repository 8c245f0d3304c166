//! `cargo memscope mcp`: a Model Context Protocol server, for agents that are asked why a program
//! grows.

/// Adds formatted words to a text.
macro_rules! say {
    ($text:expr, $($words:tt)*) => {{
        use std::fmt::Write as _;
        // Writing to a `String` does not fail.
        let _ = write!($text, $($words)*);
    }};
}

// Bottom first: how answers are made …
mod quote;
mod answer;
mod cursor;
// … what they are made of …
mod source;
mod kept;
mod finding;
mod course;
mod stack;
mod subject;
// … the tools, a file each …
mod verdict;
mod holders;
mod growing;
mod waits;
mod stacks;
mod compare;
mod futures_kept;
mod futures;
// … and the server.
mod schema;
mod tools;
mod resources;
mod state;
mod server;
#[cfg(test)]
mod random_snapshots;

pub(crate) use server::run;
