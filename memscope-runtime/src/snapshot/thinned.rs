//! A list that thins out if there is no memory for all of it: it keeps every second of the added
//! values, then every fourth, and so on.

use crate::primitives::reserve;

/// What was added, or a part of it that is spread evenly over the order of adding.
#[derive(Debug)]
pub(super) struct Thinned<T> {
    list: Vec<T>,
    added: u64,
    /// One of this many values is kept.
    every: u64,
}

impl<T> Thinned<T> {
    pub(super) const fn new() -> Self {
        Self { list: Vec::new(), added: 0, every: 1 }
    }

    pub(super) fn add(&mut self, it: T) {
        let number = self.added;
        self.added += 1;
        if !number.is_multiple_of(self.every) {
            return;
        }
        if !reserve::grow(&mut self.list) {
            self.halve();
            if !number.is_multiple_of(self.every) || self.list.len() == self.list.capacity() {
                return;
            }
        }
        self.list.push(it);
    }

    fn halve(&mut self) {
        let mut place = 0_usize;
        self.list.retain(|_| {
            place += 1;
            !place.is_multiple_of(2)
        });
        self.every = self.every.saturating_mul(2);
    }

    pub(super) fn into_list(self) -> Vec<T> {
        self.list
    }
}

#[cfg(all(test, feature = "report-file"))]
mod tests {
    use super::*;

    #[test]
    fn without_memory_for_all_an_even_part_stays() {
        let added = |bytes: usize| {
            let _bound = reserve::bound(bytes);
            let mut thinned = Thinned::new();
            (0..10_000_u64).for_each(|number| thinned.add(number));
            thinned.into_list()
        };
        assert_eq!(added(usize::MAX).len(), 10_000);
        for bytes in [1 << 10, 8 << 10, 64 << 10] {
            let kept = added(bytes);
            assert!(kept.len() >= 16 && kept.len() * 8 <= 2 * bytes, "{} in {bytes}", kept.len());
            let step = kept[1] - kept[0];
            assert!(step > 1 && step.is_power_of_two(), "{step}");
            let even = kept.iter().zip((0..).map(|number| number * step));
            assert!(even.clone().all(|(kept, number)| *kept == number));
            assert!(kept.last().is_some_and(|last| last + 2 * step > 10_000), "to the end");
        }
    }

    #[test]
    fn without_any_memory_nothing_stays() {
        let _bound = reserve::bound(0);
        let mut thinned = Thinned::new();
        (0..100).for_each(|number| thinned.add(number));
        assert!(thinned.into_list().is_empty());
    }
}
