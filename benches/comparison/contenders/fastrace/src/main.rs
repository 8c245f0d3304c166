//! fastrace: a root span for each spawned future, entered on every poll, and a reporter that throws
//! the records away.

use std::future::Future;

use comparison_loops::{Case, Contender, INNER, Inner, Kind, run};
use fastrace::{
    collector::{Config, Reporter},
    future::FutureExt,
    prelude::{Span, SpanContext, SpanRecord},
};

#[global_allocator]
static ALLOCATOR: Inner = INNER;

struct Nowhere;

impl Reporter for Nowhere {
    fn report(&mut self, _: Vec<SpanRecord>) {}
}

struct Spans;

impl Contender for Spans {
    fn can(case: Case) -> bool {
        matches!(case.kind(), Kind::Task | Kind::Tasks)
            && !matches!(case, Case::CurrentTask | Case::Thread)
    }

    fn start() -> impl Sized {
        fastrace::set_reporter(Nowhere, Config::default());
    }

    fn wrap<F>(future: F) -> impl Future<Output = F::Output> + Send + 'static
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let root = Span::root("task", SpanContext::random());
        future.enter_on_poll("poll").in_span(root)
    }
}

fn main() {
    run::<Spans>();
}
