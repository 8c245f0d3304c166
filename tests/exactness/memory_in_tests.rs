//! Tests that measure their memory, 200 of them in one process: each sees its own to the byte,
//! whatever runs beside it.

#![allow(unnameable_test_items, reason = "tests that fail are called by tests")]

use std::{env, panic::catch_unwind, process::Command};

use memscope_rs::{
    TrackingAllocator, assert_memory,
    async_memory::{TaskState, spawn_tracked, track},
    testing::{measure, measure_sync},
};

#[global_allocator]
static ALLOCATOR: TrackingAllocator = TrackingAllocator::new(std::alloc::System);

/// Holds a block across awaits, so that other tests run meanwhile.
async fn hold(bytes: usize) {
    let block = vec![1_u8; bytes];
    for _ in 0..3 {
        tokio::task::yield_now().await;
        std::thread::yield_now();
    }
    assert_eq!(block.len(), bytes);
}

/// What a test that is over its limits says.
#[track_caller]
fn complaint(test: fn()) -> String {
    let payload = catch_unwind(test).expect_err("it is over its limits");
    payload.downcast::<String>().map_or_else(|_| "no text".to_owned(), |text| *text)
}

/// Four tests for each name: one at its limit, one a byte over it, one beside Tokio's, one sync.
macro_rules! tests {
    ($($name:ident = $bytes:tt,)+) => {
        $(mod $name {
            use super::*;

            #[memscope_macros::test(peak = $bytes, allocations = 1, leaks = 0)]
            async fn is_at_its_limit() {
                hold($bytes).await;
            }

            #[test]
            fn is_a_byte_over_its_limit() {
                #[memscope_macros::test(peak = $bytes)]
                async fn inner() {
                    hold($bytes + 1).await;
                }
                let text = complaint(inner);
                assert!(text.starts_with("`inner` ("), "{text}");
                assert!(text.contains("\n  peak: "), "{text}");
            }

            #[memscope_macros::test(peak = $bytes, allocations = 1, leaks = 0)]
            #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
            async fn is_run_by_tokio() {
                hold($bytes).await;
            }

            #[test]
            fn is_measured_to_the_byte() {
                let (kept, profile) = measure_sync(|| {
                    drop(vec![1_u8; $bytes]);
                    vec![1_u8; $bytes - 500]
                });
                assert_eq!(profile.peak_bytes, $bytes);
                assert_eq!(profile.allocated_bytes, 2 * $bytes - 500);
                assert_eq!((profile.live_bytes, profile.live_blocks), ($bytes - 500, 1));
                assert_eq!((profile.allocation_count, profile.state), (2, TaskState::Completed));
                assert_eq!(kept.len() as u64, profile.live_bytes);
            }
        })+
    };
}

tests! {
    t00 = 1000, t01 = 1037, t02 = 1074, t03 = 1111, t04 = 1148, t05 = 1185,
    t06 = 1222, t07 = 1259, t08 = 1296, t09 = 1333, t10 = 1370, t11 = 1407,
    t12 = 1444, t13 = 1481, t14 = 1518, t15 = 1555, t16 = 1592, t17 = 1629,
    t18 = 1666, t19 = 1703, t20 = 1740, t21 = 1777, t22 = 1814, t23 = 1851,
    t24 = 1888, t25 = 1925, t26 = 1962, t27 = 1999, t28 = 2036, t29 = 2073,
    t30 = 2110, t31 = 2147, t32 = 2184, t33 = 2221, t34 = 2258, t35 = 2295,
    t36 = 2332, t37 = 2369, t38 = 2406, t39 = 2443, t40 = 2480, t41 = 2517,
    t42 = 2554, t43 = 2591, t44 = 2628, t45 = 2665, t46 = 2702, t47 = 2739,
    t48 = 2776, t49 = 2813,
}

/// As `cargo nextest run` does: it has the tests listed, and runs each in a process of its own.
#[test]
fn each_is_right_in_a_process_of_its_own() {
    let run = |arguments: &[&str]| {
        let mut program = Command::new(env::current_exe().expect("a path"));
        let output = program.args(arguments).output().expect("it starts");
        let text = String::from_utf8(output.stdout).expect("text");
        assert!(output.status.success(), "{arguments:?}: {text}");
        text
    };
    let list = run(&["--list", "--format", "terse"]);
    let is_of_a_name = |test: &&str| test.starts_with('t') && test.get(3..5) == Some("::");
    let tests: Vec<_> =
        list.lines().filter_map(|line| line.strip_suffix(": test")).filter(is_of_a_name).collect();
    assert_eq!(tests.len(), 4 * 50);
    // Some of each kind.
    for test in tests.iter().step_by(7) {
        let text = run(&["--exact", test, "--nocapture"]);
        assert!(text.contains("1 passed"), "{text}");
    }
}

