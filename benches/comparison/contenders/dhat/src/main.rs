//! dhat: a heap profiler that notes the stack of every allocation. In testing mode it measures the
//! same and writes no file. It wraps only the system's allocator.

use comparison_loops::{Case, Contender, Kind, run};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

struct Dhat;

impl Contender for Dhat {
    fn can(case: Case) -> bool {
        matches!(case.kind(), Kind::Allocation | Kind::Blocks) || case == Case::Thread
    }

    fn start() -> impl Sized {
        dhat::Profiler::builder().testing().build()
    }
}

fn main() {
    run::<Dhat>();
}
