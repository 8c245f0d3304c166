//! async-backtrace: a `frame!` around each spawned future, so that it is in the dumps of tasks. It
//! counts and times nothing.

use std::future::Future;

use comparison_loops::{Case, Contender, INNER, Inner, Kind, run};

#[global_allocator]
static ALLOCATOR: Inner = INNER;

struct Backtrace;

impl Contender for Backtrace {
    fn can(case: Case) -> bool {
        matches!(case.kind(), Kind::Task | Kind::Tasks)
            && !matches!(case, Case::CurrentTask | Case::Thread)
    }

    fn wrap<F>(future: F) -> impl Future<Output = F::Output> + Send + 'static
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        async_backtrace::frame!(future)
    }
}

fn main() {
    run::<Backtrace>();
}
