//! Tasks that are parked in all that programs await, and what one dump says of them.
//!
//! Each case is a task that waits at known lines. The dump is right about it, or honest: it says
//! what it does not know. It is never wrong. `judge` says what these words mean, and `expected` how
//! a case says where its task waits. `ci/parked.sh` runs it.

mod cases;
mod expected;
mod judge;
mod park;

use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
    time::{Duration, Instant},
};

use memscope_rs::{
    async_memory::{
        AwaitBranch, AwaitFrame, AwaitPoints, DumpedTask, TaskDump, get_memory_snapshot, task_dump,
    },
    builder,
};

use crate::{
    expected::Expected,
    judge::{Judged, Verdict},
    park::Parked,
};

/// The fewest cases that are right. There are 658, and 650 in a release build; a client may wait
/// elsewhere for a busy machine.
const FEWEST_RIGHT: usize = 643;
/// The fewest tracked cases whose await points in a snapshot are right. There are 34.
const FEWEST_RIGHT_IN_SNAPSHOT: usize = 32;
/// The fewest cases.
const FEWEST_CASES: usize = 811;

fn main() {
    builder().await_points(true).init().expect("the feature `layout` is on");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(cases::spawn());
    let expected = expected::read(cases::FAMILIES);
    let dump = settled(&expected);
    let is_bad = report(&expected, &dump);
    cases::clean();
    // Tasks that are parked for ever, and threads that wait for them, are left as they are.
    std::process::exit(i32::from(is_bad));
}

/// The dump of the moment at which all tasks are parked: it is as the one before it.
fn settled(expected: &[Expected]) -> TaskDump {
    const MOST: Duration = Duration::from_mins(1);
    let start = Instant::now();
    let mut before = None;
    loop {
        thread::sleep(Duration::from_millis(300));
        let dump = task_dump().expect("a dump");
        assert_eq!(dump.await_points, AwaitPoints::On, "it needs debug information: debug = 2");
        assert_eq!(dump.missing, None);
        let ids: BTreeSet<u64> = park::all().iter().map(|it| it.task).collect();
        let of = |task: &DumpedTask| (task.tokio_id, task.await_point.clone(), task.running);
        let is_case = |task: &&DumpedTask| task.tokio_id.is_some_and(|id| ids.contains(&id));
        let now: Vec<_> = dump.tasks.iter().filter(is_case).map(of).collect();
        let is_parked = now.iter().all(|it| !it.2) && ids.len() >= expected.len();
        let is_over = start.elapsed() > MOST;
        if is_over || is_parked && before.as_ref() == Some(&now) {
            return dump;
        }
        before = Some(now);
    }
}

/// Prints what the dump says of the cases. Returns whether it is wrong about one, or right about
/// too few.
fn report(expected: &[Expected], dump: &TaskDump) -> bool {
    let snapshot = get_memory_snapshot();
    let parked = park::all();
    let mut families: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    let mut in_snapshot = [0; 3];
    let mut is_bad = parked.len() != expected.len();
    if is_bad {
        println!("{} tasks are registered, and {} are expected", parked.len(), expected.len());
    }
    for case in expected {
        let is_it = |it: &&Parked| (it.file, it.line) == (case.file, case.line);
        let found: Vec<&Parked> = parked.iter().filter(is_it).collect();
        let (name, judged, task) = match found[..] {
            [it] => {
                let mut rows = dump.tasks.iter().filter(|row| row.tokio_id == Some(it.task));
                let row = rows.next().filter(|_| rows.next().is_none());
                let judged = row.map_or_else(missing, |row| judge::task(row, &case.chains));
                (it.name, judged, row)
            }
            ref several => {
                let why = format!("it has {} tasks", several.len());
                ("(not registered once)", (Verdict::Wrong, why), None)
            }
        };
        families.entry(case.family).or_default()[judged.0 as usize] += 1;
        show(case, name, "", &judged);
        let is_right = judged.0 == Verdict::Right;
        if task.is_some_and(|task| is_right && !judge::is_strict(task, &case.chains)) {
            println!(
                "the judge would call other lines right: {name} ({}:{})",
                case.file, case.line
            );
            is_bad = true;
        }
        if !is_right {
            task.into_iter().for_each(print_task);
        }
        if let (Some(task), [Parked { is_tracked: true, .. }]) = (task, &found[..]) {
            let row = task.id.and_then(|id| snapshot.task(id));
            let point = row.and_then(|row| snapshot.await_point_of(row));
            let judged = point.map_or_else(missing, |point| judge::place(point, &case.chains));
            in_snapshot[judged.0 as usize] += 1;
            show(case, name, ", in a snapshot", &judged);
            if let Some(point) = point.filter(|_| judged.0 != Verdict::Right) {
                print_chain(1, &point.frames, &point.stops, &point.branches);
            }
        }
    }
    println!("\n{:<24}{:>6}{:>8}{:>7}", "family", "right", "honest", "wrong");
    let line = |name: &str, [right, honest, wrong]: [usize; 3]| {
        println!("{name:<24}{right:>6}{honest:>8}{wrong:>7}");
    };
    let mut all = [0; 3];
    for (name, of) in families {
        line(name, of);
        all.iter_mut().zip(of).for_each(|(all, of)| *all += of);
    }
    line("all", all);
    line("tracked, in a snapshot", in_snapshot);
    println!("the dump took {:.1} s", Duration::from_nanos(dump.taken_ns).as_secs_f64());
    is_bad |= all[2] + in_snapshot[2] != 0;
    for (what, number, fewest) in [
        ("cases", all.iter().sum(), FEWEST_CASES),
        ("right cases", all[0], FEWEST_RIGHT),
        ("right cases in a snapshot", in_snapshot[0], FEWEST_RIGHT_IN_SNAPSHOT),
    ] {
        if number < fewest {
            println!("there are {number} {what}, fewer than {fewest}");
            is_bad = true;
        }
    }
    is_bad
}

fn missing() -> Judged {
    (Verdict::Wrong, "it is not in the dump once, with a place".to_owned())
}

/// Prints a case that is not right.
fn show(case: &Expected, name: &str, of: &str, (verdict, why): &Judged) {
    if *verdict == Verdict::Right {
        return;
    }
    println!("\n{verdict:?}: {name}{of} ({}:{}): {why}", case.file, case.line);
    for chain in &case.chains {
        println!("  it waits at {}", judge::written(chain));
    }
}

fn print_task(task: &DumpedTask) {
    match &task.await_point {
        Some(point) => print_chain(1, &point.frames, &point.stops, &point.branches),
        None => println!("  {:?}, {:?}", task.state, task.unknown),
    }
}

fn print_chain(depth: usize, frames: &[AwaitFrame], stops: &str, branches: &[AwaitBranch]) {
    let indent = "  ".repeat(depth);
    for frame in frames {
        println!("{indent}{} ({}:{})", frame.function, frame.file, frame.line);
    }
    println!("{indent}{stops}");
    for branch in branches {
        println!("{indent}- ");
        print_chain(depth + 2, &branch.frames, &branch.stops, &branch.branches);
    }
}
