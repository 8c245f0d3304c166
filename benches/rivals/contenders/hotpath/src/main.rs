//! hotpath's `future!`, without its allocator: polls are counted and timed.

use std::future::Future;

use hotpath::{Format, HotpathGuardBuilder};
use rivals_loops::{Case, Contender, INNER, Inner, Kind, run};

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
