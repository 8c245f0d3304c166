//! Bounds the series of a family: one for each of the largest sites, and one for all others.

use std::{cell::OnceCell, cmp::Reverse, collections::HashMap, sync::Arc};

use memscope_runtime::async_memory::TaskType;

/// The most sites of a family that have a series of their own.
const MOST_SITES: usize = 200;

/// The label of the series for all other sites. The runtime has a row of this name too, for sites
/// beyond its own limit.
const OTHER: &str = "(other)";

/// A name of sites.
#[derive(Debug)]
struct Name<'s> {
    text: &'s str,
    /// The text as a label, made for the first series and shared by all.
    label: OnceCell<Arc<str>>,
    /// The group of its sites of each type.
    groups: [Option<usize>; TaskType::ALL.len()],
    /// Its place in the order of all names.
    // PERF: names are compared once, not for each pair of equal figures in each family.
    rank: usize,
}

/// Sites of one name and type, which are one series.
// PERF: each name is hashed once, not once for each family.
#[derive(Debug)]
pub(super) struct Groups<'s> {
    names: Vec<Name<'s>>,
    /// The index of each group's name, and its type.
    keys: Vec<(usize, TaskType)>,
    /// The group of each site, by the site's index.
    of_site: Vec<usize>,
    types: [Arc<str>; TaskType::ALL.len()],
    other: Arc<str>,
}

