//! Where tasks wait, by the layouts of their cells, in memory that stands still.

use std::collections::HashMap;

use memscope_layout::TaskLayout;

use super::{
    still_walk::{self, Found, Passed, StillMemory},
    tree,
};
use crate::{
    accounting::FutureType,
    model::{AwaitFrame, AwaitPoint},
};

/// The async backtraces that were made so far, by their number.
#[derive(Debug, Default)]
pub(crate) struct StillPlaces(HashMap<u32, Option<(Vec<AwaitFrame>, String)>>);

impl StillPlaces {
    /// Where a task waits whose cell is at this address, or why that is not known. `future`: stands
    /// for the type of its future.
    pub(crate) fn find(
        &mut self,
        memory: &mut impl StillMemory,
        cell: usize,
        layout: &TaskLayout,
        future: &'static FutureType,
    ) -> Result<(AwaitPoint, Vec<Passed>), String> {
        let found = still_walk::walk_cell(memory, cell, layout, future);
        match found.ok_or_else(|| "its future is gone".to_owned())? {
            Found::At(number, passed) => {
                self.point(number).map(|point| (point, passed)).ok_or_else(cannot)
            }
            Found::NotPolledYet => Err("it was not polled yet".to_owned()),
            Found::No => Err(cannot()),
        }
    }

    fn point(&mut self, number: u32) -> Option<AwaitPoint> {
        let made = self.0.entry(number).or_insert_with(|| {
            let (mut frames, stops) = tree::backtrace(number)?;
            for frame in &mut frames {
                frame.locals = Vec::new();
            }
            Some((frames, stops))
        });
        let (frames, stops) = made.clone()?;
        Some(AwaitPoint {
            frames,
            stops,
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

fn cannot() -> String {
    "there are too many places, or no memory".to_owned()
}