#[test]
fn a_future_that_holds_memory_when_it_is_ready_is_dropped_before_it_is_read() {
    /// Ready at once, and holds its block until it is dropped.
    struct Holds(Option<Vec<u8>>);
    impl Future for Holds {
        type Output = usize;
        fn poll(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<usize> {
            let block = self.0.get_or_insert_with(|| vec![1; 700]);
            std::task::Poll::Ready(block.len())
        }
    }
    impl Drop for Holds {
        fn drop(&mut self) {
            drop(vec![1_u8; 50]);
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (len, profile) = runtime.block_on(measure(Holds(None)));
    assert_eq!((len, profile.live_bytes, profile.peak_bytes), (700, 0, 750));
    assert_eq!(profile.allocation_count, 2, "what its destructor allocates is its own");
}

#[test]
fn each_of_two_measurements_in_each_other_has_its_own() {
    let (inner, outer) = measure_sync(|| {
        let block = vec![1_u8; 300];
        let (_, inner) = measure_sync(|| vec![1_u8; 4_000].len());
        drop(block);
        inner
    });
    assert_eq!((inner.peak_bytes, outer.peak_bytes), (4_000, 300));
    assert_eq!((inner.parent, outer.allocation_count), (Some(outer.id), 1));
}

#[test]
fn another_thread_that_frees_the_block_frees_it_for_the_test() {
    let (thread, profile) = measure_sync(|| vec![1_u8; 900]);
    assert_eq!(profile.live_bytes, 900);
    std::thread::spawn(move || drop(thread)).join().expect("it ends");
    let ((), profile) = measure_sync(|| {
        let block = vec![1_u8; 900];
        std::thread::scope(|scope| scope.spawn(move || drop(block)).join()).expect("it ends");
    });
    assert!(profile.live_bytes < 900, "what the thread itself has may outlive it for a moment");
    assert!(profile.freed_elsewhere_bytes >= 900, "the block, and what the thread was handed");
}

#[test]
fn tracked_tasks_of_a_test_count_for_its_limits() {
    #[memscope_macros::test(peak = 5_000, allocations = 3, leaks = 0)]
    async fn fits() {
        track(hold(5_000)).await;
        track(async { track(hold(4_000)).await }).await;
        let block = vec![1_u8; 10];
        drop(block);
    }
    fits();

    #[memscope_macros::test(peak = 4_999)]
    async fn peaks_in_a_child() {
        track(hold(5_000)).named("child").await;
    }
    let text = complaint(peaks_in_a_child);
    assert!(text.contains("\n  peak of `child`: 4.9 KiB (5,000 bytes), limit 4.9 KiB"), "{text}");

    #[memscope_macros::test(allocations = 2)]
    async fn allocates_in_grandchildren() {
        track(async { track(hold(4_000)).await }).await;
        track(hold(10)).await;
        track(hold(10)).await;
    }
    let text = complaint(allocates_in_grandchildren);
    assert!(text.contains("\n  allocations: 3, limit 2\n"), "{text}");

    #[memscope_macros::test(leaks = 0)]
    async fn leaks_in_a_child() {
        std::mem::forget(track(async { vec![1_u8; 123] }).await);
    }
    let text = complaint(leaks_in_a_child);
    assert!(text.contains("\n  leaks: 123 B in 1 block, limit 0 B\n"), "{text}");
}

#[test]
fn a_task_that_still_runs_at_the_end_of_a_test_with_its_own_runtime_is_no_leak() {
    #[memscope_macros::test(leaks = 0)]
    async fn leaves_a_task() {
        spawn_tracked(async {
            let block = vec![1_u8; 2_000];
            std::future::pending::<()>().await;
            drop(block);
        });
        tokio::task::yield_now().await;
    }
    leaves_a_task();
}

#[memscope_macros::test(leaks = 0, peak = "1MiB")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_another_thread_ends_is_no_leak() {
    for _ in 0..50 {
        spawn_tracked(async { drop(vec![1_u8; 3_000]) }).await.expect("it ends");
    }
}

#[test]
fn a_test_with_a_result_and_one_that_panics_stay_what_they_are() {
    #[memscope_macros::test(peak = "1KiB")]
    async fn with_result() -> Result<(), std::num::ParseIntError> {
        let number: u64 = std::future::ready("12").await.parse()?;
        assert_eq!(number, 12);
        if number == 12 {
            return Ok(());
        }
        Ok(())
    }
    assert_eq!(with_result(), Ok(()));

    #[memscope_macros::test(peak = 1)]
    fn panics() {
        let block = "x".repeat(100);
        assert_eq!(block.len(), 1, "its own words");
    }
    assert!(complaint(panics).contains("its own words"), "not those of its limits");

    #[memscope_macros::test(peak = 99, leaks = 0)]
    fn sync_is_over() {
        drop(vec![1_u8; 100]);
    }
    assert!(complaint(sync_is_over).contains("peak: 100 B, limit 99 B"));

    #[memscope_macros::test]
    fn without_limits() {
        drop(vec![1_u8; 100]);
    }
    without_limits();
}

#[test]
fn conditions_hold_to_the_byte() {
    let (_, profile) = measure_sync(|| vec![1_u8; 64 << 10].len());
    assert_memory!(profile, peak_bytes <= 64 * 1024, allocation_count <= 1, live_bytes == 0);
    assert_memory!(&profile, peak_bytes > 65_535, freed_bytes >= 1, peak_bytes != 3,);
    let failure = catch_unwind(|| assert_memory!(profile, peak_bytes < 65_536));
    let text = failure.expect_err("it does not hold").downcast::<String>().expect("a text");
    assert!(text.contains("\n  peak_bytes: 65,536, expected < 65,536\n"), "{text}");
}

#[test]
#[should_panic(expected = "`measure` is polled after its end")]
fn a_measured_future_is_not_polled_after_its_end() {
    let mut future = std::pin::pin!(measure(async {}));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(future.as_mut().poll(&mut context).is_ready());
    let _ = future.poll(&mut context);
}
