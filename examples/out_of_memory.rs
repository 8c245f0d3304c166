//! A small service that reaches its memory limit, and whose report tells why.
//!
//! `cargo run --release --example out_of_memory` starts the service as a second process with a
//! limit of 64 MiB. The service ends without a message, as if the kernel had killed it. It leaves
//! the report at 95 %, which memscope's own thread has written. The first process reads this
//! report.
//!
//! The limit is a setting, so that the example needs no rights. In a container or under systemd,
//! memscope finds the limit.
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::{
    collections::HashMap,
    env,
    error::Error,
    path::Path,
    process::{self, Command},
    sync::Mutex,
    time::Duration,
};

use memscope_rs::{
    async_memory::{MemorySnapshot, OverBudget, Pressure, within_budget},
    builder, tracked,
};

/// The fault: sessions that no client closes.
static SESSIONS: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
/// A cache, which may be dropped at any time.
static THUMBNAILS: Mutex<Option<HashMap<u64, Vec<u8>>>> = Mutex::new(None);

#[tracked(task_type = "network")]
async fn open_session(number: u64) {
    tokio::time::sleep(Duration::from_millis(number % 3)).await;
    SESSIONS.lock().expect("no panic").push(vec![1; 24 << 10]);
}

#[tracked(task_type = "cpu")]
async fn thumbnail(number: u64) {
    let image = vec![2; 256 << 10];
    tokio::task::yield_now().await;
    let small = image[..16 << 10].to_vec();
    let mut cache = THUMBNAILS.lock().expect("no panic");
    cache.get_or_insert_default().insert(number % 600, small);
}

/// Reads far more rows than it should.
#[tracked(budget = "1MiB")]
async fn export() -> usize {
    let mut rows = Vec::new();
    for _ in 0..16 {
        rows.push(vec![3_u8; 200 << 10]);
        tokio::task::yield_now().await;
    }
    rows.len()
}

/// Called when memory crosses 80, 90 and 95 % of the limit.
fn near_the_limit(pressure: &Pressure) {
    let Pressure { share, used_bytes, limit_bytes, .. } = pressure;
    println!(
        "{:.0} % of {} MiB: {} MiB in use",
        share * 100.0,
        limit_bytes >> 20,
        used_bytes >> 20
    );
    if let Some(cache) = THUMBNAILS.lock().expect("no panic").take() {
        println!("     the cache of {} thumbnails is dropped", cache.len());
    }
    if *share > 0.94 {
        // From here on the kernel could kill the process at any moment, without a report at its
        // exit.
        process::abort();
    }
}

fn over_budget(over: &OverBudget) {
    println!("{over}");
}

#[tokio::main]
async fn serve() -> Result<(), memscope_rs::Error> {
    builder().on_pressure(near_the_limit).on_over_budget(over_budget).init()?;
    println!("a task above its budget goes on: {} pieces", export().await);
    let greedy = async {
        let all = vec![4_u8; 4 << 20];
        tokio::task::yield_now().await;
        all.len()
    };
    if let Err(over) = within_budget(greedy, 1 << 20).await {
        println!("or it is dropped: {over}");
    }
    for number in 0.. {
        tokio::spawn(open_session(number));
        if number % 2 == 0 {
            tokio::spawn(thumbnail(number));
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    if env::var_os("MEMSCOPE_LIMIT").is_some() {
        return Ok(serve()?);
    }
    let folder = env::temp_dir().join(format!("out-of-memory-{}", process::id()));
    std::fs::create_dir_all(&folder)?;
    let report = folder.join("report.json");
    let status = Command::new(env::current_exe()?)
        .env("MEMSCOPE_LIMIT", "64MiB")
        .env("MEMSCOPE_REPORT", &report)
        .status()?;
    println!("\nthe service has ended: {status}\n");
    tell_why(&report)?;
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

/// Reads the report that the service has left.
fn tell_why(report: &Path) -> Result<(), Box<dyn Error>> {
    let last = MemorySnapshot::read(report)?;
    println!("its last report\n\n{last}");
    let sites = last.sites();
    if let Some(largest) = sites.first() {
        let (name, file, line) = (&largest.name, &largest.file, largest.line);
        let share = 100 * largest.live_bytes / last.process().whole_bytes.max(1);
        println!(
            "most of its memory, {share} % of what is live, is held by `{name}` ({file}:{line})"
        );
    }
    Ok(())
}
