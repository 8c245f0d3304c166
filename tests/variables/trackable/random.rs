//! Random histories of collections, of elements of all sizes and alignments. The block is found
//! after each step.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, RandomState};

use memscope_rs::Trackable;
use proptest::{collection::vec, prelude::*};

use crate::ledger::{found, made};

/// Elements: a number, and as many bytes as it takes.
trait Element: Clone + Ord + std::hash::Hash + std::fmt::Debug {
    fn of(number: u8) -> Self;
}

macro_rules! elements {
    ($($name:ident $align:literal [$value:ty; $count:literal];)*) => {$(
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(align($align))]
        struct $name([$value; $count]);

        impl Element for $name {
            fn of(number: u8) -> Self {
                let value: $value = number.into();
Self([value; $count])
            }
        }
    )*};
}

elements! {
    Zero 1 [u8; 0];
    ZeroWide 32 [u8; 0];
    One 1 [u8; 1];
    Two 2 [u16; 1];
    Three 1 [u8; 3];
    Eight 8 [u64; 1];
    Sixteen 16 [u8; 16];
    TwentyFour 8 [u64; 3];
    Line 64 [u8; 40];
    Forty 4 [u32; 10];
    Large 8 [u64; 25];
}

/// An element that owns memory.
impl Element for Vec<u8> {
    fn of(number: u8) -> Self {
        vec![number; usize::from(number % 5)]
    }
}

macro_rules! for_each_element {
    ($check:ident ($($argument:expr),*)) => {
        $check::<Zero>($($argument),*)?;
        $check::<ZeroWide>($($argument),*)?;
        $check::<One>($($argument),*)?;
        $check::<Two>($($argument),*)?;
        $check::<Three>($($argument),*)?;
        $check::<Eight>($($argument),*)?;
        $check::<Sixteen>($($argument),*)?;
        $check::<TwentyFour>($($argument),*)?;
        $check::<Line>($($argument),*)?;
        $check::<Forty>($($argument),*)?;
        $check::<Large>($($argument),*)?;
        $check::<Vec<u8>>($($argument),*)?;
    };
}

pub(crate) type Checked = Result<(), TestCaseError>;

/// The blocks found, which are all that there can be: of a value by itself as many as `count`.
pub(crate) fn check<T: Trackable>(value: &T, count: usize) -> Checked {
    let (places, found) = found(|blocks| blocks.visit(value));
    prop_assert!(!found.is_partial && !found.is_opaque, "{:?}", found);
    prop_assert_eq!(places.len(), count);
    Ok(())
}

/// One step of a history: what to do, and with which number.
pub(crate) fn steps() -> impl Strategy<Value = Vec<(u8, u8)>> {
    vec((any::<u8>(), any::<u8>()), 0..120)
}

fn deque<T: Element>(steps: &[(u8, u8)], capacity: usize) -> Checked {
    let mut deque = VecDeque::<T>::with_capacity(capacity);
    for &(what, number) in steps {
        match what % 12 {
            0..3 => deque.push_back(T::of(number)),
            3..6 => deque.push_front(T::of(number)),
            6 | 7 => drop(deque.pop_front()),
            8 => drop(deque.pop_back()),
            9 => deque.rotate_left(usize::from(number) % (deque.len() + 1)),
            10 => deque.extend((0..number % 20).map(T::of)),
            _ if number < 30 => deque.shrink_to_fit(),
            _ if number < 60 => deque.clear(),
            _ if number < 90 => drop(deque.make_contiguous()),
            _ if number < 120 => deque = Vec::from(deque).into(),
            _ => deque.truncate(usize::from(number) / 10),
        }
        let has_block = deque.capacity() != 0 && size_of::<T>() != 0;
        check(&deque, usize::from(has_block))?;
    }
    let (copy, truth) = made(|| deque.clone());
    let own = found(|blocks| blocks.visit(&copy)).0;
    prop_assert!(own.iter().all(|place| truth.contains(place)));
    Ok(())
}

