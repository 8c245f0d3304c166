//! A month goes by on a clock that is set forward. The timeline covers all of it, and memscope's
//! memory stays what it was after a minute.

use std::{thread, time::Duration};

use memscope_rs::{
    __private::{advance_clock, collect},
    async_memory::{MemorySnapshot, track},
    init,
};
use memscope_tests::{alone, conserved, conserved_when, poll, record_bytes, wait_once};

use crate::ALLOCATOR;

const SECOND: Duration = Duration::from_secs(1);
const SECONDS: u64 = 30 * 24 * 3_600;

fn check(snapshot: &MemorySnapshot, name: &str) {
    let timeline = snapshot.timeline();
    assert!(timeline.process.len() <= 64 && timeline.process.is_sorted_by_key(|point| point.at_ns));
    let last = timeline.process.last().expect("this snapshot");
    let process = snapshot.process();
    assert_eq!(
        (last.tracked_bytes, last.untracked_bytes, last.whole_bytes),
        (process.tracked_bytes, process.untracked_bytes, process.whole_bytes)
    );
    let site = timeline.sites.iter().find(|trend| trend.place.name == name).expect("the site");
    let row = snapshot.sites_named(name).next().expect("its row");
    assert_eq!(site.points.last().map(|point| point.live_bytes), Some(row.live_bytes));
}

#[test]
fn a_month_takes_the_memory_of_a_minute() {
    let _alone = alone();
    let mut grows = Box::pin(
        track(async {
            let mut held = Vec::new();
            loop {
                held.push(vec![0u8; 1_000]);
                wait_once().await;
            }
        })
        .named("grows"),
    );
    let mut minute = 0;
    for second in 0..SECONDS {
        advance_clock(SECOND);
        collect();
        if second == 60 {
            minute = record_bytes(&conserved(&ALLOCATOR));
        }
        // Two tasks an hour come and go, and a leak of a kilobyte a day goes on.
        if second % 1_800 == 0 {
            assert!(poll(&mut Box::pin(track(async {}).named("comes and goes"))).is_ready());
        }
        if second % 86_400 == 0 {
            assert!(poll(&mut grows).is_pending());
        }
        if second % 100_000 == 0 {
            check(&conserved(&ALLOCATOR), "grows");
        }
    }
    let snapshot = conserved(&ALLOCATOR);
    check(&snapshot, "grows");
    // Rows of ended tasks and sites' rows apart, which are there for good, nothing has come.
    let more = record_bytes(&snapshot) - minute;
    assert!(more <= 256 << 10, "{more} bytes in a month");
    let month = u64::try_from((SECOND * u32::try_from(SECONDS).expect("small")).as_nanos());
    let points = &snapshot.timeline().process;
    let span = points[points.len() - 1].at_ns - points[0].at_ns;
    assert!(span > month.expect("small") / 10 * 9, "{span} ns");
    let trend = snapshot.trends().iter().find(|trend| trend.place.name == "grows");
    let bytes: Vec<u64> = trend.expect("it").points.iter().map(|point| point.live_bytes).collect();
    assert!(
        bytes.is_sorted() && bytes[0] < 10_000 && bytes[bytes.len() - 1] >= 30_000,
        "{bytes:?}"
    );
    // Every task's events were taken in time.
    assert_eq!(snapshot.tool().ring_events_dropped, 0);
    assert!(snapshot.observed_seconds() >= 2_592_000.0);
}

#[test]
fn the_collector_comes_with_the_first_task_after_init_and_goes_when_nothing_happens() {
    let _alone = alone();
    assert!(poll(&mut Box::pin(track(async {}))).is_ready());
    assert!(!conserved(&ALLOCATOR).tool().collector_is_running, "it was not asked for");
    init();
    assert!(!conserved(&ALLOCATOR).tool().collector_is_running, "nothing happens");
    for _ in 0..2 {
        assert!(poll(&mut Box::pin(track(async {}))).is_ready());
        let running = conserved_when(&ALLOCATOR, |snapshot| snapshot.tool().collector_is_running);
        // It takes what waits in the rings by itself.
        let taken = running.tool().ring_events;
        assert!(poll(&mut Box::pin(track(async {}))).is_ready());
        thread::sleep(Duration::from_millis(1_500));
        let later = conserved(&ALLOCATOR);
        assert_eq!((later.tool().ring_events, later.tool().ring_events_dropped), (taken + 2, 0));
        // This very snapshot is something that happened; then it is quiet.
        for _ in 0..3 {
            advance_clock(Duration::from_mins(1));
            thread::sleep(Duration::from_millis(1_200));
        }
        conserved_when(&ALLOCATOR, |snapshot| !snapshot.tool().collector_is_running);
    }
}
