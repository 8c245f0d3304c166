//! Instructions that one sampled stack takes: walked by rules, and by the unwinder.
//!
//! ```text
//! cargo run --release -p memscope-benches --features memscope-rs/symbols --bin samples
//! ```
//!
//! It starts itself under valgrind's cachegrind. Each block is far larger than the distance of two
//! samples, so that each one is sampled. They are allocated below boxed futures in a Tokio task, as
//! below the layers of a service.
#![expect(clippy::print_stdout, reason = "the figures are its output")]

use std::{
    alloc::System,
    env,
    error::Error,
    hint::black_box,
    pin::Pin,
    process::{Command, ExitCode},
    time::Duration,
};

use memscope_benches::median;
use memscope_rs::{TrackingAllocator, async_memory::get_memory_snapshot, builder};
use tokio::runtime::Builder;

#[global_allocator]
static ALLOCATOR: TrackingAllocator = TrackingAllocator::new(System);

/// Futures above the one that allocates.
const LAYERS: [u32; 3] = [0, 8, 24];
const BLOCKS: u32 = 400;
/// The median of this many runs is shown: what a snapshot learns before them is not always the
/// same.
const RUNS: usize = 5;
/// A sample is due each 2 MiB on average.
const BLOCK: usize = 256 << 20;

fn layer(above: u32, blocks: u32) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        let kept = black_box([above; 4]);
        if above == 0 {
            for _ in 0..blocks {
                black_box(Vec::<u8>::with_capacity(black_box(BLOCK)));
            }
        } else {
            layer(above - 1, blocks).await;
        }
        black_box(kept);
    })
}

/// Runs the loop in a task, and prints how many samples were taken.
fn run(way: &str, layers: u32, blocks: u32) -> Result<(), Box<dyn Error>> {
    // No thread of memscope's looks meanwhile.
    builder().sample_every(Duration::ZERO).init()?;
    let runtime = Builder::new_current_thread().build()?;
    // A snapshot learns what the samples before it have asked for, and the first walks are checked.
    // All rounds are called from one place: a rule is for one call.
    let warm_up = if way == "rules" { 8 } else { 0 };
    for round in 0..=warm_up {
        let blocks = if round == warm_up { blocks } else { 32 };
        runtime.block_on(runtime.spawn(layer(layers, blocks)))?;
        if round != warm_up {
            drop(get_memory_snapshot());
        }
    }
    let snapshot = get_memory_snapshot();
    println!("{}", snapshot.stacks().iter().map(|stack| stack.samples).sum::<u64>());
    Ok(())
}

/// Instructions of the whole program, and its samples.
fn counted(way: &str, layers: u32, blocks: u32) -> Result<(f64, f64), Box<dyn Error>> {
    let output = Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"])
        .arg(env::current_exe()?)
        .args([way, &layers.to_string(), &blocks.to_string()])
        .env("MEMSCOPE_STACKS", if way == "off" { "off" } else { "2MiB" })
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(said.into());
    }
    let line = said.lines().find_map(|line| line.split_once("refs:"));
    let (_, instructions) = line.ok_or("cachegrind says no number")?;
    let samples = String::from_utf8(output.stdout)?;
    Ok((instructions.trim().replace(',', "").parse()?, samples.trim().parse()?))
}

/// What one block takes, and the part of the blocks that was sampled.
fn per_block(way: &str, layers: u32) -> Result<(f64, f64), Box<dyn Error>> {
    let (once, few) = counted(way, layers, BLOCKS)?;
    let (twice, many) = counted(way, layers, 2 * BLOCKS)?;
    let blocks = f64::from(BLOCKS);
    Ok(((twice - once) / blocks, (many - few) / blocks))
}

fn table() -> Result<(), Box<dyn Error>> {
    println!("| frames of boxed futures | by rules | by the unwinder |\n|---|---|---|");
    for layers in LAYERS {
        let (alone, _) = per_block("off", layers)?;
        let [by_rules, by_unwinder] = ["rules", "unwinder"].map(|way| {
            let mut runs = Vec::new();
            for _ in 0..RUNS {
                let (with, sampled) = per_block(way, layers)?;
                runs.push((with - alone) / sampled);
            }
            Ok::<_, Box<dyn Error>>(median(&runs))
        });
        println!("| {} | {:.0} | {:.0} |", layers + 1, by_rules?, by_unwinder?);
    }
    Ok(())
}

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let result = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => table(),
        [way, layers, blocks] => match (layers.parse(), blocks.parse()) {
            (Ok(layers), Ok(blocks)) => run(way, layers, blocks),
            _ => Err("two numbers are expected".into()),
        },
        _ => Err("no words are expected".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}
