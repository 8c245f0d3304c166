//! The metrics in a registry of `prometheus-client`.

use std::fmt;

use memscope_export::{MetricFamily, MetricKind, MetricSeries, MetricValue};
use prometheus_client::{
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet},
    metrics::MetricType,
    registry::Unit,
};

use crate::families::Families;

/// Adds memscope's metrics to a registry of the crate `prometheus-client`.
///
/// At each scrape it encodes what `/metrics` of the server answers: the same names, units, labels
/// and figures. It works without a server.
///
/// - All figures come from one snapshot, which the scrapes of one second share. Taking one is some
///   milliseconds of work for thousands of tasks, on the thread that encodes.
/// - Counters, and counts of the histogram, do not fall from scrape to scrape.
/// - A family has at most 200 sites, and one series `site="(other)"` for all others.
/// - A figure that is not measured is absent. The registry's histograms must have a sum; that of
///   the polls is not measured, so `memscope_poll_seconds_sum` is `NaN`.
/// - The snapshot is memscope's own memory, and is kept until a later one is taken. The encoded
///   text is the program's memory. A prefix or labels of the registry are added to each series.
///
/// ```
/// use prometheus_client::{encoding::text::encode, registry::Registry};
///
/// let mut registry = Registry::default();
/// registry.register_collector(Box::new(memscope_server::Collector));
/// let mut text = String::new();
/// encode(&mut text, &registry)?;
/// assert!(text.contains("# TYPE memscope_own_bytes gauge"));
/// # Ok::<(), std::fmt::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Collector;

impl prometheus_client::collector::Collector for Collector {
    /// Encodes all families of the latest snapshot.
    ///
    /// # Errors
    ///
    /// When the writer refuses the text.
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let families = Families::latest();
        for family in families.iter().filter(|family| !family.series.is_empty()) {
            push_family(&mut encoder, family)?;
        }
        Ok(())
    }
}

fn push_family(encoder: &mut DescriptorEncoder<'_>, family: &MetricFamily) -> fmt::Result {
    let kind = match family.kind {
        MetricKind::Gauge => MetricType::Gauge,
        MetricKind::Counter => MetricType::Counter,
        MetricKind::Histogram => MetricType::Histogram,
    };
    // The encoder appends the unit to the name.
    let name = family.name.strip_suffix(family.unit).and_then(|name| name.strip_suffix('_'));
    let unit = match family.unit {
        "bytes" => Unit::Bytes,
        "seconds" => Unit::Seconds,
        other => Unit::Other(other.to_owned()),
    };
    let (name, unit) = name.map_or((family.name, None), |name| (name, Some(&unit)));
    let mut encoder = encoder.encode_descriptor(name, family.help, unit, kind)?;
    for MetricSeries { labels, value } in &family.series {
        if labels.is_empty() {
            push_value(&mut encoder, family.kind, value)?;
        } else {
            push_value(&mut encoder.encode_family(labels)?, family.kind, value)?;
        }
    }
    Ok(())
}

fn push_value(
    encoder: &mut MetricEncoder<'_>,
    kind: MetricKind,
    value: &MetricValue,
) -> fmt::Result {
    match value {
        MetricValue::Number(number) if kind == MetricKind::Counter => {
            encoder.encode_counter::<NoLabelSet, _, f64>(number, None)
        }
        MetricValue::Number(number) => encoder.encode_gauge(number),
        MetricValue::Nanoseconds(number) => encoder.encode_gauge(&MetricValue::seconds(*number)),
        MetricValue::Histogram { buckets, count } => {
            // The encoder wants the count of each bucket alone, and adds them up itself.
            let mut below = 0;
            let all = buckets.iter().copied().chain([(f64::INFINITY, *count)]);
            let each = all.map(|(bound, count)| {
                let within = count.saturating_sub(below);
                below = count;
                (bound, within)
            });
            let each: Vec<_> = each.collect();
            encoder.encode_histogram::<NoLabelSet>(f64::NAN, *count, &each, None)
        }
    }
}
