//! Measures what names and stacks add to a storm of tasks that are spawned, allocate a block and
//! end.
//!
//! ```text
//! cargo run --release -p memscope-benches --features memscope-rs/symbols --bin storms
//! ```
//!
//! It starts itself, in turn with names and stacks, with names alone, and without both: under
//! valgrind's cachegrind for instructions, and on two workers for time.
#![expect(clippy::print_stdout, reason = "the figures are its output")]

use std::{
    alloc::System,
    env,
    error::Error,
    fs,
    hint::black_box,
    process::{self, Command, ExitCode},
    time::{Duration, Instant},
};

use memscope_benches::median;
use memscope_rs::{TrackingAllocator, async_memory::get_memory_snapshot, builder};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinSet,
};

#[global_allocator]
static ALLOCATOR: TrackingAllocator = TrackingAllocator::new(System);

/// Tasks that are counted under cachegrind, and those of one timed run.
const COUNTED: u32 = 20_000;
const TIMED: u32 = 1_000_000;
/// Tasks that live at one time.
const AT_ONCE: u32 = 100;
/// Runs of each kind, interleaved.
const ROUNDS: usize = 25;

/// Settings of `MEMSCOPE_NAMES` and `MEMSCOPE_STACKS`.
const KINDS: [(&str, [&str; 2]); 3] =
    [("neither", ["off", "off"]), ("names", ["on", "off"]), ("names and stacks", ["on", "2MiB"])];

fn storm(runtime: &Runtime, tasks: u32) {
    runtime.block_on(async {
        for batch in 0..tasks / AT_ONCE {
            let mut set = JoinSet::new();
            for number in 0..AT_ONCE {
                set.spawn(async move { drop(black_box(vec![batch + number; 16])) });
            }
            set.join_all().await;
        }
    });
}

/// Runs a storm, after a short one whose tasks get their name, and prints nanoseconds a task.
fn run(workers: usize, tasks: u32) -> Result<(), Box<dyn Error>> {
    // No thread of memscope's looks meanwhile.
    builder().sample_every(Duration::ZERO).init()?;
    let runtime = match workers {
        0 => Builder::new_current_thread().build()?,
        _ => Builder::new_multi_thread().worker_threads(workers).build()?,
    };
    for _ in 0..4 {
        storm(&runtime, 10 * AT_ONCE);
        drop(get_memory_snapshot());
    }
    let start = Instant::now();
    storm(&runtime, tasks);
    println!("{}", start.elapsed().as_secs_f64() * 1e9 / f64::from(tasks));
    Ok(())
}

/// Nanoseconds a task.
fn timed([names, stacks]: [&str; 2]) -> Result<f64, Box<dyn Error>> {
    let output = Command::new(env::current_exe()?)
        .args(["2", &TIMED.to_string()])
        .envs([("MEMSCOPE_NAMES", names), ("MEMSCOPE_STACKS", stacks)])
        .output()?;
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// Instructions of the whole program, and those in memscope's functions.
#[derive(Clone, Copy, Debug, Default)]
struct Instructions {
    all: f64,
    memscope: f64,
}

fn counted([names, stacks]: [&str; 2], tasks: u32) -> Result<Instructions, Box<dyn Error>> {
    let file = env::temp_dir().join(format!("memscope-storms-{}", process::id()));
    let output = Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=no"])
        .arg(format!("--cachegrind-out-file={}", file.display()))
        .arg(env::current_exe()?)
        .args(["0", &tasks.to_string()])
        .envs([("MEMSCOPE_NAMES", names), ("MEMSCOPE_STACKS", stacks)])
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let profile = fs::read_to_string(&file)?;
    fs::remove_file(&file)?;
    let (mut counted, mut is_memscope) = (Instructions::default(), false);
    for line in profile.lines() {
        if let Some(function) = line.strip_prefix("fn=") {
            is_memscope = function.contains("memscope_runtime");
        } else if let Some((place, instructions)) = line.split_once(' ')
            && place.parse::<u32>().is_ok()
        {
            let instructions: f64 = instructions.trim().parse()?;
            counted.all += instructions;
            counted.memscope += if is_memscope { instructions } else { 0.0 };
        }
    }
    Ok(counted)
}

/// Instructions of one task.
fn counted_per_task(settings: [&str; 2]) -> Result<Instructions, Box<dyn Error>> {
    let (once, twice) = (counted(settings, COUNTED)?, counted(settings, 2 * COUNTED)?);
    let per_task = |once: f64, twice: f64| (twice - once) / f64::from(COUNTED);
    Ok(Instructions {
        all: per_task(once.all, twice.all),
        memscope: per_task(once.memscope, twice.memscope),
    })
}

fn table() -> Result<(), Box<dyn Error>> {
    let mut instructions = [Instructions::default(); KINDS.len()];
    for (kind, instructions) in KINDS.iter().zip(&mut instructions) {
        *instructions = counted_per_task(kind.1)?;
    }
    let mut times = [const { Vec::new() }; KINDS.len()];
    let mut ratios = [const { Vec::new() }; KINDS.len()];
    for _ in 0..ROUNDS {
        let mut round = [0.0; KINDS.len()];
        for (kind, time) in KINDS.iter().zip(&mut round) {
            *time = timed(kind.1)?;
        }
        for (kind, time) in round.iter().enumerate() {
            times[kind].push(*time);
            ratios[kind].push(time / round[0]);
        }
    }
    println!("| a task, with | instructions | in memscope | ns | ratio |");
    println!("|---|---|---|---|---|");
    for (kind, (name, _)) in KINDS.iter().enumerate() {
        println!(
            "| {name} | {:.0} | {:.0} | {:.0} | {:.3} |",
            instructions[kind].all,
            instructions[kind].memscope,
            median(&times[kind]),
            median(&ratios[kind]),
        );
    }
    Ok(())
}

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let result = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => table(),
        [workers, tasks] => match (workers.parse(), tasks.parse()) {
            (Ok(workers), Ok(tasks)) => run(workers, tasks),
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
