//! Arithmetic on figures that may come from a file, with any values.

pub(crate) const MIB: f64 = 1024.0 * 1024.0;

/// Bytes as `f64`: exact up to 8 PiB.
#[expect(clippy::cast_precision_loss, reason = "no program has 8 PiB")]
pub(crate) fn float(value: u64) -> f64 {
    value as f64
}

/// A saturating sum.
pub(crate) fn sum(figures: impl Iterator<Item = u64>) -> u64 {
    figures.fold(0, u64::saturating_add)
}

/// `part / whole`; 0 if `whole` is 0.
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { float(part) / float(whole) }
}
