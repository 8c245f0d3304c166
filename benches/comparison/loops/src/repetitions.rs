//! How long is measured.

use std::{
    env,
    time::{Duration, Instant},
};

use crate::Measurement;

/// Medians of that many chunks.
const CHUNKS: usize = 11;
const CHUNKS_QUICK: usize = 3;
/// What all chunks together may take, before their operations are cut down.
const BUDGET: Duration = Duration::from_secs(2);
const BUDGET_QUICK: Duration = Duration::from_secs(1);

/// Whether only to see that it works.
pub(crate) fn is_quick() -> bool {
    env::args().any(|word| word == "--quick")
}

/// Nanoseconds for each operation, as the median of a few chunks of so many operations; the first
/// chunk, a small one, warms up and says whether so many are too many.
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
