//! How tracking-allocator is used: a group for each future, attached to a `tracing` span as in its
//! example.
//!
//! What happens with an allocation is left to its user. Here the live bytes of each group are
//! counted, which is the least that tells which task holds what.

use std::{
    array,
    future::Future,
    sync::atomic::{AtomicI64, Ordering},
};

use tracing::{Instrument, info_span, subscriber::set_global_default};
use tracing_subscriber::{Registry, layer::SubscriberExt};
use tracking_allocator::{
    AllocationGroupId, AllocationGroupToken, AllocationLayer, AllocationRegistry, AllocationTracker,
};

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

/// Begins to count.
///
/// # Panics
///
/// When it has begun before, or the program has another subscriber.
pub fn start() {
    set_global_default(Registry::default().with(AllocationLayer::new())).expect("the first");
    let tracker = LiveBytes(array::from_fn(|_| AtomicI64::new(0)));
    AllocationRegistry::set_global_tracker(tracker).expect("the first");
    AllocationRegistry::enable_tracking();
}

/// The future in a group of its own.
///
/// # Panics
///
/// When there are as many groups as there are numbers.
pub fn grouped<F: Future>(future: F) -> impl Future<Output = F::Output> + use<F> {
    let span = info_span!("task");
    AllocationGroupToken::register().expect("few groups").attach_to_span(&span);
    future.instrument(span)
}
