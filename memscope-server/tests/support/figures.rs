//! The figures of a text in the format of `OpenMetrics`, as a reader sees them.

use std::collections::BTreeMap;

use regex::{Captures, Regex};

/// A series: its name in text, and its labels.
pub(crate) type Series = (String, BTreeMap<String, String>);
pub(crate) type Figures = BTreeMap<Series, f64>;

/// A label with its value. Bounds are written in one way, as libraries write numbers differently.
pub(crate) fn label(name: &str, value: &str) -> (String, String) {
    let bound = value.parse::<f64>().ok().filter(|_| name == "le");
    (name.to_owned(), bound.map_or(value.to_owned(), |bound| bound.to_string()))
}

fn unescaped(value: &str) -> String {
    let pattern = Regex::new(r"\\(.)").expect("a pattern");
    let character = |found: &Captures<'_>| found[1].replace('n', "\n");
    pattern.replace_all(value, character).into_owned()
}

/// The figures of a text in the format of `OpenMetrics`.
pub(crate) fn figures(text: &str) -> Figures {
    let pattern = Regex::new(r#"([a-z_]+)="((?:\\.|[^"\\])*)""#).expect("a pattern");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let figures = lines.map(|line| {
        let (series, figure) = line.rsplit_once(' ').expect("a figure");
        let labels = pattern.captures_iter(series).map(|it| label(&it[1], &unescaped(&it[2])));
        let name = series.split('{').next().expect("a name");
        ((name.to_owned(), labels.collect()), figure.parse().expect("a number"))
    });
    figures.collect()
}
