//! Cross-task frees, blocks that one site allocates and another frees: the largest cells of that
//! matrix.

use std::cmp::Reverse;

use super::MOST_HAND_OVERS;
use crate::{model::HandOver, primitives::order};

pub(super) fn largest(hand_overs: &[HandOver]) -> Vec<HandOver> {
    let mut rows: Vec<&HandOver> = hand_overs.iter().collect();
    order::by_key(&mut rows, |row| (Reverse((row.bytes, row.blocks)), &row.from, &row.to));
    rows.into_iter().take(MOST_HAND_OVERS).cloned().collect()
}
