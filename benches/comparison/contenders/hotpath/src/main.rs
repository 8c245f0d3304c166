//! hotpath's `future!`, without its allocator: polls are counted and timed.

use std::future::Future;

use comparison_loops::{Case, Contender, INNER, Inner, Kind, run};
use hotpath::{Format, HotpathGuardBuilder};

#[global_allocator]
static ALLOCATOR: Inner = INNER;

struct Hotpath;

impl Contender for Hotpath {
    fn can(case: Case) -> bool {
        matches!(case.kind(), Kind::Task | Kind::Tasks)
            && !matches!(case, Case::CurrentTask | Case::Thread)
    }

    fn start() -> impl Sized {
        HotpathGuardBuilder::new("main").format(Format::None).build()
    }

    fn wrap<F>(future: F) -> impl Future<Output = F::Output> + Send + 'static
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        hotpath::future!(future)
    }
}

fn main() {
    run::<Hotpath>();
}
