//! Medians, quartiles and confidence.

/// The middle of a list and its quarters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quartiles {
    /// A quarter is below.
    pub lower: f64,
    /// Half is below.
    pub median: f64,
    /// Three quarters are below.
    pub upper: f64,
}

impl Quartiles {
    /// `None` of an empty list.
    pub fn of(mut figures: Vec<f64>) -> Option<Self> {
        figures.sort_by(f64::total_cmp);
        let lower = quantile(&figures, 0.25)?;
        Some(Self { lower, median: quantile(&figures, 0.5)?, upper: quantile(&figures, 0.75)? })
    }
}

/// A quantile of a sorted list, between two of its figures where it falls there; `None` of an empty
/// list.
pub fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let place = share * (sorted.len().checked_sub(1)? as f64);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place in the list"
    )]
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    Some(sorted[below] + (sorted[above] - sorted[below]) * place.fract())
}

/// Between which two figures the median of what they are drawn from is, with a confidence of at
/// least 95 %, whatever their distribution: by order statistics. With fewer than six figures there
/// is no such pair, and it is `None`.
pub fn median_interval(mut figures: Vec<f64>) -> Option<(f64, f64)> {
    figures.sort_by(f64::total_cmp);
    let count = figures.len();
    // How many of `count` coins show heads: P(fewer than `rank`) is the chance that the median is
    // left of the interval.
    let mut chance = 0.5f64.powi(i32::try_from(count).ok()?);
    let mut outside = 0.0;
    let mut rank = None;
    for heads in 0..count / 2 {
        outside += chance;
        if outside > 0.025 {
            break;
        }
        rank = Some(heads);
        chance *= (count - heads) as f64 / (heads + 1) as f64;
    }
    let rank = rank?;
    Some((figures[rank], figures[count - 1 - rank]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_of_five() {
        let quartiles = Quartiles::of(vec![5.0, 1.0, 3.0, 2.0, 4.0]);
        assert_eq!(quartiles, Some(Quartiles { lower: 2.0, median: 3.0, upper: 4.0 }));
        assert_eq!(Quartiles::of(Vec::new()), None);
    }

    #[test]
    fn a_quantile_may_fall_between_two() {
        assert_eq!(quantile(&[1.0, 2.0], 0.5), Some(1.5));
    }

    /// The textbook's ranks: 1 of 6, 2 of 9 (and 8), 6 of 20 (and 15).
    #[test]
    fn the_interval_of_the_median_has_the_textbooks_ranks() {
        let interval = |count: u32| median_interval((1..=count).map(f64::from).collect());
        assert_eq!(interval(5), None);
        assert_eq!(interval(6), Some((1.0, 6.0)));
        assert_eq!(interval(9), Some((2.0, 8.0)));
        assert_eq!(interval(20), Some((6.0, 15.0)));
    }
}
