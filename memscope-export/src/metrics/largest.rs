//! Bounds the series of a family: the largest, and one for all others.

use std::{cmp::Reverse, collections::HashMap};

/// The most sites of a family that are series of their own.
const MOST_SITES: usize = 200;

/// The site of all others. The runtime has a row of this name too, for sites beyond its own limit.
const OTHER: (&str, &str) = ("(other)", "-");

/// Sites of one name and type, which are one series.
// PERF: each name is hashed once, not once for each family.
#[derive(Debug)]
pub(super) struct Groups<'s> {
    names: Vec<(&'s str, &'s str)>,
    /// The group of each site, by the site's index.
    of_site: Vec<usize>,
}

impl<'s> Groups<'s> {
    pub(super) fn of(sites: impl Iterator<Item = (&'s str, &'s str)>) -> Self {
        let (mut names, mut of_site) = (Vec::new(), Vec::new());
        let mut known = HashMap::with_capacity(sites.size_hint().0);
        for site in sites {
            of_site.push(*known.entry(site).or_insert_with(|| {
                names.push(site);
                names.len() - 1
            }));
        }
        Self { names, of_site }
    }

    /// The sums of each group that has a figure. Figures are by the site's index.
    fn sums(&self, figures: impl Iterator<Item = Option<u64>>) -> Vec<((&'s str, &'s str), u64)> {
        let mut sums: Vec<Option<u64>> = vec![None; self.names.len()];
        for (group, figure) in self.of_site.iter().zip(figures) {
            if let (Some(figure), Some(sum)) = (figure, sums.get_mut(*group)) {
                // The sum stops at the largest number, as rows may come from a file.
                *sum = Some(sum.unwrap_or(0).saturating_add(figure));
            }
        }
        let sums = self.names.iter().zip(sums);
        sums.filter_map(|(site, sum)| Some((*site, sum?))).collect()
    }

    /// The largest groups, and all others as one, if there are others. Figures are by the site's
    /// index; a site without one is in no group.
    pub(super) fn largest(
        &self,
        figures: impl Iterator<Item = Option<u64>>,
    ) -> impl Iterator<Item = ((&'s str, &'s str), u64)> {
        largest_of(MOST_SITES, self.sums(figures))
    }
}

/// NOTE: which sites are listed depends on these figures alone. The sum of all but the `most`
/// largest cannot fall while no figure falls, and a new figure cannot make it fall.
fn largest_of<'s>(
    most: usize,
    sums: Vec<((&'s str, &'s str), u64)>,
) -> impl Iterator<Item = ((&'s str, &'s str), u64)> {
    // A site without a type is `-`, and without a label for it there is none.
    let is_other = |site: &(&str, &str)| site.0 == OTHER.0 && ["-", ""].contains(&site.1);
    let (others, mut sites): (Vec<_>, Vec<_>) =
        sums.into_iter().partition(|(site, _)| is_other(site));
    let rank = |(site, sum): &((&'s str, &'s str), u64)| (Reverse(*sum), *site);
    let listed = sites.len().min(most);
    // PERF: those that are not listed need no order.
    if listed < sites.len() {
        sites.select_nth_unstable_by_key(listed, rank);
    }
    let folded = sites.split_off(listed);
    sites.sort_unstable_by_key(rank);
    let has_others = !others.is_empty() || !folded.is_empty();
    let sum = others.into_iter().chain(folded).fold(0, |sum: u64, it| sum.saturating_add(it.1));
    sites.into_iter().chain(has_others.then_some((OTHER, sum)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAMES: [&str; 6] = ["a", "b", "c", "(other)", "e", "f"];

    fn largest(figures: &[u64]) -> HashMap<&'static str, u64> {
        let groups = Groups::of(NAMES.into_iter().map(|name| (name, "-")));
        let sums = groups.sums(figures.iter().copied().map(Some));
        largest_of(2, sums).map(|((site, _), sum)| (site, sum)).collect()
    }

    #[test]
    fn the_largest_are_listed_and_all_others_are_one() {
        let expected = [("b", 9), ("e", 8), ("(other)", 1 + 2 + 7 + 3)];
        assert_eq!(largest(&[1, 9, 2, 7, 8, 3]), HashMap::from(expected));
        assert_eq!(largest(&[1, 2]), HashMap::from([("a", 1), ("b", 2)]), "no others");
        assert_eq!(largest(&[u64::MAX; 6])["(other)"], u64::MAX);
    }

    #[test]
    fn sites_of_one_name_are_one_and_those_without_a_figure_are_none() {
        let groups = Groups::of([("a", "-"), ("b", "-"), ("a", "-"), ("a", "io")].into_iter());
        let figures = [Some(1), None, Some(2), Some(0)];
        let found: Vec<_> = groups.largest(figures.into_iter()).collect();
        assert_eq!(found, [(("a", "-"), 3), (("a", "io"), 0)]);
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
