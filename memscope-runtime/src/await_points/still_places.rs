//! Where tasks wait, by the layouts of their cells, in memory that stands still.

use std::collections::HashMap;

use memscope_layout::TaskLayout;

use super::{
    still_walk::{self, Found, Passed, StillMemory, StillPlace},
    tree,
    walk_end::WalkEnd,
};
use crate::{
    accounting::FutureType,
    model::{AwaitBranch, AwaitPoint, await_point::FUTURES_IN},
};

/// The most futures of lists that a dump looks at.
const MOST_LISTED: usize = 1 << 17;

/// Where the tasks of a dump wait.
#[derive(Debug)]
pub(crate) struct StillPlaces {
    /// The async backtraces that were made so far, by their place.
    made: HashMap<StillPlace, Option<AwaitBranch>>,
    /// How many futures of lists may still be looked at.
    listed: usize,
}

impl Default for StillPlaces {
    fn default() -> Self {
        Self { made: HashMap::new(), listed: MOST_LISTED }
    }
}

impl StillPlaces {
    /// Where a task waits whose cell is at this address, or why that is not known; and the address
    /// of the queue that it waits in. `future`: stands for the type of its future.
    pub(crate) fn find(
        &mut self,
        memory: &mut impl StillMemory,
        cell: usize,
        layout: &TaskLayout,
        future: &'static FutureType,
    ) -> Result<(AwaitPoint, Vec<Passed>, Option<usize>), String> {
        let found = still_walk::walk_cell(memory, cell, layout, future, &mut self.listed);
        match found.ok_or_else(|| "its future is gone".to_owned())? {
            Found::At { place, passed, queue } => {
                self.point(place).map(|point| (point, passed, queue)).ok_or_else(cannot)
            }
            Found::NotPolledYet => Err("it was not polled yet".to_owned()),
            Found::No => Err(cannot()),
        }
    }

    fn point(&mut self, place: StillPlace) -> Option<AwaitPoint> {
        let made = self.made.entry(place).or_insert_with_key(|place| backtrace(place, 0));
        let AwaitBranch { frames, stops, branches, .. } = made.clone()?;
        Some(AwaitPoint {
            frames,
            stops,
            branches,
            tasks: 1,
            measured: false,
            live_bytes: 0,
            future_size_bytes: 0,
            timed: 0,
            waited_sum_ns: 0,
            waited_p50_ns: None,
            waited_p99_ns: None,
        })
    }
}

/// The backtrace of a place, below the node `above`.
fn backtrace(place: &StillPlace, above: u32) -> Option<AwaitBranch> {
    let (mut frames, mut stops) = tree::backtrace_below(place.node, above)?;
    for frame in &mut frames {
        frame.locals = Vec::new();
    }
    let mut branches: Vec<_> =
        place.branches.iter().filter_map(|branch| backtrace(branch, place.node)).collect();
    let all = place.branches.len() + place.over;
    let counted = format!("waits for {all} futures side by side");
    if let Some(rest) = stops.strip_prefix(&counted)
        && place.over != 0
        && place.over != all
    {
        stops = format!("waits for {} of {all} futures side by side{rest}", all - place.over);
    }
    let futures = place.futures;
    let end = tree::end_at(place.node);
    match end {
        Some(end) if place.has_none() => stops = end.without_futures().unwrap_or(stops),
        Some(WalkEnd::Listed { .. }) if !place.is_whole => {
            let list = stops.strip_prefix(FUTURES_IN).unwrap_or(&stops);
            stops = format!(
                "{FUTURES_IN}a list that could not all be looked at, {list}: each is one of \
                 several in it"
            );
        }
        _ => {}
    }
    if let Some(only) = branches.pop_if(|_| place.goes_on) {
        frames.extend(only.frames);
        let mut stops = only.stops;
        if let Some(several) = end.and_then(WalkEnd::several) {
            stops.extend(["; this is one of several in ", several]);
        }
        return Some(AwaitBranch { frames, stops, branches: only.branches, futures });
    }
    Some(AwaitBranch { frames, stops, branches, futures })
}

fn cannot() -> String {
    "there are too many places, or no memory".to_owned()
}
