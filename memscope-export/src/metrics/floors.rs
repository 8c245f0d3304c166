//! Counters that never fall, from scrape to scrape.

use std::collections::HashMap;

use super::{MetricFamily, MetricKind, MetricSeries, MetricValue};

/// The most figures that are kept: those of ten times as many series as one scrape has. Beyond it
/// only the latest scrape's are kept.
const MOST: usize = 4_096;

/// A series: the family's name, and its labels.
type Key = (&'static str, Vec<(&'static str, String)>);

/// The highest figure of each counter so far, which it does not fall below. So for the counts of
/// histograms.
///
/// A scraper takes a counter that falls for one of a process that was restarted, and adds all of it
/// to what it counts. An exact counter may fall by a little: tasks that end while a snapshot is
/// read are missing in it, and an unannotated task takes its bytes along when it gets a name. Then
/// the counter stays where it was until the figure has caught up.
///
/// ```
/// use memscope_export::{CounterFloors, metrics, text_of};
/// use memscope_runtime::async_memory::get_memory_snapshot;
///
/// let mut floors = CounterFloors::default();
/// // At each scrape:
/// let mut families = metrics(&get_memory_snapshot());
/// floors.hold(&mut families);
/// println!("{}", text_of(&families));
/// ```
#[derive(Debug, Default)]
pub struct CounterFloors {
    numbers: HashMap<Key, u64>,
}

impl CounterFloors {
    /// Raises each counter that has fallen to its highest figure so far, and keeps the figures.
    pub fn hold(&mut self, families: &mut [MetricFamily]) {
        let mut latest: Vec<Key> = Vec::new();
        let mut hold = |key: Key, number: &mut u64| {
            let floor = self.numbers.entry(key.clone()).or_default();
            *floor = (*floor).max(*number);
            *number = *floor;
            latest.push(key);
        };
        let rising = families.iter_mut().filter(|family| family.kind != MetricKind::Gauge);
        for family in rising {
            for MetricSeries { labels, value } in &mut family.series {
                match value {
                    MetricValue::Number(number) => hold((family.name, labels.clone()), number),
                    MetricValue::Histogram { buckets, count } => {
                        let finite = buckets.iter_mut().map(|it| (it.0.to_string(), &mut it.1));
                        for (bound, number) in finite.chain([("+Inf".to_owned(), count)]) {
                            let mut labels = labels.clone();
                            labels.push(("le", bound));
                            hold((family.name, labels), number);
                        }
                    }
                }
            }
        }
        if self.numbers.len() > MOST {
            let kept = latest.into_iter().filter_map(|key| self.numbers.remove_entry(&key));
            self.numbers = kept.collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family(kind: MetricKind, figures: &[(&str, u64)]) -> MetricFamily {
        let series =
            figures.iter().map(|(site, number)| MetricSeries::new(&[("site", site)], *number));
        MetricFamily { kind, name: "x", unit: "", help: "", series: series.collect() }
    }

    fn numbers(family: &MetricFamily) -> Vec<u64> {
        let numbers = family.series.iter().map(|series| match series.value {
            MetricValue::Number(number) => number,
            MetricValue::Histogram { .. } => 0,
        });
        numbers.collect()
    }

    #[test]
    fn a_counter_that_falls_stays_where_it_was_and_a_gauge_falls() {
        let mut floors = CounterFloors::default();
        let mut held = |kind, figures: &[(&str, u64)]| {
            let mut families = [family(kind, figures)];
            floors.hold(&mut families);
            numbers(&families[0])
        };
        assert_eq!(held(MetricKind::Counter, &[("a", 5), ("b", 7)]), [5, 7]);
        assert_eq!(held(MetricKind::Counter, &[("b", 9), ("a", 3)]), [9, 5]);
        assert_eq!(held(MetricKind::Counter, &[("b", 9)]), [9], "a is not listed");
        assert_eq!(held(MetricKind::Counter, &[("a", 4)]), [5], "and comes back");
        assert_eq!(held(MetricKind::Counter, &[("a", 6)]), [6]);
        assert_eq!(held(MetricKind::Gauge, &[("a", 1)]), [1]);
    }

    #[test]
    fn no_bucket_of_a_histogram_falls() {
        let mut floors = CounterFloors::default();
        let mut held = |buckets: [(f64, u64); 2], count| {
            let value = MetricValue::Histogram { buckets: buckets.to_vec(), count };
            let mut family = family(MetricKind::Histogram, &[]);
            family.series.push(MetricSeries { labels: Vec::new(), value });
            floors.hold(std::slice::from_mut(&mut family));
            family.series[0].value.clone()
        };
        held([(0.5, 3), (2.0, 7)], 9);
        let buckets = vec![(0.5, 4), (2.0, 7)];
        assert_eq!(held([(0.5, 4), (2.0, 5)], 8), MetricValue::Histogram { buckets, count: 9 });
    }

    #[test]
    fn figures_of_ever_new_sites_are_forgotten() {
        let mut floors = CounterFloors::default();
        for round in 0..3 * MOST {
            let name = round.to_string();
            let mut families = [family(MetricKind::Counter, &[("stays", 1), (&name, 2)])];
            floors.hold(&mut families);
            assert!(floors.numbers.len() <= MOST);
        }
        let mut families = [family(MetricKind::Counter, &[("stays", 0)])];
        floors.hold(&mut families);
        assert_eq!(numbers(&families[0]), [1]);
    }
}
