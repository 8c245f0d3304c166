//! Settings that are out of range are refused. The others apply at once.

#![expect(clippy::print_stdout, reason = "that is how a process of its own answers")]

use std::{collections::HashSet, process::Command, time::Duration};

use memscope_rs::{
    Timing,
    async_memory::{TaskType, get_memory_snapshot, initialize, track},
    builder, init,
};
use memscope_tests::{alone, block_on, conserved, poll, row};

use crate::ALLOCATOR;

#[test]
fn wrong_settings_are_refused_with_the_name_and_the_limits_and_change_nothing() {
    let _alone = alone();
    let before = conserved(&ALLOCATOR);
    for (wrong, name, most) in [
        (builder().ended_tasks(0), "ended_tasks", "1048576"),
        (builder().ended_tasks((1 << 20) + 1), "ended_tasks", "1048576"),
        (builder().ended_tasks(u64::MAX).site_rows(0), "ended_tasks", "1048576"),
        (builder().site_rows(0), "site_rows", "16384"),
        (builder().site_rows(u64::MAX).timing(Timing::Off), "site_rows", "16384"),
    ] {
        let message = wrong.init().expect_err("refused").to_string();
        assert!(message.contains(name) && message.contains(most), "{message}");
    }
    let mut task = Box::pin(track(async { drop(vec![0u8; 10]) }));
    assert!(poll(&mut task).is_ready());
    let row = row(&conserved(&ALLOCATOR), task.id().expect("an id")).clone();
    assert!(row.busy_ns.is_some(), "timing was not switched off");
    assert_eq!(conserved(&ALLOCATOR).sites().len(), before.sites().len() + 1);
}

#[test]
fn settings_apply_at_once_and_initialising_again_changes_nothing() {
    let _alone = alone();
    init();
    init();
    block_on(initialize()).expect("nothing can fail");
    let many = |count: usize| (0..count).for_each(|_| drop(track(async {}).named("one of many")));
    builder().ended_tasks(10).timing(Timing::Off).init().expect("in range");
    many(100);
    let snapshot = conserved(&ALLOCATOR);
    assert_eq!(snapshot.tasks().iter().filter(|task| task.state.is_ended()).count(), 10);
    assert!(snapshot.get_task_metrics(TaskType::Unspecified).avg_wait_time_ms.is_nan());
    let mut task = Box::pin(track(async {}));
    assert!(poll(&mut task).is_ready());
    let timed = row(&conserved(&ALLOCATOR), task.id().expect("an id")).clone();
    assert_eq!((timed.busy_ns, timed.wait_ns), (None, None));
    drop(task);
    builder().init().expect("the defaults");
    many(5_000);
    let snapshot = conserved(&ALLOCATOR);
    assert_eq!(snapshot.tasks().iter().filter(|task| task.state.is_ended()).count(), 4_096);
    let ids: HashSet<_> = snapshot.tasks().iter().map(|task| task.id).collect();
    assert_eq!(ids.len(), snapshot.tasks().len(), "no task has two rows");
}

/// A part of a test that runs in a process of its own: what it says there.
fn in_a_process(part: &str, sample_every: Option<&str>) -> String {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    let part = &format!("settings::{part}");
    command.args(["--ignored", "--exact", "--nocapture", part]);
    command.env_remove("MEMSCOPE_SAMPLE_EVERY");
    command.envs(sample_every.map(|period| ("MEMSCOPE_SAMPLE_EVERY", period)));
    let output = command.output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("1 passed"), "{part}: {said}");
    said
}

#[test]
#[ignore = "a part of another test"]
fn whether_the_collector_is_there_after_a_poll() {
    let is_running = || get_memory_snapshot().tool().collector_is_running;
    assert!(poll(&mut Box::pin(track(async {}))).is_ready());
    println!("the collector is there: {}", is_running());
}

#[test]
fn the_environment_has_events_collected_without_init() {
    for (period, is_there) in [(None, false), (Some("10ms"), true), (Some("off"), false)] {
        let said = in_a_process("whether_the_collector_is_there_after_a_poll", period);
        assert!(
            said.contains(&format!("the collector is there: {is_there}")),
            "{period:?}: {said}"
        );
    }
}

#[test]
#[ignore = "a part of another test"]
fn events_while_nothing_empties_the_rings() {
    builder().timing(Timing::Off).sample_every(Duration::ZERO).init().expect("in range");
    let read = |name: &str| {
        let snapshot = get_memory_snapshot();
        let tool = snapshot.tool();
        let tasks: u64 = snapshot.sites_named(name).map(|site| site.completed).sum();
        (tool.ring_events, tool.ring_events_dropped, tasks)
    };
    // Two events each: less than a ring of 2,048 holds, and more. A thread of the test's that ends
    // empties it once at the most.
    for (name, tasks, loses) in [("fit", 1_000, false), ("do not fit", 3_000, true)] {
        let before = read(name);
        for _ in 0..tasks {
            assert!(poll(&mut Box::pin(track(async {}).named(name))).is_ready());
        }
        let after = read(name);
        let (kept, lost) = (after.0 - before.0, after.1 - before.1);
        assert_eq!((kept + lost, after.2), (2 * tasks, tasks), "{name}");
        assert_eq!(lost != 0, loses, "{name}: {lost}");
    }
    println!("{}", get_memory_snapshot());
}

#[test]
fn events_past_the_rings_are_dropped_and_counted_and_no_task_is() {
    let said = in_a_process("events_while_nothing_empties_the_rings", None);
    let line = " events dropped: `events()` misses them, no sum does; `memscope_rs::init()`";
    assert!(said.contains(line), "{said}");
}
