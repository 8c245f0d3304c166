//! tracking-allocator: a group for the loop, entered by hand, and one for each task, attached to a
//! `tracing` span as in its example.
//!
//! What happens with an allocation is left to its user. Here the live bytes of each group are
//! counted, which is the least that tells which task holds what.

use std::future::Future;

use comparison_loops::{Case, Contender, INNER, Inner, run};
use tracking_allocator::{AllocationGroupToken, Allocator};

#[global_allocator]
static ALLOCATOR: Allocator<Inner> = Allocator::from_allocator(INNER);

struct Groups;

impl Contender for Groups {
    fn can(case: Case) -> bool {
        case != Case::CurrentTask
    }

    fn start() -> impl Sized {
        comparison_groups::start();
    }

    fn scope<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        let mut group = AllocationGroupToken::register().expect("few groups");
        let _inside = group.enter();
        work()
    }

    fn wrap<F>(future: F) -> impl Future<Output = F::Output> + Send + 'static
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        comparison_groups::grouped(future)
    }
}

fn main() {
    run::<Groups>();
}
