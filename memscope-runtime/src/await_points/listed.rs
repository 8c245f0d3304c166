//! The futures of a list, as those of `FuturesUnordered`.

use memscope_layout::{ListPlaces, TypeId};

use super::{
    grow::add,
    layouts::{self, usize_of, written},
    resolve::{Reach, resolve},
    tree::Node,
};
use crate::primitives::StaticRef;

/// A list of futures. A walk through memory that stands still goes on in each of them.
#[derive(Debug)]
pub(crate) struct List {
    element: TypeId,
    places: ListPlaces,
    /// Where the type that has the list begins.
    start: u64,
    /// The first node of each of its futures.
    first: StaticRef<Node>,
}

/// Where the futures of a list are.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) addresses: Vec<usize>,
    /// Whether these are all.
    pub(super) is_whole: bool,
}

impl List {
    pub(super) const fn new(element: TypeId, places: ListPlaces, start: u64) -> Self {
        Self { element, places, start, first: StaticRef::none() }
    }

    /// The first node of each of its futures. A walk has ended at this node, with this list.
    pub(super) fn first(&'static self, node: &'static Node) -> Option<&'static Node> {
        self.first.get().or_else(|| {
            let layouts = layouts::kept()?;
            add(&self.first, node.child(), || resolve(layouts, self.element, 0, Reach::Still))
        })
    }

    /// Where its futures are, at most this many. `at`: the start of the block that the walk is in.
    /// `word`: the word at an address; `None` if it cannot be read.
    pub(super) fn find(
        &self,
        at: usize,
        most: usize,
        word: impl FnMut(usize) -> Option<usize>,
    ) -> Listed {
        let mut listed = Listed::default();
        // What cannot be read ends the list, which is not whole then.
        let _ = listed.read(self.places, at.wrapping_add(usize_of(self.start)), most, word);
        listed
    }
}

impl Listed {
    fn read(
        &mut self,
        places: ListPlaces,
        at: usize,
        most: usize,
        mut word: impl FnMut(usize) -> Option<usize>,
    ) -> Option<()> {
        match places {
            ListPlaces::Row { data_offset, length_offset, stride, value_offset } => {
                let length = word(at.wrapping_add(usize_of(length_offset)))?;
                let data = word(at.wrapping_add(usize_of(data_offset)))?;
                let of = |index: usize| {
                    let item = data.wrapping_add(index.wrapping_mul(usize_of(stride)));
                    item.wrapping_add(usize_of(value_offset))
                };
                self.addresses.extend((0..length.min(most)).map(of));
                self.is_whole = length <= most;
            }
            ListPlaces::Nodes { first_offset, next_offset, length_offset, value_offset } => {
                let mut node = word(at.wrapping_add(usize_of(first_offset)))?;
                let mut length = 0;
                if node != 0 {
                    length = word(node.wrapping_add(usize_of(length_offset)))?;
                }
                while node != 0 && self.addresses.len() < most {
                    self.addresses.push(node.wrapping_add(usize_of(value_offset)));
                    node = word(node.wrapping_add(usize_of(next_offset)))?;
                }
                self.is_whole = node == 0 && self.addresses.len() == length;
            }
            _ => {}
        }
        Some(())
    }
}

/// The name of a type that has a list, as people write it.
pub(super) fn name(type_name: &str) -> String {
    /// Futures of boxed slices, and the type that has such a slice.
    const IN_A_BOX: [(&str, &str); 2] = [
        ("futures_util::future::maybe_done::MaybeDone<", "futures_util::future::join_all::JoinAll"),
        (
            "futures_util::future::try_maybe_done::TryMaybeDone<",
            "futures_util::future::try_join_all::TryJoinAll",
        ),
    ];

    /// A `FuturesOrdered` has a list of these.
    const ORDERED: &str = "futures_util::stream::futures_unordered::FuturesUnordered<\
                           futures_util::stream::futures_ordered::OrderWrapper<";

    if let Some(element) = type_name.strip_prefix(ORDERED).and_then(|it| it.strip_suffix('>')) {
        return written(&format!(
            "futures_util::stream::futures_ordered::FuturesOrdered<{element}"
        ));
    }
    let element = type_name.strip_prefix("alloc::boxed::Box<[");
    let of_box = element.and_then(|it| IN_A_BOX.iter().find(|of| it.starts_with(of.0)));
    of_box.map_or_else(|| written(type_name), |it| it.1.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORD: usize = size_of::<usize>();

    /// What is found in these words, the first of which is at address 100 words.
    fn find(places: ListPlaces, words: &[usize], most: usize) -> Listed {
        let at = 100 * WORD;
        let mut listed = Listed::default();
        let word = |address: usize| {
            assert_eq!(address % WORD, 0);
            words.get((address / WORD).checked_sub(100)?).copied()
        };
        let _ = listed.read(places, at, most, word);
        listed
    }

    fn offset(words: u64) -> u64 {
        words * WORD as u64
    }

    fn listed(words: &[usize], is_whole: bool) -> Listed {
        Listed { addresses: words.iter().map(|it| it * WORD).collect(), is_whole }
    }

    #[test]
    fn a_row_has_as_many_as_it_says() {
        let row = ListPlaces::Row {
            data_offset: offset(1),
            length_offset: offset(0),
            stride: offset(4),
            value_offset: offset(1),
        };
        assert_eq!(find(row, &[3, 500 * WORD], 8), listed(&[501, 505, 509], true));
        assert_eq!(find(row, &[3, 500 * WORD], 2), listed(&[501, 505], false));
        assert_eq!(find(row, &[0, WORD], 8), listed(&[], true), "empty: its address is none");
        assert_eq!(find(row, &[3], 8), listed(&[], false), "not to be read");
    }

    #[test]
    fn nodes_are_followed_to_the_last_one() {
        let nodes = ListPlaces::Nodes {
            first_offset: offset(0),
            next_offset: offset(1),
            length_offset: offset(2),
            value_offset: offset(0),
        };
        // The list, and nodes at 101 and 104.
        let words = |next, length| [101 * WORD, 0, 104 * WORD, length, 0, next, 0];
        assert_eq!(find(nodes, &[0], 8), listed(&[], true), "empty");
        assert_eq!(find(nodes, &words(0, 2), 8), listed(&[101, 104], true));
        assert_eq!(find(nodes, &words(0, 3), 8), listed(&[101, 104], false), "one is not linked");
        assert_eq!(find(nodes, &words(0, 2), 1), listed(&[101], false));
        let endless = find(nodes, &words(101 * WORD, 2), 5);
        assert_eq!(endless, listed(&[101, 104, 101, 104, 101], false), "it leads back");
        assert_eq!(find(nodes, &words(900 * WORD, 2), 8), listed(&[101, 104, 900], false));
    }

    #[test]
    fn a_list_has_the_name_of_what_polls_it() {
        assert_eq!(
            name(
                "alloc::boxed::Box<[futures_util::future::maybe_done::MaybeDone<F>], alloc::alloc::Global>"
            ),
            "futures_util::future::join_all::JoinAll"
        );
        assert_eq!(
            name(
                "futures_util::stream::futures_unordered::FuturesUnordered<futures_util::stream::futures_ordered::OrderWrapper<a::F>>"
            ),
            "futures_util::stream::futures_ordered::FuturesOrdered<a::F>"
        );
        assert_eq!(name("a::List<F>"), "a::List<F>");
    }
}