fn map<K: Element, V: Element, S: BuildHasher + Default + Clone>(
    steps: &[(u8, u8)],
    capacity: usize,
) -> Checked {
    let mut map = HashMap::<K, V, S>::with_capacity_and_hasher(capacity, S::default());
    let mut set = HashSet::<K, S>::with_capacity_and_hasher(capacity, S::default());
    let mut had = capacity != 0;
    for &(what, number) in steps {
        match what % 12 {
            0..6 => {
                map.insert(K::of(number), V::of(number));
                set.insert(K::of(number));
                had = true;
            }
            6..9 => {
                map.remove(&K::of(number));
                set.remove(&K::of(number));
            }
            9 => {
                map.retain(|key, _| *key > K::of(number));
                set.retain(|key| *key > K::of(number));
            }
            10 => {
                map.extend((0..number).map(|number| (K::of(number), V::of(number))));
                set.extend((0..number).map(K::of));
                had |= number != 0;
            }
            _ if number < 80 => {
                map.shrink_to_fit();
                set.shrink_to_fit();
                had = !map.is_empty();
            }
            _ if number < 120 => {
                map = map.clone();
                set = set.clone();
                had = map.capacity() != 0;
            }
            _ if number < 160 => {
                map.clear();
                set.clear();
            }
            _ => drop(map.drain().count() + set.drain().count()),
        }
        check(&map, usize::from(had))?;
        check(&set, usize::from(had))?;
    }
    Ok(())
}

fn trees<K: Element, V: Element>(steps: &[(u8, u8)]) -> Checked {
    let mut map = BTreeMap::<K, V>::new();
    let mut set = BTreeSet::<K>::new();
    for &(what, number) in steps {
        let count = number % 40;
        match what % 12 {
            0..6 => {
                map.insert(K::of(number), V::of(number));
                set.insert(K::of(number));
            }
            6..9 => {
                map.remove(&K::of(number));
                set.remove(&K::of(number));
            }
            9 => {
                map.retain(|key, _| *key > K::of(number));
                set.retain(|key| *key > K::of(number));
            }
            10 => {
                map.extend((0..count).map(|number| (K::of(number), V::of(number))));
                set.extend((0..count).map(K::of));
            }
            _ if number < 80 => {
                map = map.split_off(&K::of(number));
                set = set.split_off(&K::of(number));
            }
            _ if number < 160 => {
                (map, set) = (map.into_iter().collect(), set.into_iter().collect());
            }
            _ => {
                map.clear();
                set.clear();
            }
        }
        tree(&map, map.len())?;
        tree(&set, set.len())?;
    }
    let (copy, truth) = made(|| set.clone());
    let (places, found) = found(|blocks| blocks.visit(&copy));
    prop_assert!(places.iter().all(|place| truth.contains(place)));
    prop_assert!(found.is_partial || std::mem::needs_drop::<K>() || places == truth);
    Ok(())
}

/// The root, of which there is one where there are elements.
fn tree<T: Trackable>(tree: &T, len: usize) -> Checked {
    let (places, found) = found(|blocks| blocks.visit(tree));
    prop_assert!(places.len() == 1 || len == 0 && places.is_empty());
    prop_assert!(
        len >= 11 || !found.is_partial,
        "a root with two nodes below it has eleven entries"
    );
    prop_assert!(len <= 11 || found.is_partial);
    Ok(())
}

fn heap<T: Element>(steps: &[(u8, u8)], capacity: usize) -> Checked {
    let mut heap = BinaryHeap::<T>::with_capacity(capacity);
    for &(what, number) in steps {
        match what % 4 {
            0 | 1 => heap.push(T::of(number)),
            2 => drop(heap.pop()),
            _ if number < 50 => heap.shrink_to_fit(),
            _ => heap.reserve(number.into()),
        }
        check(&heap, usize::from(heap.capacity() != 0 && size_of::<T>() != 0))?;
    }
    Ok(())
}

