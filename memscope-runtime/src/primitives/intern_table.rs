//! An intern table: each entry is made once, found by its hash and kept for ever.

use super::{
    arena::Arena,
    atomic_ref::StaticRef,
    sync::{AtomicU64, Ordering},
};

/// Slots of a table for sites: far more than entries, so that probes stay short. They fill ten
/// chunks of an arena exactly.
const SLOTS: u32 = 64 * 1_023;
const PROBES: u32 = 64;

/// A hash table with open addressing, whose entries are never removed. A source place or a name is
/// such an entry.
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

    /// A table with this number of slots, which must be far more than there are entries.
    pub(crate) const fn with_slots(slots: u32) -> Self {
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
        let start = u32::try_from(hash >> 32).unwrap_or(0);
        for step in 0..PROBES {
            let place = start.wrapping_add(step).checked_rem(self.slots).unwrap_or(0);
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
