//! An intern table: each entry is made once, found by its hash and kept for ever.

use super::{
    arena::Arena,
    atomic_ref::StaticRef,
    sync::{AtomicU64, Ordering},
};

/// Slots of a table for sites: far more than entries, so that probes stay short. They fill ten
/// chunks of an arena exactly.
const SLOTS: u32 = 64 * 1_023;

/// Where the levels of a table begin: each fills chunks of an arena exactly.
const LEVELS: [u32; 3] = [0, 64 * 7, 64 * 63];

/// A search looks at 64 slots of the last level, and at 8 of each other one. If these are taken, an
/// entry goes into the next level.
const PROBES: [u32; 2] = [64, 8];

/// A hash table with open addressing, whose entries are never removed. A source place or a name is
/// such an entry.
///
/// It has levels of growing size, which are searched in turn. So a table with few entries takes the
/// memory of its first level alone, and its entries lie in few pages.
#[derive(Debug)]
pub(crate) struct InternTable<T: 'static> {
    /// All entries, in the order in which they were made.
    list: Arena<StaticRef<T>>,
    table: Arena<StaticRef<T>>,
    slots: u32,
    made: AtomicU64,
}

impl<T: Sync> InternTable<T> {
    pub(crate) const fn new() -> Self {
        Self::with_slots(SLOTS)
    }

    /// A table with this number of slots, which must be far more than there are entries, and more
    /// than the first levels have.
    pub(crate) const fn with_slots(slots: u32) -> Self {
        assert!(slots > LEVELS[2] + PROBES[0]);
        Self { list: Arena::new(), table: Arena::new(), slots, made: AtomicU64::new(0) }
    }

    /// Returns the entry with this hash that `is_same` accepts. If there is none and `has_room`
    /// agrees, `make` makes a new one under the index it is given. Returns `None` if there is no
    /// room or no memory.
    pub(crate) fn get_or_insert(
        &self,
        hash: u64,
        is_same: impl Fn(&T) -> bool,
        has_room: impl Fn() -> bool,
        make: impl Fn(u32) -> Option<&'static T>,
    ) -> Option<&'static T> {
        for place in self.places(hash) {
            let there = if let Some(there) = self.table.get(place).and_then(StaticRef::get) {
                there
            } else {
                if !has_room() {
                    return None;
                }
                let slot = self.table.get_or_make(place)?;
                let (index, listed) = self.list.grow()?;
                let new = make(index)?;
                listed.set(new);
                self.made.fetch_add(1, Ordering::Relaxed);
                match slot.set_if_none(new) {
                    Ok(()) => return Some(new),
                    // Another thread filled the slot first; the new entry stays in the list,
                    // unused.
                    Err(there) => there,
                }
            };
            if is_same(there) {
                return Some(there);
            }
        }
        None
    }

    /// The slots in which an entry with this hash may be, in the order of the search.
    fn places(&self, hash: u64) -> impl Iterator<Item = u32> {
        let hash = u32::try_from(hash >> 32).unwrap_or(0);
        let ends = LEVELS.into_iter().skip(1).chain([self.slots]);
        LEVELS.into_iter().zip(ends).flat_map(move |(begin, end)| {
            let slots = end - begin;
            let probes = PROBES[usize::from(end != self.slots)];
            // `hash * slots / 2^32`: the hash's share of the level.
            let share = (u64::from(hash) * u64::from(slots)) >> u32::BITS;
            let start = u32::try_from(share).unwrap_or(0);
            let wrapped = move |place| if place < slots { place } else { place - slots };
            (start..start + probes).map(move |place| begin + wrapped(place))
        })
    }

    /// The entry that was made under this index.
    pub(crate) fn get(&self, index: u32) -> Option<&'static T> {
        self.list.get(index)?.get()
    }

    /// The number of entries that were made.
    pub(crate) fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// Bytes that the table has taken from the system, without its entries.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.list.held_bytes() + self.table.held_bytes()
    }

    /// All entries, in the order in which they were made.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &'static T> {
        self.list.iter().filter_map(StaticRef::get)
    }
}

/// A hash of eight bytes at a time by rotation and multiplication (`FxHash`, as in rustc).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hash(u64);

impl Hash {
    pub(crate) const fn new() -> Self {
        Self(0)
    }

    pub(crate) const fn number(self, word: u64) -> Self {
        const FACTOR: u64 = 0x517c_c1b7_2722_0a95;
        Self((self.0.rotate_left(5) ^ word).wrapping_mul(FACTOR))
    }

    /// Hashes the whole text, because names differ mostly at their ends.
    pub(crate) fn text(self, text: &str) -> Self {
        text.as_bytes().chunks(8).fold(self, |hash, chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            hash.number(u64::from_le_bytes(word))
        })
    }

    pub(crate) const fn get(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::{ptr, thread};

    use super::*;
    use crate::primitives::arena::keep;

    /// An entry and its hash.
    #[derive(Debug)]
    struct Entry(u64, u64);

    fn hash(number: u64) -> u64 {
        Hash::new().number(number).get()
    }

    fn find(table: &InternTable<Entry>, number: u64, hash: u64) -> Option<&'static Entry> {
        let is_same = |entry: &Entry| entry.1 == hash && entry.0 == number;
        table.get_or_insert(hash, is_same, || true, |_| keep(Entry(number, hash)))
    }

    #[test]
    fn every_entry_is_made_once_and_found_again() {
        let table = InternTable::new();
        let mut made = Vec::new();
        for number in 0..10_000 {
            made.push(find(&table, number, hash(number)).expect("room"));
        }
        assert_eq!(table.made(), 10_000);
        for (number, made) in made.iter().enumerate() {
            let number = number as u64;
            let found = find(&table, number, hash(number)).expect("it is there");
            assert!(ptr::eq(found, *made) && found.0 == number);
        }
        assert_eq!((table.made(), table.iter().count()), (10_000, 10_000));
    }

    #[test]
    fn a_table_with_few_entries_takes_the_memory_of_its_first_level() {
        let table = InternTable::new();
        (0..150).for_each(|number| {
            find(&table, number, hash(number)).expect("room");
        });
        // 64 * 7 slots, and as many places in the list as it takes for 150.
        assert!(table.held_bytes() <= 2 * 64 * 7 * 8, "{}", table.held_bytes());
    }

    #[test]
    fn entries_with_one_hash_fill_the_levels_and_then_there_is_no_room() {
        let table = InternTable::with_slots(64 * 127);
        let room = PROBES[0] + 2 * PROBES[1];
        for number in 0..u64::from(room) {
            assert!(find(&table, number, u64::MAX).is_some(), "{number}");
        }
        assert!(find(&table, u64::from(room), u64::MAX).is_none());
        assert!((0..u64::from(room)).all(|number| find(&table, number, u64::MAX).is_some()));
        assert_eq!(table.made(), u64::from(room));
    }

    #[test]
    fn threads_that_ask_at_once_get_one_entry() {
        static TABLE: InternTable<Entry> = InternTable::new();
        let ask =
            || (0..2_000).map(|number| find(&TABLE, number, hash(number / 3))).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| thread::spawn(ask)).collect();
        let found: Vec<_> =
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect();
        for (number, first) in found[0].iter().enumerate() {
            let first = first.expect("room");
            assert_eq!(first.0, number as u64);
            assert!(found.iter().all(|own| own[number].is_some_and(|own| ptr::eq(own, first))));
        }
    }
}
