//! The rows of something later minus those of something earlier.

use std::{collections::HashMap, hash::Hash};

use serde::{Deserialize, Serialize};

use crate::primitives::reserve;

/// Which of two snapshots, or of two graphs, has a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// Both have it.
    #[default]
    Both,
    /// Only the later one has it.
    New,
    /// Only the earlier one has it.
    Gone,
}

/// The later number minus the earlier one.
pub(super) fn change(now: u64, then: u64) -> i64 {
    narrow(i128::from(now) - i128::from(then))
}

fn narrow(change: i128) -> i64 {
    i64::try_from(change).unwrap_or(if change < 0 { i64::MIN } else { i64::MAX })
}

/// The later rows minus the earlier ones, by key, in the order of their first appearance. Rows with
/// the same key are added up.
pub(super) struct Changes<K, const N: usize> {
    places: HashMap<K, usize>,
    rows: Vec<Row<K, N>>,
}

struct Row<K, const N: usize> {
    key: K,
    is_now: bool,
    was_then: bool,
    columns: [i128; N],
}

impl<K: Copy + Eq + Hash, const N: usize> Changes<K, N> {
    pub(super) fn of(
        now: impl Iterator<Item = (K, [u64; N])>,
        then: impl Iterator<Item = (K, [u64; N])>,
    ) -> impl Iterator<Item = (K, Presence, [i64; N])> {
        let mut changes = Self { places: HashMap::new(), rows: Vec::new() };
        for (key, columns) in now {
            if let Some(row) = changes.row(key) {
                row.add(columns, 1).is_now = true;
            }
        }
        for (key, columns) in then {
            if let Some(row) = changes.row(key) {
                row.add(columns, -1).was_then = true;
            }
        }
        changes.rows.into_iter().filter_map(|row| {
            let presence = match (row.is_now, row.was_then) {
                (true, true) => Presence::Both,
                (true, false) => Presence::New,
                (false, _) => Presence::Gone,
            };
            let columns = row.columns.map(narrow);
            (presence != Presence::Both || columns.iter().any(|column| *column != 0))
                .then_some((row.key, presence, columns))
        })
    }

    /// The row of a key, made if need be. Returns `None` if there is no memory for it.
    fn row(&mut self, key: K) -> Option<&mut Row<K, N>> {
        if !self.places.contains_key(&key)
            && (!reserve::room(&mut self.places) || !reserve::grow(&mut self.rows))
        {
            reserve::leave_out(1);
            return None;
        }
        let place = *self.places.entry(key).or_insert_with(|| {
            self.rows.push(Row { key, is_now: false, was_then: false, columns: [0; N] });
            self.rows.len() - 1
        });
        self.rows.get_mut(place)
    }
}

impl<K, const N: usize> Row<K, N> {
    fn add(&mut self, columns: [u64; N], sign: i128) -> &mut Self {
        for (sum, column) in self.columns.iter_mut().zip(columns) {
            *sum += sign * i128::from(column);
        }
        self
    }
}
