//! Sorting for lists where speed matters little.
//!
//! The standard library's sorts are compiled anew for each type and key, with a thousand lines of
//! LLVM IR and more each time. Here the sort is compiled once, over positions in a list.

use std::cmp::Ordering;

use super::reserve;

/// A stable sort like `sort_by`.
pub(crate) fn by<T>(list: &mut [T], compare: impl FnMut(&T, &T) -> Ordering) {
    sort(list.len(), &mut List { list, compare });
}

/// A stable sort like `sort_by_key`.
pub(crate) fn by_key<T, K: Ord>(list: &mut [T], mut key: impl FnMut(&T) -> K) {
    by(list, |a, b| key(a).cmp(&key(b)));
}

/// Like `by`, and moves the values of a second list of the same length in the same way.
pub(crate) fn both_by<T, U>(
    list: &mut [T],
    second: &mut [U],
    compare: impl FnMut(&T, &T) -> Ordering,
) {
    let len = list.len().min(second.len());
    sort(len, &mut Pairs { list: List { list, compare }, second });
}

struct List<'a, T, C> {
    list: &'a mut [T],
    compare: C,
}

/// The part of a sort that is compiled for each type of list. Closures would be compiled twice,
/// because the vtable of a `dyn FnMut` also has what `FnOnce` needs.
trait Places {
    fn compare(&mut self, a: usize, b: usize) -> Ordering;
    fn swap(&mut self, a: usize, b: usize);
}

impl<T, C: FnMut(&T, &T) -> Ordering> Places for List<'_, T, C> {
    fn compare(&mut self, a: usize, b: usize) -> Ordering {
        (self.compare)(&self.list[a], &self.list[b])
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.list.swap(a, b);
    }
}

struct Pairs<'a, T, U, C> {
    list: List<'a, T, C>,
    second: &'a mut [U],
}

impl<T, U, C: FnMut(&T, &T) -> Ordering> Places for Pairs<'_, T, U, C> {
    fn compare(&mut self, a: usize, b: usize) -> Ordering {
        self.list.compare(a, b)
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.list.swap(a, b);
        self.second.swap(a, b);
    }
}

fn sort(len: usize, list: &mut dyn Places) {
    if len < 2 {
        return;
    }
    let Some(mut order) = reserve::list(len) else { return sort_in_place(len, list) };
    // For each position, the position at which its value stands now.
    order.extend(0..len);
    // Allocates nothing. The index breaks ties, so the order is stable.
    order.sort_unstable_by(|a, b| list.compare(*a, *b).then(a.cmp(b)));
    // Moves the values along one cycle of the permutation after another.
    for first in 0..len {
        let mut place = first;
        loop {
            let from = std::mem::replace(&mut order[place], place);
            if from == first {
                break;
            }
            list.swap(place, from);
            place = from;
        }
    }
}

/// Heapsort with a max-heap. It allocates nothing and is not stable.
#[cold]
fn sort_in_place(len: usize, list: &mut dyn Places) {
    let sink = |list: &mut dyn Places, mut place: usize, end: usize| {
        loop {
            let children = (2 * place + 1..2 * place + 3).filter(|child| *child < end);
            let Some(largest) = children.max_by(|a, b| list.compare(*a, *b)) else { return };
            if list.compare(place, largest) != Ordering::Less {
                return;
            }
            list.swap(place, largest);
            place = largest;
        }
    };
    (0..len / 2).rev().for_each(|place| sink(list, place, len));
    for end in (1..len).rev() {
        list.swap(0, end);
        sink(list, 0, end);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_is_asked_of_one_value() {
        by(&mut [] as &mut [u8], |_, _| unreachable!());
        by_key(&mut [1], |_| -> u8 { unreachable!() });
    }

    #[test]
    fn values_that_cannot_be_cloned_are_sorted() {
        let mut names = ["c", "a", "b"].map(|name| Box::new(name.to_owned()));
        by(&mut names, Ord::cmp);
        assert_eq!(names.map(|name| *name), ["a", "b", "c"]);
    }

    #[test]
    fn a_second_list_moves_with_the_first() {
        let (mut list, mut second) = ([3, 1, 2], ["c", "a", "b"]);
        both_by(&mut list, &mut second, Ord::cmp);
        assert_eq!((list, second), ([1, 2, 3], ["a", "b", "c"]));
    }

    proptest! {
        #[test]
        fn it_is_the_standard_library_s_order(keys in prop::collection::vec(0..20_u8, 0..200)) {
            let list: Vec<(u8, usize)> = keys.into_iter().zip(0..).collect();
            let (mut ours, mut theirs) = (list.clone(), list.clone());
            let compare = |a: &(u8, usize), b: &(u8, usize)| b.0.cmp(&a.0);
            by(&mut ours, compare);
            theirs.sort_by(compare);
            prop_assert_eq!(ours, theirs);
            let (mut ours, mut theirs) = (list.clone(), list);
            by_key(&mut ours, |it| it.0 / 3);
            theirs.sort_by_key(|it| it.0 / 3);
            prop_assert_eq!(ours, theirs);
        }
    }
}
