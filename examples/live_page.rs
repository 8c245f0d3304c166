//! The service of `web_service.rs` with its live page: open the address that it prints.
//!
//! The page shows the sessions and the rates that grow until a round of requests ends, the requests
//! that are being served, and what stands out.
//!
//! ```text
//! cargo run --release --features server --example live_page
//! cargo run --release --features server --example live_page -- --seconds 60
//! go tool pprof -top http://127.0.0.1:6071/debug/pprof/heap
//! ```
#![expect(clippy::print_stdout, reason = "an example prints")]

#[path = "web_service.rs"]
#[expect(dead_code, reason = "it is a program of its own as well")]
pub(crate) mod web_service;

use std::{
    env,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::timeout;

const ADDRESS: &str = "127.0.0.1:6071";
/// The number of connections is small, so that a round takes a while.
const CONNECTIONS: usize = 4;
const REQUESTS: usize = 8_000;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Returns the argument after `--NAME`.
fn argument(name: &str) -> Option<String> {
    env::args().skip_while(|argument| argument.strip_prefix("--") != Some(name)).nth(1)
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    memscope_rs::init();
    // The panics of the service are intended.
    std::panic::set_hook(Box::new(|_| ()));
    let seconds = argument("seconds").map(|seconds| seconds.parse()).transpose()?;
    let address = argument("address").unwrap_or_else(|| ADDRESS.to_owned());
    let server = memscope_rs::server::serve(&*address)?;
    println!("the page is at http://{}/", server.local_address());

    let start = Instant::now();
    let is_over = || seconds.is_some_and(|it| start.elapsed() >= Duration::from_secs(it));
    while !is_over() {
        // Each round has new sessions and rates. Those of the last round are freed.
        let shop = Arc::default();
        let round = web_service::run(&shop, REQUESTS, CONNECTIONS);
        match seconds {
            None => drop(round.await?),
            Some(seconds) => {
                let left = Duration::from_secs(seconds).saturating_sub(start.elapsed());
                if let Ok(round) = timeout(left, round).await {
                    drop(round?);
                }
            }
        }
    }
    server.shutdown();
    Ok(())
}
