//! `stats_alloc`: counts for the whole process. A `Region` only reads the counters at its ends. On
//! stable Rust it wraps only the system's allocator.

use std::alloc::System;

use comparison_loops::{Case, Contender, Kind, run};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

struct Stats;

impl Contender for Stats {
    fn can(case: Case) -> bool {
        matches!(case.kind(), Kind::Allocation | Kind::Blocks) || case == Case::Thread
    }

    fn scope<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        let region = Region::new(ALLOCATOR);
        let value = work();
        assert!(region.change().allocations > 0, "it counts");
        value
    }
}

fn main() {
    run::<Stats>();
}
