//! The metrics as instruments of a meter of OpenTelemetry.

use memscope_export::{MetricFamily, MetricKind, MetricSeries, MetricValue, metric_families};
use opentelemetry::{
    KeyValue,
    metrics::{AsyncInstrument, Meter},
};

use crate::families::Families;

/// Registers memscope's metrics on a meter, as instruments that are read at each collection.
///
/// Names, attributes and figures are those of `/metrics` of the server; units are `By` and `s`. It
/// works without a server.
///
/// - Gauges are observable gauges, and counters are observable counters, of the same names. A
///   counter has no `_total` in its name, as exporters to Prometheus add it.
/// - OpenTelemetry has no observable histogram. The counts of `memscope_poll_seconds` are
///   observable counters: `memscope_poll_seconds_bucket` by the attribute `le`, the upper bound in
///   seconds as Prometheus writes it (`+Inf` for all), and `memscope_poll_seconds_count`. There is
///   no sum, as it is not measured.
/// - Figures are of a snapshot that serves for a second. A collection that begins at the end of
///   that second has figures of two snapshots. Taking one is some milliseconds of work for
///   thousands of tasks, on the reader's thread.
/// - Counters do not fall from collection to collection. A site that leaves the largest 200 of a
///   family is counted in `(other)` until it returns. A reader with delta temporality forgets such
///   a site, and would count it anew. So use cumulative temporality, the SDK's default.
/// - An instrument has at most 201 attribute sets, and `memscope_tasks` at most 201 for each of its
///   seven states. So each stays below the SDK's limit of 2,000. A figure that is not measured has
///   no set.
/// - The snapshot is memscope's own memory, and is kept until a later one is taken. What the SDK
///   copies of it is the program's memory. Call this function once for a meter.
///
/// ```
/// use opentelemetry::metrics::MeterProvider;
/// use opentelemetry_sdk::metrics::SdkMeterProvider;
///
/// // With a reader, for instance of OTLP.
/// let provider = SdkMeterProvider::builder().build();
/// memscope_server::opentelemetry::observe(&provider.meter("memscope"));
/// ```
pub fn observe(meter: &Meter) {
    for MetricFamily { kind, name, unit, help, .. } in metric_families() {
        let unit = match unit {
            "bytes" => "By",
            "seconds" if kind != MetricKind::Histogram => "s",
            _ => "",
        };
        match kind {
            MetricKind::Gauge if unit == "s" => {
                let gauge = meter.f64_observable_gauge(name).with_description(help).with_unit(unit);
                gauge.with_callback(move |instrument| seconds(name, instrument)).build();
            }
            MetricKind::Gauge => {
                let gauge = meter.u64_observable_gauge(name).with_description(help).with_unit(unit);
                gauge.with_callback(move |instrument| numbers(name, instrument)).build();
            }
            MetricKind::Counter => {
                counter(meter, name.to_owned(), help, unit, move |instrument| {
                    numbers(name, instrument);
                });
            }
            MetricKind::Histogram => {
                counter(meter, format!("{name}_bucket"), help, "", move |instrument| {
                    buckets(name, instrument);
                });
                counter(meter, format!("{name}_count"), help, "", move |instrument| {
                    counts(name, instrument);
                });
            }
        }
    }
}

fn counter(
    meter: &Meter,
    name: String,
    help: &'static str,
    unit: &'static str,
    observe: impl Fn(&dyn AsyncInstrument<u64>) + Send + Sync + 'static,
) {
    let counter = meter.u64_observable_counter(name).with_description(help).with_unit(unit);
    counter.with_callback(observe).build();
}

fn numbers(name: &str, instrument: &dyn AsyncInstrument<u64>) {
    each(name, |attributes, value| {
        if let MetricValue::Number(number) = value {
            instrument.observe(*number, &attributes);
        }
    });
}

fn seconds(name: &str, instrument: &dyn AsyncInstrument<f64>) {
    each(name, |attributes, value| {
        if let MetricValue::Nanoseconds(number) = value {
            instrument.observe(MetricValue::seconds(*number), &attributes);
        }
    });
}

fn buckets(name: &str, instrument: &dyn AsyncInstrument<u64>) {
    each(name, |attributes, value| {
        let MetricValue::Histogram { buckets, count } = value else { return };
        let bounds = buckets.iter().map(|(bound, count)| (bound.to_string(), *count));
        for (bound, count) in bounds.chain([("+Inf".to_owned(), *count)]) {
            let mut attributes = attributes.clone();
            attributes.push(KeyValue::new("le", bound));
            instrument.observe(count, &attributes);
        }
    });
}

fn counts(name: &str, instrument: &dyn AsyncInstrument<u64>) {
    each(name, |attributes, value| {
        if let MetricValue::Histogram { count, .. } = value {
            instrument.observe(*count, &attributes);
        }
    });
}

/// Calls `observe` for each series of a family, if the latest snapshot has it.
fn each(name: &str, mut observe: impl FnMut(Vec<KeyValue>, &MetricValue)) {
    let families = Families::latest();
    let series = families.iter().filter(|family| family.name == name).flat_map(|it| &it.series);
    for MetricSeries { labels, value } in series {
        let attributes = labels.iter().map(|(label, value)| KeyValue::new(*label, value.clone()));
        observe(attributes.collect(), value);
    }
}
