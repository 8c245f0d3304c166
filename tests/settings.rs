//! Settings: those out of range are refused, the others apply at once.

use std::collections::HashSet;

use memscope_rs::{
    Timing,
    async_memory::{TaskType, initialize, track},
    builder, init,
};
use memscope_tests::{alone, block_on, conserved, poll, row};

memscope_tests::install!();

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
