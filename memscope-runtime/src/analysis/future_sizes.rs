//! The sizes of state machines: the largest and the average of each site, and what makes them
//! large.

use std::{cmp::Reverse, collections::BTreeMap};

use serde::{Deserialize, Serialize};

use super::{
    allocations::{AllocationInfo, AllocationKind},
    leaks::at,
};
use crate::{
    model::{HumanBytes, Place, human::count},
    primitives::order,
};

// PERF: rarely used functions are `#[inline]`, so only programs that call them spend build time on
// them.

/// The largest future that Tokio spawns as it is. Tokio first moves a larger one into a box of its
/// own.
///
/// In Tokio 1 (`BOX_FUTURE_THRESHOLD`) it is 16,384 bytes in a release build, and 2,048 with debug
/// assertions. Tokio counts the wrapper that tracks a future as a part of it.
pub(crate) const TOKIO_LIMIT_BYTES: usize = if cfg!(debug_assertions) { 2_048 } else { 16_384 };
/// The report mentions arguments from this many bytes on. Below it a pointer to them saves little.
const LARGE_ARGUMENTS: usize = 512;

/// The state machines of one site's living tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FutureStates {
    /// The site.
    pub place: Place,
    /// How many of its tasks are alive.
    pub count: usize,
    /// The bytes of their state machines together.
    pub total: usize,
    /// `total ÷ count`, rounded down.
    pub average: usize,
    /// Bytes of the largest.
    pub largest: usize,
    /// Bytes of the arguments passed by value to one of them; `None` where `#[tracked]` did not
    /// make them.
    pub argument_bytes: Option<usize>,
    /// How many are larger than Tokio spawns without a box of its own: see
    /// [`tokio_limit_bytes`](AsyncAnalysisReport::tokio_limit_bytes).
    pub over_tokio_limit: usize,
    /// How many Tokio is known to have put into such a box.
    pub boxed_by_tokio: usize,
}

/// The sizes of all state machines that were analysed; `Display` prints them as a table, largest
/// first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsyncAnalysisReport {
    /// How many state machines.
    pub async_allocation_count: usize,
    /// Their bytes together.
    pub future_state_overhead: usize,
    /// `future_state_overhead ÷ async_allocation_count`, rounded down; 0 if there is none.
    pub average_future_size: usize,
    /// Bytes of the largest; 0 if there is none.
    pub largest_future_size: usize,
    /// One row a site, the largest total first.
    pub by_site: Vec<FutureStates>,
    /// The largest future, in bytes, that Tokio 1 spawns without a box of its own: 16,384, or 2,048
    /// with debug assertions.
    pub tokio_limit_bytes: usize,
}

/// Analyses the state machines among allocations.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsyncAnalyzer {
    _private: (),
}

impl AsyncAnalyzer {
    /// Makes an analyser.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sums up the state machines, in total and by site. Variables are skipped.
    ///
    /// ```
    /// use memscope_runtime::{analysis::AsyncAnalyzer, async_memory::{get_memory_snapshot, track}};
    ///
    /// let large = track(async {
    ///     let page = [1u8; 4096];
    ///     std::future::ready(()).await;
    ///     page.len()
    /// });
    /// let allocations = get_memory_snapshot().allocations();
    /// let report = AsyncAnalyzer::new().analyze_future_states(&allocations);
    /// assert_eq!(report.async_allocation_count, 1);
    /// assert!(report.largest_future_size >= 4096, "the page is alive at the await");
    /// # drop(large);
    /// ```
    #[inline]
    pub fn analyze_future_states(&self, allocations: &[AllocationInfo]) -> AsyncAnalysisReport {
        let mut by_place: BTreeMap<&Place, FutureStates> = BTreeMap::new();
        for machine in allocations.iter().filter(|it| it.kind == AllocationKind::StateMachine) {
            by_place
                .entry(&machine.place)
                .or_insert_with(|| FutureStates::none(machine.place.clone()))
                .add(machine);
        }
        let mut by_site: Vec<FutureStates> = by_place.into_values().collect();
        for row in &mut by_site {
            row.average = row.total / row.count.max(1);
        }
        order::by_key(&mut by_site, |row| Reverse((row.total, row.largest)));
        let sum = |field: fn(&FutureStates) -> usize| {
            by_site.iter().map(field).fold(0, usize::saturating_add)
        };
        let (machines, total) = (sum(|row| row.count), sum(|row| row.total));
        AsyncAnalysisReport {
            async_allocation_count: machines,
            future_state_overhead: total,
            average_future_size: total / machines.max(1),
            largest_future_size: by_site.iter().map(|row| row.largest).max().unwrap_or(0),
            by_site,
            tokio_limit_bytes: TOKIO_LIMIT_BYTES,
        }
    }
}

impl FutureStates {
    fn none(place: Place) -> Self {
        Self {
            place,
            count: 0,
            total: 0,
            average: 0,
            largest: 0,
            argument_bytes: None,
            over_tokio_limit: 0,
            boxed_by_tokio: 0,
        }
    }

