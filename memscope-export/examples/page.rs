//! Writes the page of a saved snapshot, or the live page, to standard output.
//!
//! ```text
//! cargo run -p memscope-export --example page -- report.json > report.html
//! cargo run -p memscope-export --example page > live.html
//! ```

use std::{
    env,
    io::{self, Write},
};

use memscope_runtime::async_memory::MemorySnapshot;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let page = match env::args_os().nth(1) {
        Some(file) => memscope_export::html(&MemorySnapshot::read(file)?),
        None => memscope_export::live_page().to_owned(),
    };
    io::stdout().write_all(page.as_bytes())?;
    Ok(())
}
