//! await-tree: each spawned future is the root of a tree in one registry, and has one span around
//! what it awaits.

use std::{future::Future, sync::LazyLock};

use await_tree::{Config, InstrumentAwait, Registry};
use comparison_loops::{Case, Contender, INNER, Inner, Kind, run};

#[global_allocator]
static ALLOCATOR: Inner = INNER;

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| Registry::new(Config::default()));

struct Tree;

impl Contender for Tree {
    fn can(case: Case) -> bool {
        matches!(case.kind(), Kind::Task | Kind::Tasks)
            && !matches!(case, Case::CurrentTask | Case::Thread)
    }

    fn wrap<F>(future: F) -> impl Future<Output = F::Output> + Send + 'static
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        REGISTRY.register_anonymous("task").instrument(future.instrument_await("work"))
    }
}

fn main() {
    run::<Tree>();
}