impl<'s> Groups<'s> {
    pub(super) fn of(sites: impl Iterator<Item = (&'s str, TaskType)>) -> Self {
        let (mut names, mut keys) = (Vec::<Name<'s>>::new(), Vec::new());
        let mut known = HashMap::with_capacity(sites.size_hint().0);
        let of_site = sites.map(|(name, task_type)| {
            let at = *known.entry(name).or_insert_with(|| {
                let (label, groups) = (OnceCell::new(), Default::default());
                names.push(Name { text: name, label, groups, rank: 0 });
                names.len() - 1
            });
            *names[at].groups[task_type as usize].get_or_insert_with(|| {
                keys.push((at, task_type));
                keys.len() - 1
            })
        });
        let of_site = of_site.collect();
        let mut in_order: Vec<usize> = (0..names.len()).collect();
        in_order.sort_unstable_by_key(|name| names[*name].text);
        for (rank, name) in in_order.into_iter().enumerate() {
            names[name].rank = rank;
        }
        let types = TaskType::ALL.map(|task_type| task_type.as_str().into());
        Self { names, keys, of_site, types, other: OTHER.into() }
    }

    /// Returns the names and types of the largest groups, and all others as one, if there are
    /// others. Figures are by the site's index. A site without a figure is in no group.
    pub(super) fn largest(
        &self,
        figures: impl Iterator<Item = Option<u64>>,
    ) -> impl Iterator<Item = ([Arc<str>; 2], u64)> {
        let sums = sums(self.of_site.iter().copied(), self.keys.len(), figures);
        let key = |group: usize| {
            let (name, task_type) = self.keys[group];
            (self.names[name].rank, task_type.as_str())
        };
        let is_other = |group: usize| {
            let (name, task_type) = self.keys[group];
            task_type == TaskType::Unspecified && self.names[name].text == OTHER
        };
        let (listed, others) = largest_of(MOST_SITES, sums, key, is_other);
        let labels = |(name, task_type): (usize, TaskType)| {
            [self.names[name].label(), Arc::clone(&self.types[task_type as usize])]
        };
        let listed = listed.into_iter().map(move |(group, sum)| (labels(self.keys[group]), sum));
        listed.chain(others.map(|sum| {
            let of_no_type = &self.types[TaskType::Unspecified as usize];
            ([&self.other, of_no_type].map(Arc::clone), sum)
        }))
    }

    /// Returns what [`largest`](Self::largest) does, by the names alone.
    pub(super) fn largest_names(
        &self,
        figures: impl Iterator<Item = Option<u64>>,
    ) -> impl Iterator<Item = (Arc<str>, u64)> {
        let of_site = self.of_site.iter().map(|group| self.keys[*group].0);
        let sums = sums(of_site, self.names.len(), figures);
        let key = |name: usize| self.names[name].rank;
        let is_other = |name: usize| self.names[name].text == OTHER;
        let (listed, others) = largest_of(MOST_SITES, sums, key, is_other);
        let listed = listed.into_iter().map(|(name, sum)| (self.names[name].label(), sum));
        listed.chain(others.map(|sum| (Arc::clone(&self.other), sum)))
    }
}

impl Name<'_> {
    fn label(&self) -> Arc<str> {
        Arc::clone(self.label.get_or_init(|| self.text.into()))
    }
}

/// Returns the index and the sum of each group that has a figure.
fn sums(
    of_site: impl Iterator<Item = usize>,
    groups: usize,
    figures: impl Iterator<Item = Option<u64>>,
) -> Vec<(usize, u64)> {
    let mut sums: Vec<Option<u64>> = vec![None; groups];
    for (group, figure) in of_site.zip(figures) {
        if let (Some(figure), Some(sum)) = (figure, sums.get_mut(group)) {
            // The sum stops at the largest number, as rows may come from a file.
            *sum = Some(sum.unwrap_or(0).saturating_add(figure));
        }
    }
    sums.into_iter().enumerate().filter_map(|(group, sum)| Some((group, sum?))).collect()
}

/// Returns the largest groups in order, and the sum of all others. `key` orders groups of equal
/// sums.
///
/// NOTE: which sites are listed depends on these figures alone. The sum of all but the `most`
/// largest cannot fall while no figure falls, and a new figure cannot make it fall.
fn largest_of<K: Ord>(
    most: usize,
    sums: Vec<(usize, u64)>,
    key: impl Fn(usize) -> K,
    is_other: impl Fn(usize) -> bool,
) -> (Vec<(usize, u64)>, Option<u64>) {
    let (others, mut groups): (Vec<_>, Vec<_>) =
        sums.into_iter().partition(|(group, _)| is_other(*group));
    let rank = |(group, sum): &(usize, u64)| (Reverse(*sum), key(*group));
    let listed = groups.len().min(most);
    // PERF: those that are not listed need no order.
    if listed < groups.len() {
        groups.select_nth_unstable_by_key(listed, rank);
    }
    let folded = groups.split_off(listed);
    groups.sort_unstable_by_key(rank);
    let others = others.into_iter().chain(folded).map(|(_, sum)| sum);
    (groups, others.reduce(u64::saturating_add))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAMES: [&str; 6] = ["a", "b", "c", "(other)", "e", "f"];

    fn largest(figures: &[u64]) -> HashMap<&'static str, u64> {
        let sums = sums(0..NAMES.len(), NAMES.len(), figures.iter().copied().map(Some));
        let key = |group: usize| NAMES[group];
        let (listed, others) = largest_of(2, sums, key, |group| key(group) == OTHER);
        let listed = listed.into_iter().map(|(group, sum)| (key(group), sum));
        listed.chain(others.map(|sum| (OTHER, sum))).collect()
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
        use TaskType::{IoIntensive, Unspecified};
        let sites =
            [("a", Unspecified), ("b", Unspecified), ("a", Unspecified), ("a", IoIntensive)];
        let groups = Groups::of(sites.into_iter());
        let figures = || [Some(1), None, Some(2), Some(0)].into_iter();
        let found: Vec<_> = groups.largest(figures()).collect();
        let labels = |task_type: TaskType| ["a".into(), task_type.as_str().into()];
        assert_eq!(found, [(labels(Unspecified), 3), (labels(IoIntensive), 0)]);
        let found: Vec<_> = groups.largest_names(figures()).collect();
        assert_eq!(found, [("a".into(), 3)]);
    }

    #[test]
    fn the_runtime_s_row_of_others_is_in_the_series_of_others() {
        let many = (0..MOST_SITES + 2).map(|number| number.to_string());
        let names: Vec<String> = many.chain([OTHER.to_owned()]).collect();
        let groups = Groups::of(names.iter().map(|name| (&**name, TaskType::Unspecified)));
        let figures = || (1..=names.len() as u64).map(Some);
        // The two smallest, and the row itself, though it has the largest figure.
        let rest = 1 + 2 + names.len() as u64;
        let other = ([OTHER.into(), TaskType::Unspecified.as_str().into()], rest);
        assert_eq!(groups.largest(figures()).last(), Some(other));
        assert_eq!(groups.largest(figures()).count(), MOST_SITES + 1);
        assert_eq!(groups.largest_names(figures()).last(), Some((OTHER.into(), rest)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_series_falls_while_no_figure_falls_however_the_ranks_change(
            before in prop::collection::vec(0..100_u64, 0..6),
            growth in prop::collection::vec(prop_oneof![Just(0), 0..100_u64], 6),
        ) {
            // New sites have no earlier figure.
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
