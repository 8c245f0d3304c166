//! Prints the largest futures of a program, and the time and memory that it took to find them.
//!
//! ```text
//! cargo run --release -p memscope-layout --example largest -- PATH [COUNT]
//! ```
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::{
    env,
    error::Error,
    fs,
    time::{Duration, Instant},
};

use memscope_layout::Layouts;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let path = arguments.next().ok_or("name a program")?;
    let count = arguments.next().map_or(Ok(5), |it| it.parse())?;

    let start = Instant::now();
    let layouts = Layouts::read(&path)?;
    let (took, busy) = (start.elapsed(), busy());
    let peak = peak_kilobytes();

    let coroutines = layouts.coroutines();
    for coroutine in coroutines.iter().take(count) {
        println!("{:>8} B  {}", coroutine.size, coroutine.path);
        for state in &coroutine.states {
            let place = state.place.as_ref().map_or_else(String::new, ToString::to_string);
            println!("            {} at {place}, {} B live", state.kind, state.live_bytes);
            for it in &state.members {
                let size = it.size.map_or_else(|| "?".to_owned(), |it| it.to_string());
                println!(
                    "              {size:>8} B at {:<6} {}: {}",
                    it.offset, it.name, it.type_name
                );
            }
            for it in &state.hidden {
                println!("              hidden: {}, perhaps {:?}", it.name, it.candidates);
            }
        }
    }
    let members = || coroutines.iter().flat_map(|it| &it.states).flat_map(|it| &it.members);
    println!(
        "{} coroutines, {} members ({} of unknown size), {} hidden, {} vtables ({} shared)",
        coroutines.len(),
        members().count(),
        members().filter(|it| it.size.is_none()).count(),
        coroutines.iter().flat_map(|it| &it.states).map(|it| it.hidden.len()).sum::<usize>(),
        layouts.vtables().count(),
        layouts.vtables().filter(|it| it.1.is_none()).count(),
    );
    let megabytes = fs::metadata(&path)?.len() / 1_000_000;
    let peak = peak.map_or_else(String::new, |it| format!(", at most {} MB in memory", it / 1000));
    let busy = busy.map_or_else(String::new, |it| format!(", {it:.1?} of a processor"));
    println!("{megabytes} MB of program read in {took:.1?}{busy}{peak}");
    Ok(())
}

/// Returns the CPU time of this process, which other work on the machine does not affect. `None` if
/// the system does not provide it.
fn busy() -> Option<Duration> {
    let times = fs::read_to_string("/proc/self/schedstat").ok()?;
    times.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

/// Returns the peak memory of the process, including mapped pages of the file. `None` if the system
/// does not provide it.
fn peak_kilobytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|it| it.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}
