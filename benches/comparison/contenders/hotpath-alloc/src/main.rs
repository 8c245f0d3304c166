//! hotpath with its feature `hotpath-alloc`: what is allocated in a `measure_block!` is counted for
//! that block, in the polls of a `future!` for that future, and for each thread. Frees are counted
//! for threads only.

use std::future::Future;

use comparison_loops::{Case, Contender, INNER, Inner, run};
use hotpath::{CountingAllocator, Format, HotpathGuardBuilder};

#[global_allocator]
static ALLOCATOR: CountingAllocator<Inner> = CountingAllocator::with(INNER);

struct Hotpath;

impl Contender for Hotpath {
    fn can(case: Case) -> bool {
        case != Case::CurrentTask
    }

    fn start() -> impl Sized {
        HotpathGuardBuilder::new("main").format(Format::None).build()
    }

    fn scope<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        hotpath::measure_block!("loop", work())
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
