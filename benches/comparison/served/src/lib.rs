//! What the services share: their allocator, the routes by which they are measured, and how they
//! run.

mod allocator;

use std::{
    env,
    error::Error,
    future::Future,
    io::{Write, stdout},
    process::exit,
};

use axum::{Json, Router, routing::get, serve::ListenerExt};
use serde::Serialize;
use tokio::{net::TcpListener, runtime};

pub use allocator::handled;

/// What the process has used so far, all threads together.
#[derive(Serialize)]
struct Usage {
    cpu_ns: u64,
    resident_bytes: i64,
}

async fn usage() -> Json<Usage> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid struct to be written.
    unsafe {
        libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time);
    }
    let cpu_ns = time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned();
    Json(Usage { cpu_ns, resident_bytes: comparison_loops::anonymous_bytes() })
}

/// Takes a snapshot, as a scrape or the page does.
#[cfg(any(feature = "memscope", feature = "memscope-over-jemalloc"))]
async fn look() {
    drop(memscope_rs::async_memory::get_memory_snapshot());
}

/// Ends the service as a signal would, but at once.
async fn quit() {
    exit(0);
}

/// Serves these routes on one worker, and `/usage`, `/look` and `/quit` beside them. Prints the
/// port. The first argument of the program is the processor that it stays on.
///
/// # Errors
///
/// When the routes cannot be made, or no port can be opened.
pub fn serve<F>(routes: impl FnOnce() -> F) -> Result<(), Box<dyn Error>>
where
    F: Future<Output = Result<Router, Box<dyn Error>>>,
{
    // First: all threads of the service stay there.
    if let Some(cpu) = env::args().nth(1) {
        comparison_loops::stay_on(cpu.parse()?);
    }
    let _measuring = allocator::start();
    let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let routes = routes().await?;
        #[cfg(any(feature = "memscope", feature = "memscope-over-jemalloc"))]
        let routes = routes.route("/look", get(look));
        let routes = routes.route("/usage", get(usage)).route("/quit", get(quit));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?.port());
        stdout().flush()?;
        // Without this a client's delayed acknowledgement holds up each streamed answer for 40 ms.
        let listener = listener.tap_io(|stream| {
            // A connection that is gone answers nothing.
            let _ = stream.set_nodelay(true);
        });
        // In a task, so that it runs on the worker as the connections do.
        tokio::spawn(axum::serve(listener, routes).into_future()).await??;
        Ok(())
    })
}
