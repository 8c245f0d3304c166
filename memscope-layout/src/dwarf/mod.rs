//! DWARF debug information: units, their entries, and the state machines and types described there.

mod units;
mod scan;
mod types;
mod variants;
mod contents;
mod flags;
mod lists;
mod limits;
mod poll_functions;
mod shapes;
mod state_machine;
mod select_closures;
mod sinks;
mod same_types;
mod tasks;
mod impls;

pub(crate) use impls::impls;
pub(crate) use poll_functions::PollFunctions;
pub(crate) use same_types::is_same;
pub(crate) use scan::{ScanResult, abbreviations, has_types};
pub(crate) use select_closures::select_closures;
pub(crate) use shapes::FutureTypes;
pub(crate) use state_machine::StateMachine;
pub(crate) use tasks::tasks;
pub(crate) use types::Types;
pub(crate) use units::{EntryRef, UnitHead, Units};
