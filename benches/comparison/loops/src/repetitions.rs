//! How often an operation is repeated for one measurement.

use std::{
    env,
    time::{Duration, Instant},
};

use crate::Measurement;

/// A figure is the median of this many chunks.
const CHUNKS: usize = 11;
const CHUNKS_QUICK: usize = 3;
/// How long all chunks together may take. Above it each chunk has fewer operations.
const BUDGET: Duration = Duration::from_secs(2);
const BUDGET_QUICK: Duration = Duration::from_secs(1);

/// Whether this run only checks that the loops work.
pub(crate) fn is_quick() -> bool {
    env::args().any(|word| word == "--quick")
}

/// Measures nanoseconds per operation, as the median of a few chunks of `operations` each. A small
/// chunk comes first. It warms up, and tells whether the chunks would take too long.
pub(crate) fn per_operation(operations: u32, mut chunk: impl FnMut(u32)) -> Measurement {
    let (chunks, budget) = if is_quick() { (CHUNKS_QUICK, BUDGET_QUICK) } else { (CHUNKS, BUDGET) };
    let mut timed = |operations: u32| {
        let start = Instant::now();
        chunk(operations);
        start.elapsed().as_secs_f64() / f64::from(operations)
    };
    let wanted = if is_quick() { (operations / 20).max(1) } else { operations };
    let warm = timed((wanted / 20).max(1));
    let affordable = budget.as_secs_f64() / (warm.max(1e-12) * chunks as f64);
    let is_capped = affordable < f64::from(wanted);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 1 and `wanted`"
    )]
    let operations = if is_capped { affordable.max(1.0) as u32 } else { wanted };
    let mut figures: Vec<f64> = (0..chunks).map(|_| timed(operations) * 1e9).collect();
    figures.sort_by(f64::total_cmp);
    let operations = u64::from(operations) * chunks as u64;
    Measurement { value: figures[chunks / 2], operations, is_capped }
}
