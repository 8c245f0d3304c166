//! A bounded heap that keeps the largest of many values, such as the newest events or the largest
//! tasks.

use std::cmp::Reverse;

/// Values that are compared by a rank.
pub(crate) trait Ranked: Copy {
    type Rank: Ord;

    fn rank(&self) -> Self::Rank;
}

/// The `N` largest of the values that were added, in a min-heap with the smallest on top. Of equal
/// values the first ones stay.
#[derive(Debug)]
pub(crate) struct Largest<T, const N: usize> {
    heap: [T; N],
    len: usize,
    /// The most values that there ever were.
    most: usize,
}

impl<T: Ranked, const N: usize> Largest<T, N> {
    /// `nothing` fills the places that are free.
    pub(crate) const fn new(nothing: T) -> Self {
        Self { heap: [nothing; N], len: 0, most: 0 }
    }

    pub(crate) fn add(&mut self, it: T) {
        if self.len < N {
            self.heap[self.len] = it;
            self.len += 1;
            self.most = self.most.max(self.len);
            self.raise(self.len - 1);
        } else if it.rank() > self.heap[0].rank() {
            self.heap[0] = it;
            self.lower();
        }
    }

    pub(crate) fn forget(&mut self) {
        self.len = 0;
    }

    /// Bytes of the places that were never used.
    pub(crate) fn unused_bytes(&self) -> usize {
        (N - self.most) * size_of::<T>()
    }

    /// All of them, in no particular order.
    pub(crate) fn get(&self) -> &[T] {
        &self.heap[..self.len]
    }

    /// Takes out all values, the largest first.
    pub(crate) fn take(&mut self) -> &[T] {
        let all = &mut self.heap[..std::mem::take(&mut self.len)];
        all.sort_unstable_by_key(|it| Reverse(it.rank()));
        all
    }

    fn raise(&mut self, mut place: usize) {
        while place != 0 && self.heap[place].rank() < self.heap[(place - 1) / 2].rank() {
            self.heap.swap(place, (place - 1) / 2);
            place = (place - 1) / 2;
        }
    }

    fn lower(&mut self) {
        let mut place = 0;
        loop {
            let children = (2 * place + 1..2 * place + 3).filter(|child| *child < self.len);
            let smallest = children.min_by_key(|child| self.heap[*child].rank());
            let Some(smallest) = smallest else { return };
            if self.heap[place].rank() <= self.heap[smallest].rank() {
                return;
            }
            self.heap.swap(place, smallest);
            place = smallest;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Ranked for (u32, usize) {
        type Rank = u32;

        fn rank(&self) -> u32 {
            self.0
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_largest_stay(ranks in prop::collection::vec(0..50_u32, 0..100)) {
            let mut largest = Largest::<_, 16>::new((0, 0));
            ranks.iter().enumerate().for_each(|(order, rank)| largest.add((*rank, order)));
            let mut expected = ranks.clone();
            expected.sort_unstable_by(|a, b| b.cmp(a));
            expected.truncate(16);
            prop_assert_eq!(largest.get().len(), expected.len());
            let taken: Vec<u32> = largest.take().iter().map(Ranked::rank).collect();
            prop_assert_eq!(taken, expected);
            prop_assert!(largest.get().is_empty());
        }
    }
}
