//! divan: its `AllocProfiler` counts for each thread, whether a benchmark runs or not.

use comparison_loops::{Case, Contender, INNER, Inner, Kind, run};
use divan::AllocProfiler;

#[global_allocator]
static ALLOCATOR: AllocProfiler<Inner> = AllocProfiler::new(INNER);

struct Divan;

impl Contender for Divan {
    fn can(case: Case) -> bool {
        matches!(case.kind(), Kind::Allocation | Kind::Blocks) || case == Case::Thread
    }
}

fn main() {
    run::<Divan>();
}
