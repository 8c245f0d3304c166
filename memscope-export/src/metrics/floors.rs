//! Counters that never fall, from scrape to scrape.

use std::{collections::HashMap, sync::Arc};

use super::{MetricFamily, MetricKind, MetricSeries, MetricValue};

/// The most figures that are kept: about ten scrapes of different series. If there are more, only
/// those of the latest scrape are kept.
const MOST: usize = 4_096;

/// The labels of a series.
type Labels = Vec<(&'static str, Arc<str>)>;

/// The highest figure of a series, and the last scrape that had it.
#[derive(Debug)]
struct Floor {
    number: u64,
    scrape: u64,
}

/// Keeps counters, and the counts of histograms, from falling: holds the highest figure of each so
/// far.
///
/// If a counter falls, a scraper believes that the process was restarted, and adds the whole
/// counter to its sum. An exact counter may fall by a little. Tasks that end while a snapshot is
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
    /// By the family's name, then by the labels.
    floors: HashMap<&'static str, HashMap<Labels, Floor>>,
    scrapes: u64,
}

impl CounterFloors {
    /// Raises each counter that has fallen to its highest figure so far, and keeps the new figures.
    pub fn hold(&mut self, families: &mut [MetricFamily]) {
        self.scrapes += 1;
        let scrape = self.scrapes;
        let rising = families.iter_mut().filter(|family| family.kind != MetricKind::Gauge);
        for family in rising {
            let floors = self.floors.entry(family.name).or_default();
            for MetricSeries { labels, value } in &mut family.series {
                match value {
                    MetricValue::Number(number) => hold(floors, labels, number, scrape),
                    // Only gauges have this value.
                    MetricValue::Nanoseconds(_) => {}
                    MetricValue::Histogram { buckets, count } => {
                        let finite = buckets.iter_mut().map(|it| (it.0.to_string(), &mut it.1));
                        for (bound, number) in finite.chain([("+Inf".to_owned(), count)]) {
                            let mut labels = labels.clone();
                            labels.push(("le", bound.into()));
                            hold(floors, &labels, number, scrape);
                        }
                    }
                }
            }
        }
        if self.len() > MOST {
            for floors in self.floors.values_mut() {
                floors.retain(|_, floor| floor.scrape == scrape);
            }
        }
    }

    /// How many figures are kept.
    fn len(&self) -> usize {
        self.floors.values().map(HashMap::len).sum()
    }
}

fn hold(floors: &mut HashMap<Labels, Floor>, labels: &Labels, number: &mut u64, scrape: u64) {
    match floors.get_mut(labels) {
        Some(floor) => {
            *floor = Floor { number: floor.number.max(*number), scrape };
            *number = floor.number;
        }
        None => drop(floors.insert(labels.clone(), Floor { number: *number, scrape })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family(kind: MetricKind, figures: &[(&str, u64)]) -> MetricFamily {
        let series = figures
            .iter()
            .map(|(site, number)| MetricSeries::new(vec![("site", (*site).into())], *number));
        MetricFamily { kind, name: "x", unit: "", help: "", series: series.collect() }
    }

    fn numbers(family: &MetricFamily) -> Vec<u64> {
        let numbers = family.series.iter().map(|series| match series.value {
            MetricValue::Number(number) => number,
            MetricValue::Nanoseconds(_) | MetricValue::Histogram { .. } => 0,
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
            assert!(floors.len() <= MOST);
        }
        let mut families = [family(MetricKind::Counter, &[("stays", 0)])];
        floors.hold(&mut families);
        assert_eq!(numbers(&families[0]), [1]);
    }
}
