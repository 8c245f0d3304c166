//! `HashMap` and `HashSet`: one block with the entries, from the last to the first, then a control
//! byte for each bucket.

use std::{
    alloc::Layout,
    collections::{HashMap, HashSet},
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash, RandomState},
    ops::Range,
    ptr,
};

use super::{
    OwnBlock, allocate_probe, lies_in, only, probed_layout,
    shapes::{Large, Line, Wide},
    words,
};
use crate::primitives::Once;

const WORDS: usize = 4;
const BYTES: usize = WORDS * size_of::<usize>();

/// The index of each fact in a table's four words, and the number of control bytes beyond one for
/// each bucket.
#[derive(Clone, Copy, Debug)]
struct Places {
    control: usize,
    mask: usize,
    growth: usize,
    len: usize,
    group: usize,
}

/// What a map or set reports about itself.
#[derive(Debug)]
struct PublicFacts {
    len: usize,
    capacity: usize,
    entry: Layout,
}

pub(crate) fn map<K, V, S>(map: &HashMap<K, V, S>) -> OwnBlock {
    as_learned(|places| places.of_map(map))
}

pub(crate) fn set<T, S>(set: &HashSet<T, S>) -> OwnBlock {
    as_learned(|places| places.of_set(set))
}

#[inline]
fn as_learned(find: impl FnOnce(Places) -> OwnBlock) -> OwnBlock {
    static LEARNED: Once<Option<Places>> = Once::new();
    probed_layout(&LEARNED, learn).map_or(OwnBlock::Unknown, find)
}

impl Places {
    #[inline]
    fn of_map<K, V, S>(self, map: &HashMap<K, V, S>) -> OwnBlock {
        let facts = PublicFacts {
            len: map.len(),
            capacity: map.capacity(),
            entry: Layout::new::<(K, V)>(),
        };
        let first = || map.iter().next().map(|(key, _)| ptr::from_ref(key).cast());
        // SAFETY: a map consists of its hasher and its table.
        let words = unsafe { table_words(map, map.hasher()) };
        words.map_or(OwnBlock::Unknown, |words| self.block(words, &facts, size_of::<K>(), first))
    }

    #[inline]
    fn of_set<T, S>(self, set: &HashSet<T, S>) -> OwnBlock {
        let facts = PublicFacts {
            len: set.len(),
            capacity: set.capacity(),
            entry: Layout::new::<(T, ())>(),
        };
        let first = || set.iter().next().map(|value| ptr::from_ref(value).cast());
        // SAFETY: a set consists of its hasher and its table.
        let words = unsafe { table_words(set, set.hasher()) };
        words.map_or(OwnBlock::Unknown, |words| self.block(words, &facts, size_of::<T>(), first))
    }

    /// The block of a table with these words, if they agree with what the map or set reports.
    fn block(
        self,
        words: [*const u8; WORDS],
        facts: &PublicFacts,
        key_size: usize,
        first_key: impl FnOnce() -> Option<*const u8>,
    ) -> OwnBlock {
        let [control, mask, growth, len] =
            [self.control, self.mask, self.growth, self.len].map(|place| words[place % WORDS]);
        let (mask, growth) = (mask.addr(), growth.addr());
        if len.addr() != facts.len || facts.len.checked_add(growth) != Some(facts.capacity) {
            return OwnBlock::Unknown;
        }
        if mask == 0 {
            // The map uses the static empty table that all maps share.
            return if facts.capacity == 0 { OwnBlock::Nothing } else { OwnBlock::Unknown };
        }
        let Some(buckets) = mask.checked_add(1).filter(|buckets| buckets.is_power_of_two()) else {
            return OwnBlock::Unknown;
        };
        let most = if buckets <= 8 { buckets - 1 } else { buckets / 8 * 7 };
        let align = facts.entry.align().max(self.group);
        let Some((offset, layout)) = self.layout(facts.entry.size(), buckets, align) else {
            return OwnBlock::Unknown;
        };
        if facts.capacity > most || !control.addr().is_multiple_of(align) {
            return OwnBlock::Unknown;
        }
        let start = control.wrapping_sub(offset);
        // PERF: the first entry is found by a search, which is short only if not too many buckets
        // are free.
        let is_dense = key_size != 0 && facts.len >= buckets / 8;
        let is_inside = |key| lies_in(start, offset, key, key_size);
        if is_dense && !first_key().is_none_or(is_inside) {
            return OwnBlock::Unknown;
        }
        OwnBlock::Block(start, layout)
    }

    /// The offset of the control bytes in the block, and the layout of the block.
    fn layout(self, entry: usize, buckets: usize, align: usize) -> Option<(usize, Layout)> {
        let offset = entry.checked_mul(buckets)?.checked_next_multiple_of(align)?;
        let size = offset.checked_add(buckets)?.checked_add(self.group)?;
        Some((offset, Layout::from_size_align(size, align).ok()?))
    }
}

/// Reads the table's words, if the hasher leaves only one place for them.
///
/// # Safety
///
/// `map` must consist of a table and this `hasher`.
#[inline]
unsafe fn table_words<M, S>(map: &M, hasher: &S) -> Option<[*const u8; WORDS]> {
    let start = ptr::from_ref(map).cast::<[*const u8; WORDS]>();
    let hasher = ptr::from_ref(hasher).addr().checked_sub(start.addr())?;
    let offset = only_place(size_of::<M>(), hasher..hasher.checked_add(size_of::<S>())?)?;
    let place = start.wrapping_byte_add(offset);
    // SAFETY: the offset is a multiple of a word and lies in the map, which is aligned as a word.
    // By the caller's contract the table lies in the map; by `only_place` it can lie only here. It
    // consists of its four words, all initialised.
    Some(unsafe { place.read() })
}

