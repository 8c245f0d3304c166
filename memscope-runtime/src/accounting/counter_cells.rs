//! Atomic storage of the counters that tasks and sites have.

use crate::{
    model::{TaskCounters, counters},
    primitives::sync::{AtomicU64, Ordering},
};

macro_rules! cells {
    ({} $($(#[$doc:meta])* $counter:ident: $unit:ident, $shown:ident, $title:literal;)+) => {
        /// A cell for each counter.
        #[derive(Debug)]
        pub(crate) struct CounterCells {
            $($counter: AtomicU64,)+
        }

        impl CounterCells {
            pub(crate) const fn new() -> Self {
                Self { $($counter: AtomicU64::new(0),)+ }
            }

            /// Stores all; Release on each, as [`SeqLock`](crate::primitives::SeqLock) wants.
            #[inline]
            pub(crate) fn put(&self, counters: &TaskCounters) {
                $(self.$counter.store(counters.$counter, Ordering::Release);)+
            }

            /// Loads all; Acquire on each pairs with [`put`](Self::put).
            #[inline]
            pub(crate) fn get(&self) -> TaskCounters {
                TaskCounters { $($counter: self.$counter.load(Ordering::Acquire),)+ }
            }

            /// Adds all, each by `add`.
            #[inline]
            pub(crate) fn add(&self, counters: &TaskCounters, add: impl Fn(&AtomicU64, u64)) {
                $(add(&self.$counter, counters.$counter);)+
            }
        }
    };
}
counters!(cells! {});
