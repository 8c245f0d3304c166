//! Bounds the series of a family: the largest, and one for all others.

use std::{cmp::Reverse, collections::HashMap};

/// The most sites of a family that are series of their own.
const MOST_SITES: usize = 200;

/// The site of all others. The runtime has a row of this name too, for sites beyond its own limit.
const OTHER: (&str, &str) = ("(other)", "-");

/// Figures by site and type of task.
#[derive(Debug, Default)]
pub(super) struct Sums<'s>(HashMap<(&'s str, &'s str), u64>);

impl<'s> Sums<'s> {
    /// Adds a figure; the sum stops at the largest number, as rows may come from a file.
    pub(super) fn add(&mut self, site: (&'s str, &'s str), figure: u64) {
        let sum = self.0.entry(site).or_default();
        *sum = sum.saturating_add(figure);
    }

    /// The largest, and all others as one, if there are others.
    pub(super) fn largest(self) -> impl Iterator<Item = ((&'s str, &'s str), u64)> {
        self.largest_of(MOST_SITES)
    }

    /// NOTE: which sites are listed depends on these figures alone. The sum of all but the `most`
    /// largest cannot fall while no figure falls, and a new figure cannot make it fall.
    fn largest_of(self, most: usize) -> impl Iterator<Item = ((&'s str, &'s str), u64)> {
        // A site without a type is `-`, and without a label for it there is none.
        let is_other = |site: &(&str, &str)| site.0 == OTHER.0 && ["-", ""].contains(&site.1);
        let (others, mut sites): (Vec<_>, Vec<_>) =
            self.0.into_iter().partition(|(site, _)| is_other(site));
        sites.sort_unstable_by_key(|(site, sum)| (Reverse(*sum), *site));
        let listed = sites.len().min(most);
        let folded = sites.split_off(listed);
        let has_others = !others.is_empty() || !folded.is_empty();
        let sum = others.into_iter().chain(folded).fold(0, |sum: u64, it| sum.saturating_add(it.1));
        sites.into_iter().chain(has_others.then_some((OTHER, sum)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAMES: [&str; 6] = ["a", "b", "c", "(other)", "e", "f"];

    fn largest(figures: &[u64]) -> HashMap<&'static str, u64> {
        let mut sums = Sums::default();
        for (name, figure) in NAMES.into_iter().zip(figures) {
            sums.add((name, "-"), *figure);
        }
        sums.largest_of(2).map(|((site, _), sum)| (site, sum)).collect()
    }

    #[test]
    fn the_largest_are_listed_and_all_others_are_one() {
        let expected = [("b", 9), ("e", 8), ("(other)", 1 + 2 + 7 + 3)];
        assert_eq!(largest(&[1, 9, 2, 7, 8, 3]), HashMap::from(expected));
        assert_eq!(largest(&[1, 2]), HashMap::from([("a", 1), ("b", 2)]), "no others");
        assert_eq!(largest(&[u64::MAX; 6])["(other)"], u64::MAX);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_series_falls_while_no_figure_falls_however_the_ranks_change(
            before in prop::collection::vec(0..100_u64, 0..6),
            growth in prop::collection::vec(prop_oneof![Just(0), 0..100_u64], 6),
        ) {
            // Sites that are new have no figure before.
            let after: Vec<u64> = growth
                .iter()
                .enumerate()
                .map(|(at, growth)| before.get(at).unwrap_or(&0) + growth)
                .collect();
            let (before, after) = (largest(&before), largest(&after));
            for (site, sum) in &before {
                if let Some(now) = after.get(site) {
                    prop_assert!(now >= sum, "{} fell: {:?} {:?}", site, before, after);
                }
            }
            prop_assert!(after.contains_key("(other)"), "it stays: {:?}", after);
        }
    }
}
