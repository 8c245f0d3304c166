//! A Poisson process over allocated bytes: how far away the next sample is, and what a sample
//! stands for.
//!
//! Each byte is a sample point with the same small probability, independently of all others. So a
//! block of `s` bytes contains a point with the probability `p = 1 - exp(-s / mean)`. If a sampled
//! block counts as `1 / p` blocks, the expected sum is the true one (Horvitz and Thompson, 1952).
//!
//! The allocator runs this code, so it does not call the C library.

/// The next state of a generator of random numbers (xorshift64*, Vigna 2016); never 0.
#[inline]
pub(crate) fn next(state: u64) -> u64 {
    let mut state = if state == 0 { 1 } else { state };
    state ^= state >> 12;
    state ^= state << 25;
    state ^ state >> 27
}

/// The random number of a state.
#[inline]
fn random(state: u64) -> u64 {
    state.wrapping_mul(0x2545_f491_4f6c_dd1d)
}

/// A first state for each number: neighbours differ in half of their bits (`SplitMix64`).
pub(crate) fn seed(number: u64) -> u64 {
    let mut seed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    seed = (seed ^ seed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    seed = (seed ^ seed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    seed ^ seed >> 31
}

/// The number of whole bytes before the next sample point, exponentially distributed.
pub(crate) fn gap(state: u64, mean: u64) -> i64 {
    gap_of(random(state), mean)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a mean is below 2^53, and the cast saturates"
)]
fn gap_of(random: u64, mean: u64) -> i64 {
    (minus_ln(random) * mean as f64) as i64
}

/// `-ln(u)` for the `u` in (0, 1] that stands for this number; the error is below 2e-6.
#[expect(clippy::cast_precision_loss, reason = "53 random bits are enough")]
fn minus_ln(random: u64) -> f64 {
    // `u` is `m / 2^64` with `m` in 1..=2^64, and `m` is `mantissa * 2^exponent`.
    let number = random as f64 + 1.0;
    let bits = number.to_bits();
    let exponent = (bits >> 52) & 0x7ff;
    let mantissa = f64::from_bits(bits & ((1 << 52) - 1) | 1_023 << 52);
    // ln(m) = 2 artanh((m - 1) / (m + 1)), where the quotient is at most 1/3.
    let z = (mantissa - 1.0) / (mantissa + 1.0);
    let square = z * z;
    let series = 1.0 + square * (1.0 / 3.0 + square * (0.2 + square * (1.0 / 7.0 + square / 9.0)));
    let halvings = 1_023.0 + 64.0 - exponent as f64;
    halvings * std::f64::consts::LN_2 - 2.0 * z * series
}

/// `1 - exp(-x)` for `x` from 0 on; the relative error is below 1e-6.
fn one_minus_exp(x: f64) -> f64 {
    if x > 40.0 {
        return 1.0;
    }
    let (mut part, mut doublings) = (x, 0_u32);
    while part > 0.125 {
        part *= 0.5;
        doublings += 1;
    }
    let series = 1.0 - part / 2.0 * (1.0 - part / 3.0 * (1.0 - part / 4.0 * (1.0 - part / 5.0)));
    let mut value = part * series;
    // 1 - exp(-2y) = (1 - exp(-y)) * (1 + exp(-y)).
    for _ in 0..doublings {
        value *= 2.0 - value;
    }
    value
}

/// How many bytes a sampled byte stands for, in a piece of `bytes` bytes.
#[expect(clippy::cast_precision_loss, reason = "estimates are not exact")]
pub(crate) fn weight(bytes: u64, mean: u64) -> f64 {
    1.0 / one_minus_exp(bytes as f64 / mean.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::cast_precision_loss, reason = "as in the function")]
    fn the_logarithm_and_the_exponential_are_those_of_the_library() {
        let mut state = seed(0);
        for _ in 0..100_000 {
            state = next(state);
            let random = random(state) >> (state % 64);
            let true_one = -((random as f64 + 1.0) / 2f64.powi(64)).ln();
            assert!((minus_ln(random) - true_one).abs() < 2e-6, "{random}");
        }
        assert!(gap_of(u64::MAX, 1 << 40) == 0, "a gap is never negative");
        for x in (1..2_000_000).map(|step| f64::from(step) * 2e-5) {
            let true_one = -(-x).exp_m1();
            assert!((one_minus_exp(x) / true_one - 1.0).abs() < 1e-6, "{x}");
        }
        assert!((one_minus_exp(1e-12) / 1e-12 - 1.0).abs() < 1e-6);
    }

    #[test]
    #[expect(clippy::cast_precision_loss, reason = "a mean of many")]
    fn gaps_have_their_mean_and_their_deviation() {
        const COUNT: u32 = 1_000_000;
        let (mut state, mut sum, mut squares) = (seed(7), 0.0, 0.0);
        for _ in 0..COUNT {
            state = next(state);
            let gap = gap(state, 1 << 20) as f64 / f64::from(1 << 20);
            sum += gap;
            squares += gap * gap;
        }
        let mean = sum / f64::from(COUNT);
        let variance = squares / f64::from(COUNT) - mean * mean;
        assert!((mean - 1.0).abs() < 0.004, "{mean}");
        assert!((variance - 1.0).abs() < 0.02, "{variance}");
    }

    #[test]
    fn a_large_block_stands_for_itself_and_a_small_one_for_a_mean() {
        assert!((weight(1 << 30, 1 << 20) - 1.0).abs() < 1e-9);
        let small = weight(64, 1 << 20) * 64.0;
        assert!((small / f64::from(1 << 20) - 1.0).abs() < 1e-4, "{small}");
    }
}
