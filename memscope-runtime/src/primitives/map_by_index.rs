//! A hash map whose keys are indices of memscope's own records.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

/// A map by the index of a site, a node or a stack.
// PERF: the standard library's hasher withstands keys that an attacker has chosen, and took 4 % of
// a scrape of 1,000 sites (`perf record`). No client chooses an index.
pub(crate) type MapByIndex<V> = HashMap<u32, V, BuildHasherDefault<IndexHasher>>;

/// Fibonacci hashing: Knuth, The Art of Computer Programming, volume 3, section 6.4.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct IndexHasher(u64);

/// 2⁶⁴ divided by the golden ratio, and odd.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for IndexHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, index: u32) {
        // The table takes its slot from the lowest bits and a tag from the highest.
        let product = (self.0 ^ u64::from(index)).wrapping_mul(GOLDEN);
        self.0 = product ^ (product >> 32);
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, hash::BuildHasher};

    use super::*;

    #[test]
    fn indices_in_a_row_share_few_slots() {
        let hash = |index: u32| BuildHasherDefault::<IndexHasher>::default().hash_one(index);
        for step in [1, 16, 1 << 12, 1 << 20] {
            let slots: HashSet<u64> = (0..1_024).map(|it| hash(it * step) & 2_047).collect();
            // At random 806 of 1,024 would be different.
            assert!(slots.len() > 700, "{} slots in steps of {step}", slots.len());
        }
    }

    #[test]
    fn a_value_is_found_by_its_index_alone() {
        let map: MapByIndex<u32> = (0..5_000).map(|index| (index * 7, index)).collect();
        assert_eq!(map.len(), 5_000);
        assert!((0..35_000).all(|at| map.get(&at).copied() == (at % 7 == 0).then_some(at / 7)));
    }
}
