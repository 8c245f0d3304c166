//! Turns a reading into the rows of a snapshot.

pub(crate) mod site_names;
pub(crate) mod events;
pub(crate) mod cross_frees;
pub(crate) mod variables;
pub(crate) mod process;
pub(crate) mod sites;
mod over_budget;
mod stacks;
#[cfg(feature = "layout")]
mod await_points;
mod tasks;

use super::capture::Reading;
use crate::{
    model::{AwaitPoint, AwaitPoints},
    primitives::MapByIndex,
};

pub(crate) use cross_frees::hand_overs;
pub(crate) use events::events;
pub(crate) use over_budget::over_budget;
pub(crate) use process::{process, runtime, shared};
pub(crate) use site_names::SiteNames;
pub(crate) use sites::sites;
pub(crate) use stacks::{MOST_STACKS, stacks};
pub(crate) use tasks::{Tasks, task};
pub(crate) use variables::{variable_sites, variables};

/// Where tasks wait: the rows, the index of a row by the number of its node, and whether that is
/// known at all.
pub(crate) fn await_points(
    reading: &Reading,
    measured: bool,
) -> (Vec<AwaitPoint>, MapByIndex<u32>, AwaitPoints) {
    #[cfg(feature = "layout")]
    {
        let (rows, places) = await_points::await_points(reading, measured);
        (rows, places, await_points::measured())
    }
    #[cfg(not(feature = "layout"))]
    {
        let _ = (reading, measured);
        (Vec::new(), MapByIndex::default(), AwaitPoints::Off)
    }
}
