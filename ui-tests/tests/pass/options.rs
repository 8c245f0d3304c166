//! Every option of `#[tracked]`, under strict lints.

#![forbid(unsafe_code)]
#![deny(warnings)]
#![allow(clippy::unused_async, reason = "what is tracked has to be async")]

use memscope_rs::tracked;

mod reexport {
    pub(crate) use memscope_rs as memory;
}

#[tracked]
async fn bare() {}

#[tracked()]
async fn empty() {}

#[tracked(task_type = "cpu", name = "worker", budget = "64MiB", crate = crate::reexport::memory)]
async fn all() {}

#[tracked(name = r#"a "raw" name"#, crate = ::memscope_rs,)]
async fn trailing_comma() {}

/// A declaration without a body has nothing to track.
trait Load {
    #[tracked(task_type = "io")]
    fn load(&self) -> impl Future<Output = ()>;
}

struct Service;

#[tracked(task_type = "network")]
impl Load for Service {
    async fn load(&self) {
        left_out::skipped().await;
    }
}

#[tracked(task_type = "background")]
mod left_out {
    // `tracked` is not in scope here, and does not have to be.
    #[tracked(skip)]
    pub(crate) async fn skipped() {}

    #[tracked(name = "other", task_type = "streaming")]
    pub(crate) async fn named() {}
}

fn main() {
    let all = async {
        bare().await;
        empty().await;
        all().await;
        trailing_comma().await;
        Service.load().await;
        left_out::named().await;
    };
    let mut all = std::pin::pin!(all);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(all.as_mut().poll(&mut context).is_ready());
    let snapshot = memscope_rs::async_memory::get_memory_snapshot();
    let mut names: Vec<_> = snapshot.sites().iter().map(|site| site.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["Service::load", "a \"raw\" name", "bare", "empty", "other", "worker"]);
}
