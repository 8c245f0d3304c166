//! The newest of many events, in whatever order they arrive.

use crate::{accounting::Event, model::EventKind};

/// An event, and the order in which it was taken out of its ring. Events of one thread that have
/// equal times stay in this order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    pub(crate) event: Event,
    pub(crate) order: u64,
}

impl Kept {
    pub(crate) fn age(&self) -> (u64, u64) {
        (self.event.at_ns, self.order)
    }
}

/// The `N` newest events, in a min-heap with the oldest on top. Rings are drained one after the
/// other, so an event that arrives later may be older.
#[derive(Debug)]
pub(crate) struct Recent<const N: usize> {
    heap: [Kept; N],
    len: usize,
}

const NOTHING: Event = Event { at_ns: 0, task: 0, amount: 0, site: 0, kind: EventKind::Spawned };

impl<const N: usize> Recent<N> {
    pub(crate) const fn new() -> Self {
        Self { heap: [Kept { event: NOTHING, order: 0 }; N], len: 0 }
    }

    pub(crate) fn add(&mut self, kept: Kept) {
        if self.len < N {
            self.heap[self.len] = kept;
            self.len += 1;
            self.raise(self.len - 1);
        } else if kept.age() > self.heap[0].age() {
            self.heap[0] = kept;
            self.lower();
        }
    }

    pub(crate) fn forget(&mut self) {
        self.len = 0;
    }

    /// All of them, in no particular order.
    pub(crate) fn get(&self) -> &[Kept] {
        &self.heap[..self.len]
    }

    fn raise(&mut self, mut place: usize) {
        while place != 0 && self.heap[place].age() < self.heap[(place - 1) / 2].age() {
            self.heap.swap(place, (place - 1) / 2);
            place = (place - 1) / 2;
        }
    }

    fn lower(&mut self) {
        let mut place = 0;
        loop {
            let children = (2 * place + 1..2 * place + 3).filter(|child| *child < self.len);
            let Some(oldest) = children.min_by_key(|child| self.heap[*child].age()) else { return };
            if self.heap[place].age() <= self.heap[oldest].age() {
                return;
            }
            self.heap.swap(place, oldest);
            place = oldest;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_newest_stay(times in prop::collection::vec(0..50_u64, 0..100)) {
            let mut recent = Recent::<16>::new();
            let all = (0..).zip(&times).map(|(order, at_ns)| Kept {
                event: Event { at_ns: *at_ns, ..NOTHING },
                order,
            });
            let mut ages: Vec<_> = all.inspect(|kept| recent.add(*kept)).map(|kept| kept.age()).collect();
            ages.sort_unstable();
            let mut kept: Vec<_> = recent.get().iter().map(Kept::age).collect();
            kept.sort_unstable();
            prop_assert_eq!(&kept, &ages[ages.len().saturating_sub(16)..]);
        }
    }
}
