//! The table of the services.

use std::fmt::Write;

use comparison::statistics::{Quartiles, median_interval};

use crate::{contender::Service, rounds::Round};

/// The table. `instructions` of each service, `None` where they are not counted; empty if none are.
pub(crate) fn of(
    services: &[Service],
    rounds: &[Vec<Round>],
    instructions: &[Option<f64>],
) -> String {
    let mut heads = vec![
        "service",
        "knows of memory",
        "requests per CPU second",
        "CPU per request, ratio",
        "p99, µs",
        "p99, ratio",
        "resident MiB",
        "resident, ratio",
    ];
    if !instructions.is_empty() {
        heads.extend(["instructions per request", "more, ratio"]);
    }
    let mut text = format!("| {} |\n{}|\n", heads.join(" | "), "|---".repeat(heads.len()));
    for (index, Service { name, knows, base, .. }) in services.iter().enumerate() {
        let figures = |figure: fn(&Round) -> f64| {
            figures(rounds.iter().map(|round| figure(&round[index])).collect())
        };
        let ratios = |figure: fn(&Round) -> f64| {
            let ratio = |round: &Vec<Round>| figure(&round[index]) / figure(&round[*base]);
            if index == *base {
                "1".to_owned()
            } else {
                ratio_of(rounds.iter().map(ratio).collect())
            }
        };
        let _ = write!(
            text,
            "| {name} | {knows} | {} | {} | {} | {} | {} | {} |",
            figures(|round| 1e9 / round.cpu_ns_per_request),
            ratios(|round| round.cpu_ns_per_request),
            figures(|round| round.p99_ns / 1e3),
            ratios(|round| round.p99_ns),
            figures(|round| round.resident_bytes / f64::from(1 << 20)),
            ratios(|round| round.resident_bytes),
        );
        match (instructions.get(index), instructions.get(*base)) {
            (Some(Some(count)), Some(Some(bare))) => {
                let _ = write!(text, " {count:.0} | {:+.0}, {:.4} |", count - bare, count / bare);
            }
            (Some(_), _) => text.push_str(" not counted | – |"),
            (None, _) => {}
        }
        text.push('\n');
    }
    text
}

/// The median of some figures, and their quartiles.
fn figures(figures: Vec<f64>) -> String {
    Quartiles::of(figures).map_or("–".to_owned(), |Quartiles { lower, median, upper }| {
        let digits = if median < 1_000.0 { 2 } else { 0 };
        format!("{median:.digits$} ({lower:.digits$}–{upper:.digits$})")
    })
}

/// The median of ratios and its confidence interval. One that contains 1 is no difference.
fn ratio_of(ratios: Vec<f64>) -> String {
    let Some(Quartiles { median, .. }) = Quartiles::of(ratios.clone()) else {
        return "–".to_owned();
    };
    match median_interval(ratios) {
        Some((lower, upper)) if (lower..=upper).contains(&1.0) => {
            format!("even: {median:.3} ({lower:.3}–{upper:.3})")
        }
        Some((lower, upper)) => format!("**{median:.3}** ({lower:.3}–{upper:.3})"),
        None => format!("{median:.3} (too few rounds)"),
    }
}

#[cfg(test)]
mod tests {
    use super::ratio_of;

    #[test]
    fn a_ratio_whose_interval_contains_one_is_even() {
        assert_eq!(ratio_of(vec![1.1; 8]), "**1.100** (1.100–1.100)");
        assert_eq!(ratio_of(vec![0.9, 1.0, 1.0, 1.1, 0.9, 1.2]), "even: 1.000 (0.900–1.200)");
        assert_eq!(ratio_of(vec![1.1; 3]), "1.100 (too few rounds)");
    }
}
