//! Tests that measure their memory, 800 of them in one process: each sees its own to the byte,
//! whatever runs beside it.

#![allow(unnameable_test_items, reason = "tests that fail are called by tests")]

use std::panic::catch_unwind;

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
    t000 = 1000, t001 = 1037, t002 = 1074, t003 = 1111, t004 = 1148, t005 = 1185,
    t006 = 1222, t007 = 1259, t008 = 1296, t009 = 1333, t010 = 1370, t011 = 1407,
    t012 = 1444, t013 = 1481, t014 = 1518, t015 = 1555, t016 = 1592, t017 = 1629,
    t018 = 1666, t019 = 1703, t020 = 1740, t021 = 1777, t022 = 1814, t023 = 1851,
    t024 = 1888, t025 = 1925, t026 = 1962, t027 = 1999, t028 = 2036, t029 = 2073,
    t030 = 2110, t031 = 2147, t032 = 2184, t033 = 2221, t034 = 2258, t035 = 2295,
    t036 = 2332, t037 = 2369, t038 = 2406, t039 = 2443, t040 = 2480, t041 = 2517,
    t042 = 2554, t043 = 2591, t044 = 2628, t045 = 2665, t046 = 2702, t047 = 2739,
    t048 = 2776, t049 = 2813, t050 = 2850, t051 = 2887, t052 = 2924, t053 = 2961,
    t054 = 2998, t055 = 3035, t056 = 3072, t057 = 3109, t058 = 3146, t059 = 3183,
    t060 = 3220, t061 = 3257, t062 = 3294, t063 = 3331, t064 = 3368, t065 = 3405,
    t066 = 3442, t067 = 3479, t068 = 3516, t069 = 3553, t070 = 3590, t071 = 3627,
    t072 = 3664, t073 = 3701, t074 = 3738, t075 = 3775, t076 = 3812, t077 = 3849,
    t078 = 3886, t079 = 3923, t080 = 3960, t081 = 3997, t082 = 4034, t083 = 4071,
    t084 = 4108, t085 = 4145, t086 = 4182, t087 = 4219, t088 = 4256, t089 = 4293,
    t090 = 4330, t091 = 4367, t092 = 4404, t093 = 4441, t094 = 4478, t095 = 4515,
    t096 = 4552, t097 = 4589, t098 = 4626, t099 = 4663, t100 = 4700, t101 = 4737,
    t102 = 4774, t103 = 4811, t104 = 4848, t105 = 4885, t106 = 4922, t107 = 4959,
    t108 = 4996, t109 = 5033, t110 = 5070, t111 = 5107, t112 = 5144, t113 = 5181,
    t114 = 5218, t115 = 5255, t116 = 5292, t117 = 5329, t118 = 5366, t119 = 5403,
    t120 = 5440, t121 = 5477, t122 = 5514, t123 = 5551, t124 = 5588, t125 = 5625,
    t126 = 5662, t127 = 5699, t128 = 5736, t129 = 5773, t130 = 5810, t131 = 5847,
    t132 = 5884, t133 = 5921, t134 = 5958, t135 = 5995, t136 = 6032, t137 = 6069,
    t138 = 6106, t139 = 6143, t140 = 6180, t141 = 6217, t142 = 6254, t143 = 6291,
    t144 = 6328, t145 = 6365, t146 = 6402, t147 = 6439, t148 = 6476, t149 = 6513,
    t150 = 6550, t151 = 6587, t152 = 6624, t153 = 6661, t154 = 6698, t155 = 6735,
    t156 = 6772, t157 = 6809, t158 = 6846, t159 = 6883, t160 = 6920, t161 = 6957,
    t162 = 6994, t163 = 7031, t164 = 7068, t165 = 7105, t166 = 7142, t167 = 7179,
    t168 = 7216, t169 = 7253, t170 = 7290, t171 = 7327, t172 = 7364, t173 = 7401,
    t174 = 7438, t175 = 7475, t176 = 7512, t177 = 7549, t178 = 7586, t179 = 7623,
    t180 = 7660, t181 = 7697, t182 = 7734, t183 = 7771, t184 = 7808, t185 = 7845,
    t186 = 7882, t187 = 7919, t188 = 7956, t189 = 7993, t190 = 8030, t191 = 8067,
    t192 = 8104, t193 = 8141, t194 = 8178, t195 = 8215, t196 = 8252, t197 = 8289,
    t198 = 8326, t199 = 8363,
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