/// Hashers of which the map keeps bytes of its own, before or behind the table.
macro_rules! hashers {
    ($($name:ident($value:ty) = $default:expr;)*) => {$(
        #[derive(Clone, Copy, Debug)]
        struct $name(#[expect(dead_code, reason = "only its place matters")] $value);

        impl Default for $name {
            fn default() -> Self {
                Self($default)
            }
        }

        impl BuildHasher for $name {
            type Hasher = DefaultHasher;

            fn build_hasher(&self) -> DefaultHasher {
                DefaultHasher::new()
            }
        }
    )*};
}

hashers! {
    Byte(u8) = 1;
    Flag(bool) = true;
    Half(u32) = 1;
    Reference(&'static u8) = &7;
    Odd([u8; 13]) = [1; 13];
    Aligned(u128) = 1;
    Padded((u64, u8)) = (1, 1);
    Choice(Option<char>) = None;
    Much([u64; 9]) = [1; 9];
    First(Apart) = Apart(true);
}

/// The compiler puts it in front of the table.
#[derive(Clone, Copy, Debug)]
#[repr(align(16))]
struct Apart(#[expect(dead_code, reason = "only its place matters")] bool);

/// Aligned beyond what leaves the table only one place.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct TooAligned;

impl BuildHasher for TooAligned {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        DefaultHasher::new()
    }
}

#[test]
fn a_table_with_two_possible_places_is_not_found() {
    let map = HashMap::<u8, u8, TooAligned>::from_iter([(1, 2)]);
    let (places, found) = found(|blocks| blocks.visit(&map));
    assert!(places.is_empty() && found.is_partial);
}

#[test]
fn a_table_full_of_graves_is_found() {
    let mut set = HashSet::<u32, BuildHasherDefault<DefaultHasher>>::default();
    set.extend(0..28);
    let capacity = set.capacity();
    (0..28).for_each(|number| assert!(set.remove(&number)));
    assert!(set.capacity() <= capacity);
    check(&set, 1).expect("found");
    for round in 0..100 {
        set.extend(round * 100..round * 100 + 28);
        check(&set, 1).expect("found");
        set.retain(|number| number % 7 == 0);
        check(&set, 1).expect("found");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: memscope_tests::cases(64),
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn deques(steps in steps(), capacity in 0_usize..40) {
        for_each_element!(deque(&steps, capacity));
    }

    #[test]
    fn heaps(steps in steps(), capacity in 0_usize..40) {
        for_each_element!(heap(&steps, capacity));
    }

    #[test]
    fn maps_of_elements(steps in steps(), capacity in 0_usize..80) {
        map::<Zero, Zero, RandomState>(&steps, capacity)?;
        map::<ZeroWide, One, RandomState>(&steps, capacity)?;
        map::<One, Zero, RandomState>(&steps, capacity)?;
        map::<Two, One, RandomState>(&steps, capacity)?;
        map::<Three, Two, RandomState>(&steps, capacity)?;
        map::<Eight, Large, RandomState>(&steps, capacity)?;
        map::<Sixteen, Three, RandomState>(&steps, capacity)?;
        map::<Line, Forty, RandomState>(&steps, capacity)?;
        map::<One, Line, RandomState>(&steps, capacity)?;
        map::<Vec<u8>, Vec<u8>, RandomState>(&steps, capacity)?;
    }

    #[test]
    fn maps_by_hasher(steps in steps(), capacity in 0_usize..80) {
        map::<Eight, One, BuildHasherDefault<DefaultHasher>>(&steps, capacity)?;
        map::<Eight, One, Byte>(&steps, capacity)?;
        map::<Eight, One, Flag>(&steps, capacity)?;
        map::<Eight, One, Half>(&steps, capacity)?;
        map::<Eight, One, Reference>(&steps, capacity)?;
        map::<Eight, One, Odd>(&steps, capacity)?;
        map::<Eight, One, Aligned>(&steps, capacity)?;
        map::<Eight, One, Padded>(&steps, capacity)?;
        map::<Eight, One, Choice>(&steps, capacity)?;
        map::<Eight, One, Much>(&steps, capacity)?;
        map::<Eight, One, First>(&steps, capacity)?;
    }

    #[test]
    fn trees_of_elements(steps in steps()) {
        trees::<Zero, One>(&steps)?;
        trees::<One, Zero>(&steps)?;
        trees::<One, ZeroWide>(&steps)?;
        trees::<Two, Three>(&steps)?;
        trees::<Three, Sixteen>(&steps)?;
        trees::<Eight, Two>(&steps)?;
        trees::<Line, Forty>(&steps)?;
        trees::<TwentyFour, Line>(&steps)?;
        trees::<Large, One>(&steps)?;
        trees::<Vec<u8>, Vec<u8>>(&steps)?;
    }
}
