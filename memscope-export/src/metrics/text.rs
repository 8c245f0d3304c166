//! The text format of `OpenMetrics` 1.0.
//!
//! The crate `prometheus-client` writes this format too, but its histograms must have a sum. The
//! sum of all polls is not measured, so it is absent here.

use std::{
    fmt::{Display, Write},
    sync::Arc,
};

use super::{MetricFamily, MetricKind, MetricSeries, MetricValue};

/// Writes families as `OpenMetrics` text, of the type
/// `application/openmetrics-text; version=1.0.0; charset=utf-8`.
pub fn text_of(families: &[MetricFamily]) -> String {
    let series = families.iter().map(|family| family.series.len()).sum::<usize>();
    // PERF: the capacity is about the length of all lines.
    let mut out = String::with_capacity(96 * series + (2 << 10));
    for family in families.iter().filter(|family| !family.series.is_empty()) {
        push_family(&mut out, family);
    }
    out.push_str("# EOF\n");
    out
}

fn push_family(out: &mut String, family: &MetricFamily) {
    let MetricFamily { kind, name, unit, help, series } = family;
    let kind_word = match kind {
        MetricKind::Gauge => "gauge",
        MetricKind::Counter => "counter",
        MetricKind::Histogram => "histogram",
    };
    push(out, format_args!("# TYPE {name} {kind_word}\n"));
    if !unit.is_empty() {
        push(out, format_args!("# UNIT {name} {unit}\n"));
    }
    push(out, format_args!("# HELP {name} {help}\n"));
    let suffix = if *kind == MetricKind::Counter { "_total" } else { "" };
    for MetricSeries { labels, value } in series {
        match value {
            MetricValue::Number(number) => {
                push_line(out, (name, suffix), labels, None, *number);
            }
            MetricValue::Nanoseconds(number) => {
                push_line(out, (name, suffix), labels, None, MetricValue::seconds(*number));
            }
            MetricValue::Histogram { buckets, count } => {
                for (bound, count) in buckets {
                    push_line(out, (name, "_bucket"), labels, Some(&bound.to_string()), *count);
                }
                push_line(out, (name, "_bucket"), labels, Some("+Inf"), *count);
                push_line(out, (name, "_count"), labels, None, *count);
            }
        }
    }
}

fn push_line(
    out: &mut String,
    (name, suffix): (&str, &str),
    labels: &[(&'static str, Arc<str>)],
    bound: Option<&str>,
    number: impl Display,
) {
    out.push_str(name);
    out.push_str(suffix);
    let labels = labels.iter().map(|(label, value)| (*label, &**value));
    let labels = labels.chain(bound.map(|bound| ("le", bound)));
    let mut is_open = false;
    for (label, value) in labels {
        out.push(if is_open { ',' } else { '{' });
        is_open = true;
        out.push_str(label);
        out.push_str("=\"");
        push_escaped(out, value);
        out.push('"');
    }
    if is_open {
        out.push('}');
    }
    push(out, format_args!(" {number}\n"));
}

fn push_escaped(out: &mut String, value: &str) {
    let mut rest = value;
    while let Some(at) = rest.find(['\\', '"', '\n']) {
        let (plain, special) = rest.split_at(at);
        out.push_str(plain);
        let mut characters = special.chars();
        out.push_str(match characters.next() {
            Some('\\') => "\\\\",
            Some('"') => "\\\"",
            _ => "\\n",
        });
        rest = characters.as_str();
    }
    out.push_str(rest);
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a `String` cannot fail.
    let _ = out.write_fmt(text);
}
