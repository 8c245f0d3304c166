//! A service that fills its memory, until its limit ends it. `tests/host/memory_limit.rs` starts
//! it in a control group. Its first argument says how fast it grows.

#![expect(clippy::print_stdout, reason = "that is how it talks to the test")]

use std::{
    ffi::c_int,
    hint::black_box,
    io::Write,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use memscope_rs::{
    async_memory::{Pressure, track},
    builder,
};

memscope_tests::install!();

static SESSIONS: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

const PIECE: usize = 256 << 10;

#[inline(never)]
fn open_session() {
    SESSIONS.lock().expect("the sessions").push(black_box(vec![1_u8; PIECE]));
}

/// Grows. `pieces`: in this many milliseconds.
async fn serve(pieces: u32, pause_ms: u64) {
    loop {
        for _ in 0..pieces {
            open_session();
        }
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
    }
}

/// Fills most of the limit, then grows slowly: a busy machine lets memscope's thread wait.
async fn serve_slowly() {
    for _ in 0..160 {
        open_session();
    }
    serve(1, 60).await;
}

/// As [`serve_slowly`], where each report takes a while, and has to be over before the next share.
async fn serve_more_slowly() {
    const FAST: u64 = 44 << 20;
    while resident_bytes() < FAST {
        open_session();
    }
    serve(1, 200).await;
}

/// What the system counts against the limit, about: without the pages of files.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = |number: usize| statm.split(' ').nth(number)?.parse::<u64>().ok();
    let [Some(resident), Some(of_files)] = [pages(1), pages(2)] else { return u64::MAX };
    (resident - of_files) << 12
}

/// Rises above a limit of 64 MiB by its own count, falls, and rises again. Slowly: a busy machine
/// lets memscope's thread wait.
async fn swing() {
    for _ in 0..2 {
        for _ in 0..240 {
            open_session();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        SESSIONS.lock().expect("the sessions").clear();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

static DISK_IS_BUSY: AtomicBool = AtomicBool::new(false);

/// In place of the C library's function: a busy disk takes longer than the program lives.
#[unsafe(no_mangle)]
extern "C" fn fsync(_: c_int) -> c_int {
    if DISK_IS_BUSY.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_mins(1));
    }
    0
}

fn say(pressure: &Pressure) {
    let Pressure { share, used_bytes, limit_bytes, .. } = pressure;
    println!("pressure {share} {used_bytes} {limit_bytes}");
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let how = std::env::args().nth(1).unwrap_or_default();
    if how == "swings" || how == "panics" {
        let call = if how == "swings" { say } else { |_: &_| panic!("wanted") };
        builder().on_pressure(call).init().expect("right settings");
    }
    println!("ready");
    std::io::stdout().flush().expect("stdout");
    DISK_IS_BUSY.store(how == "busy disk", Ordering::Relaxed);
    match &*how {
        // Nothing is annotated.
        "bare" => drop(tokio::spawn(serve_slowly()).await),
        "evenly" => track(serve(8, 20)).named("sessions").await,
        "swings" | "panics" => track(swing()).named("sessions").await,
        // Many tasks: their rows alone would not fit below the limit.
        "crowd" => {
            for _ in 0..5_000 {
                track(async {}).named("short").await;
            }
            for _ in 0..20_000 {
                tokio::spawn(track(std::future::pending::<()>()).named("crowd"));
            }
            track(serve(1, 60)).named("sessions").await;
        }
        // Many sites: their rows alone would not fit below the limit. The one that grows is the
        // last.
        "many names" => {
            for number in 0..1_500 {
                let name = format!("GET /orders/{number}");
                track(async {}).named(name.clone()).await;
                tokio::spawn(track(std::future::pending::<()>()).named(name));
            }
            track(serve_more_slowly()).named("sessions").await;
        }
        _ => track(serve_slowly()).named("sessions").await,
    }
}
