//! tracking-allocator: a group for the loop, entered by hand, and one for each task, attached to a
//! `tracing` span as in its example.
//!
//! What happens with an allocation is left to its user. Here the live bytes of each group are
//! counted, which is the least that tells which task holds what.

use std::{
    array,
    future::Future,
    sync::atomic::{AtomicI64, Ordering},
};

use comparison_loops::{Case, Contender, INNER, Inner, run};
use tracing::{Instrument, info_span, subscriber::set_global_default};
use tracing_subscriber::{Registry, layer::SubscriberExt};
use tracking_allocator::{
    AllocationGroupId, AllocationGroupToken, AllocationLayer, AllocationRegistry,
    AllocationTracker, Allocator,
};

#[global_allocator]
static ALLOCATOR: Allocator<Inner> = Allocator::from_allocator(INNER);

/// Groups are numbered in turn; where there are more they share, so that nothing has to be looked
/// up.
struct LiveBytes([AtomicI64; 4_096]);

impl LiveBytes {
    fn add(&self, group: &AllocationGroupId, bytes: i64) {
        self.0[group.as_usize().get() % self.0.len()].fetch_add(bytes, Ordering::Relaxed);
    }
}

impl AllocationTracker for LiveBytes {
    fn allocated(&self, _: usize, bytes: usize, _: usize, group: AllocationGroupId) {
        self.add(&group, bytes.cast_signed() as i64);
    }

    fn deallocated(
        &self,
        _: usize,
        bytes: usize,
        _: usize,
        owner: AllocationGroupId,
        _: AllocationGroupId,
    ) {
        self.add(&owner, -(bytes.cast_signed() as i64));
    }
}

struct Groups;

impl Contender for Groups {
    fn can(case: Case) -> bool {
        case != Case::CurrentTask
    }

    fn start() -> impl Sized {
        set_global_default(Registry::default().with(AllocationLayer::new())).expect("the first");
        let tracker = LiveBytes(array::from_fn(|_| AtomicI64::new(0)));
        AllocationRegistry::set_global_tracker(tracker).expect("the first");
        AllocationRegistry::enable_tracking();
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
        let span = info_span!("task");
        AllocationGroupToken::register().expect("few groups").attach_to_span(&span);
        future.instrument(span)
    }
}

fn main() {
    run::<Groups>();
}
