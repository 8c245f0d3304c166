//! The gaps between parts of a range.

use std::{iter, ops::Range};

/// The parts of `all` that lie in none of the ranges `taken`, in order.
pub(crate) fn gaps(
    all: Range<usize>,
    taken: impl IntoIterator<Item = Range<usize>>,
) -> Vec<Range<usize>> {
    let mut taken: Vec<Range<usize>> = taken.into_iter().filter(|it| !it.is_empty()).collect();
    taken.sort_unstable_by_key(|it| it.start);
    let mut left = Vec::new();
    let mut at = all.start;
    let end = all.end..all.end;
    for it in taken.into_iter().chain(iter::once(end)) {
        let end = it.start.min(all.end);
        if at < end {
            left.push(at..end);
        }
        at = at.max(it.end);
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_between_is_the_rest() {
        assert_eq!(gaps(0..50, [30..40, 10..20, 15..30, 5..5]), [0..10, 40..50]);
        let left = |taken: &[Range<usize>]| -> Vec<(usize, usize)> {
            gaps(4..10, taken.iter().cloned()).iter().map(|it| (it.start, it.end)).collect()
        };
        assert_eq!(left(&[8..9, 5..7, 6..7]), [(4, 5), (7, 8), (9, 10)]);
        assert_eq!(left(&[0..6, 8..20]), [(6, 8)]);
        assert_eq!(left(&[0..2, 20..30]), [(4, 10)]);
        assert_eq!(left(&[0..2, 0..30]), []);
        assert_eq!(left(&[]), [(4, 10)]);
    }
}
