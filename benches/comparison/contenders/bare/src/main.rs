//! Nothing around the loops: what all others are compared with.

use std::hint::black_box;

use comparison_loops::{Case, Contender, INNER, Inner, run};

#[global_allocator]
static ALLOCATOR: Inner = INNER;

struct Bare;

impl Contender for Bare {
    fn can(_: Case) -> bool {
        true
    }

    /// Tokio's own answer.
    fn current_task() {
        black_box(tokio::task::try_id());
    }
}

fn main() {
    run::<Bare>();
}