    fn add(&mut self, machine: &AllocationInfo) {
        self.count += 1;
        self.total = self.total.saturating_add(machine.size);
        self.largest = self.largest.max(machine.size);
        self.argument_bytes = self.argument_bytes.max(machine.argument_bytes);
        self.over_tokio_limit += usize::from(machine.size > TOKIO_LIMIT_BYTES);
        self.boxed_by_tokio += usize::from(machine.boxed_by_tokio == Some(true));
    }

    /// Says what makes these state machines large, and what to do about it.
    #[inline]
    pub(crate) fn sentences(&self, limit: usize) -> Vec<String> {
        let place = at(&self.place);
        let mut sentences = Vec::new();
        if let Some(arguments) = self.argument_bytes.filter(|&bytes| bytes >= LARGE_ARGUMENTS) {
            sentences.push(format!(
                "{place}: {} of arguments are passed by value into each {}; pass them in a `Box` or `Arc`",
                human(arguments),
                human(self.largest),
            ));
        }
        let limit = human(limit);
        if self.boxed_by_tokio != 0 {
            sentences.push(format!(
                "{place}: larger than the {limit} that Tokio spawns as they are, so {} got a box of their own; box large values that live across an await",
                count(self.boxed_by_tokio as u64),
            ));
        } else if self.over_tokio_limit != 0 {
            sentences.push(format!(
                "{place}: {} larger than {limit}: Tokio would put them into a box of their own when they are spawned",
                count(self.over_tokio_limit as u64),
            ));
        }
        sentences
    }
}

pub(crate) fn human(bytes: usize) -> String {
    HumanBytes(bytes as u64).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::analysis::fixture::{site, snapshot, task};

    fn report(sites: &[Value], tasks: &[Value]) -> AsyncAnalysisReport {
        let snapshot = snapshot(&json!({ "sites": sites, "tasks": tasks }));
        AsyncAnalyzer::new().analyze_future_states(&snapshot.allocations())
    }

    #[test]
    fn nothing_is_zero_and_not_a_panic() {
        let report = AsyncAnalyzer::new().analyze_future_states(&[]);
        let zeros = [
            report.async_allocation_count,
            report.future_state_overhead,
            report.average_future_size,
            report.largest_future_size,
        ];
        assert_eq!(zeros, [0; 4]);
        assert_eq!(
            report.to_string(),
            "state machines of living tasks: 0, 0 B together, 0 B on average, 0 B the largest\n"
        );
    }

    #[test]
    fn sums_are_by_site_and_largest_first() {
        let size = |bytes: u64| json!({ "future_size_bytes": bytes });
        let tasks = [
            task(1, "small", &size(100)),
            task(2, "large", &size(1000)),
            task(3, "small", &size(51)),
            task(4, "gone", &json!({ "state": "cancelled", "future_size_bytes": 9999 })),
        ];
        let report = report(&[], &tasks);
        assert_eq!((report.async_allocation_count, report.future_state_overhead), (3, 1151));
        assert_eq!((report.average_future_size, report.largest_future_size), (383, 1000));
        let rows: Vec<_> = report
            .by_site
            .iter()
            .map(|row| (row.place.name.as_str(), row.count, row.total, row.average, row.largest))
            .collect();
        assert_eq!(rows, [("large", 1, 1000, 1000, 1000), ("small", 2, 151, 75, 100)]);
    }

    #[test]
    fn what_makes_them_large_is_said() {
        let (limit, over) = (TOKIO_LIMIT_BYTES, TOKIO_LIMIT_BYTES as u64 + 1);
        let sites = [
            site("upload", &json!({ "argument_bytes": 4096, "spawned": 2, "boxed_by_tokio": 2 })),
            site("plain", &json!({})),
        ];
        let tasks = [
            task(1, "upload", &json!({ "future_size_bytes": 20_000, "cell_bytes": 128 })),
            task(2, "upload", &json!({ "future_size_bytes": 20_000, "cell_bytes": 128 })),
            task(3, "plain", &json!({ "future_size_bytes": over })),
        ];
        let report = report(&sites, &tasks);
        assert_eq!(report.tokio_limit_bytes, limit);
        let shown = report.to_string();
        let limit = human(limit);
        for sentence in [
            "upload (src/upload.rs:7): 4.0 KiB of arguments are passed by value into each 19.5 KiB"
                .to_owned(),
            format!(
                "upload (src/upload.rs:7): larger than the {limit} that Tokio spawns as they are, so 2 got a box"
            ),
            format!("plain (src/plain.rs:7): 1 larger than {limit}: Tokio would"),
            "not measured".to_owned(),
        ] {
            assert!(shown.contains(&sentence), "{sentence}\n{shown}");
        }
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        let size = json!({ "future_size_bytes": u64::MAX });
        let report = report(&[], &[task(1, "a", &size), task(2, "a", &size), task(3, "b", &size)]);
        assert_eq!(report.future_state_overhead, usize::MAX);
        report.to_string();
    }
}
