//! Scales estimates down to an exact sum.

use super::Estimate;

/// A figure that can be made smaller.
pub(super) trait Scale {
    fn bytes(&mut self) -> &mut u64;
}

impl Scale for Estimate<'_> {
    fn bytes(&mut self) -> &mut u64 {
        &mut self.bytes
    }
}

impl<T: Scale> Scale for &mut T {
    fn bytes(&mut self) -> &mut u64 {
        (**self).bytes()
    }
}

/// Scales the figures down so that their sum is `exact`, each in proportion. Figures with a sum
/// that does not exceed `exact` stay as they are.
///
/// Each is rounded down. What is then missing is added to the first figures that lost a fraction,
/// one to each, as the largest figures stand first.
pub(super) fn fit<T: Scale>(figures: &mut [T], exact: u64) {
    let sum: u128 = figures.iter_mut().map(|it| u128::from(*it.bytes())).sum();
    if sum <= u128::from(exact) {
        return;
    }
    let mut left = exact;
    let mut has_fraction = vec![false; figures.len()];
    for (figure, has_fraction) in figures.iter_mut().zip(&mut has_fraction) {
        let figure = figure.bytes();
        let (whole, fraction) = scaled(*figure, exact, sum);
        // The quotient is smaller than the figure, as `exact` is smaller than the sum.
        *figure = whole;
        *has_fraction = fraction;
        left -= whole;
    }
    for (figure, _) in figures.iter_mut().zip(has_fraction).filter(|it| it.1) {
        if left == 0 {
            break;
        }
        *figure.bytes() += 1;
        left -= 1;
    }
}

/// Returns `figure * exact / sum`, and whether that has a fraction.
fn scaled(figure: u64, exact: u64, sum: u128) -> (u64, bool) {
    let product = u128::from(figure) * u128::from(exact);
    (u64::try_from(product / sum).unwrap_or(u64::MAX), product % sum != 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Scale for u64 {
        fn bytes(&mut self) -> &mut u64 {
            self
        }
    }

    #[test]
    fn each_figure_is_scaled_in_proportion_and_the_first_get_what_rounding_leaves() {
        let mut figures = [60_u64, 30, 0, 10];
        fit(&mut figures, 100);
        assert_eq!(figures, [60, 30, 0, 10], "they do not exceed it");
        fit(&mut figures, 50);
        assert_eq!(figures, [30, 15, 0, 5]);
        fit(&mut figures, 7);
        assert_eq!(figures, [5, 2, 0, 0]);
        fit(&mut figures, 0);
        assert_eq!(figures, [0; 4]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_sum_is_exact_and_no_figure_grows(
            figures in prop::collection::vec(prop_oneof![0..9_u64, any::<u64>(), Just(u64::MAX)], 0..20),
            exact in prop_oneof![0..9_u64, any::<u64>()],
        ) {
            let mut scaled = figures.clone();
            fit(&mut scaled, exact);
            let sum = |figures: &[u64]| figures.iter().map(|it| u128::from(*it)).sum::<u128>();
            prop_assert_eq!(sum(&scaled), sum(&figures).min(u128::from(exact)));
            for (scaled, figure) in scaled.iter().zip(&figures) {
                prop_assert!(scaled <= figure);
            }
        }
    }
}
