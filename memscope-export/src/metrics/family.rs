//! Metrics as data: for `OpenMetrics` text, and for registries of other libraries.

use std::sync::Arc;

/// The series of one name.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricFamily {
    /// How the figures change.
    pub kind: MetricKind,
    /// The name, with the unit. In text, a counter's series end in `_total`.
    pub name: &'static str,
    /// `bytes`, `seconds`, or empty.
    pub unit: &'static str,
    /// What the figures mean.
    pub help: &'static str,
    /// The series: at most one for each set of labels.
    pub series: Vec<MetricSeries>,
}

/// How the figures of a family change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// They rise and fall.
    Gauge,
    /// They rise while the process lives.
    Counter,
    /// Numbers of observations up to bounds; they rise.
    Histogram,
}

/// One figure, or one histogram.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricSeries {
    /// Names and values of labels. Values are texts of the program, with any characters. The series
    /// of one site share them.
    pub labels: Vec<(&'static str, Arc<str>)>,
    /// The figure.
    pub value: MetricValue,
}

/// The value of a series.
#[derive(Clone, Debug, PartialEq)]
pub enum MetricValue {
    /// The number of a gauge or a counter.
    Number(u64),
    /// The nanoseconds of a gauge whose unit is seconds.
    Nanoseconds(u64),
    /// The counts of a histogram. The sum of the observed values is not known.
    Histogram {
        /// The upper bounds in the family's unit, in rising order, each with the number of
        /// observations that do not exceed it.
        buckets: Vec<(f64, u64)>,
        /// The number of all observations.
        count: u64,
    },
}

impl MetricValue {
    /// Converts nanoseconds to seconds, as text and registries have them.
    #[expect(clippy::cast_precision_loss, reason = "a double has microseconds of 280 years")]
    pub fn seconds(nanoseconds: u64) -> f64 {
        nanoseconds as f64 / 1e9
    }
}

impl MetricSeries {
    pub(super) const fn new(labels: Vec<(&'static str, Arc<str>)>, number: u64) -> Self {
        Self { labels, value: MetricValue::Number(number) }
    }
}

impl MetricFamily {
    /// A family that has no series yet.
    pub(super) const fn new(
        kind: MetricKind,
        name: &'static str,
        unit: &'static str,
        help: &'static str,
    ) -> Self {
        Self { kind, name, unit, help, series: Vec::new() }
    }

    pub(super) fn with(self, series: impl IntoIterator<Item = MetricSeries>) -> Self {
        Self { series: series.into_iter().collect(), ..self }
    }

    pub(super) fn of(self, number: u64) -> Self {
        self.with([MetricSeries::new(Vec::new(), number)])
    }

    pub(super) fn of_nanoseconds(self, number: u64) -> Self {
        let value = MetricValue::Nanoseconds(number);
        self.with([MetricSeries { labels: Vec::new(), value }])
    }
}