/// The only word-aligned offset in `size` bytes where the table fits beside the hasher.
fn only_place(size: usize, hasher: Range<usize>) -> Option<usize> {
    let last = size.checked_sub(BYTES)?;
    if hasher.is_empty() {
        return (last == 0).then_some(0);
    }
    let after = hasher.end.checked_next_multiple_of(size_of::<usize>())?;
    let fits_before = hasher.start >= BYTES;
    let fits_after = after <= last;
    let is_only_before = hasher.start < BYTES + size_of::<usize>();
    let is_only_after = last < after + size_of::<usize>();
    match (fits_before, fits_after) {
        (true, false) if is_only_before => Some(0),
        (false, true) if is_only_after => Some(after),
        _ => None,
    }
}

type Plain = BuildHasherDefault<DefaultHasher>;

#[inline]
fn learn() -> Option<Places> {
    const BUCKETS: usize = 32;
    let (mut made, seen) = allocate_probe(|| {
        HashMap::<u64, u64, Plain>::with_capacity_and_hasher(20, Plain::default())
    });
    made.extend((0..5).map(|number| (number, number)));
    // SAFETY: a map with an empty hasher is only its table: the address of the control bytes, and
    // three numbers.
    let words = unsafe { words::<_, WORDS>(&made) }?;
    let seen = seen?;
    let entries = BUCKETS * size_of::<(u64, u64)>();
    let group = seen.layout.size().checked_sub(entries + BUCKETS)?;
    let place = |value| only(&words, |word| word == value);
    let places = Places {
        control: place(seen.block.addr() + entries)?,
        mask: place(BUCKETS - 1)?,
        growth: place(made.capacity().checked_sub(5)?)?,
        len: place(5)?,
        group,
    };
    let is_group = group.is_power_of_two() && (4..=64).contains(&group);
    let fit = is_group
        && maps_fit::<u8, u8>(places)
        && maps_fit::<u8, ()>(places)
        && maps_fit::<u16, u8>(places)
        && maps_fit::<u64, [u8; 3]>(places)
        && maps_fit::<u8, Wide>(places)
        && maps_fit::<[u64; 3], [u64; 2]>(places)
        && maps_fit::<Line, u8>(places)
        && maps_fit::<u32, Large>(places);
    fit.then_some(places)
}

fn maps_fit<K: Number, V: Copy + Default>(places: Places) -> bool {
    map_fits::<K, V, Plain>(places)
        && map_fits::<K, V, RandomState>(places)
        && set_fits::<K>(places)
}

/// Compares the formula with samples: without entries, filled, mostly emptied, and never used.
fn map_fits<K: Number, V: Copy + Default, S: BuildHasher + Default>(places: Places) -> bool {
    [1, 4, 8, 15, 29, 60].into_iter().all(|capacity| {
        let (mut map, seen) =
            allocate_probe(|| HashMap::<K, V, S>::with_capacity_and_hasher(capacity, S::default()));
        let empty = places.of_map(&map).is(seen);
        let numbers = 0..u8::try_from(capacity).unwrap_or(1);
        map.extend(numbers.map(|number| (K::number(number), V::default())));
        let filled = places.of_map(&map).is(seen);
        map.retain(|key, _| *key == K::number(0));
        let emptied = places.of_map(&map).is(seen);
        let never = places.of_map(&HashMap::<K, V, S>::default()).is(None);
        empty && filled && emptied && never
    })
}

fn set_fits<K: Number>(places: Places) -> bool {
    let (mut set, seen) =
        allocate_probe(|| HashSet::<K, Plain>::with_capacity_and_hasher(9, Plain::default()));
    let empty = places.of_set(&set).is(seen);
    set.extend((0..9).map(K::number));
    let never = places.of_set(&HashSet::<K, Plain>::default()).is(None);
    empty && never && places.of_set(&set).is(seen)
}

/// Keys of samples.
trait Number: Eq + Hash {
    fn number(number: u8) -> Self;
}

macro_rules! numbers {
    ($($type:ty, |$number:ident| $make:expr;)*) => {$(
        impl Number for $type {
            fn number($number: u8) -> Self {
                $make
            }
        }
    )*};
}

numbers! {
    u8, |number| number;
    u16, |number| number.into();
    u32, |number| number.into();
    u64, |number| number.into();
    [u64; 3], |number| [number.into(); 3];
    Line, |number| Line([number; 5]);
}

#[cfg(test)]
mod tests {
    use super::only_place;

    #[test]
    fn the_table_lies_where_alone_it_can() {
        assert_eq!(only_place(32, 0..0), Some(0), "no hasher");
        assert_eq!(only_place(32, 32..32), Some(0));
        assert_eq!(only_place(48, 0..16), Some(16));
        assert_eq!(only_place(48, 32..48), Some(0));
        assert_eq!(only_place(40, 0..1), Some(8), "padding");
        assert_eq!(only_place(40, 32..33), Some(0));
        assert_eq!(only_place(128, 0..64), None, "64, 72, 80, 88 or 96");
        assert_eq!(only_place(128, 64..128), None, "0, 8, 16, 24 or 32");
        assert_eq!(only_place(96, 32..64), None, "before or behind");
        assert_eq!(only_place(24, 0..0), None, "too small");
        assert_eq!(only_place(40, 16..24), None, "in the middle");
        assert_eq!(only_place(64, 0..0), None, "more than a table");
    }
}
