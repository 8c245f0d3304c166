//! DWARF debug information: from units and entries to state machines and the types around futures.

mod units;
mod scan;
mod types;
mod variants;
mod poll_functions;
mod state_machine;
mod shapes;

pub(crate) use poll_functions::Bodies;
pub(crate) use scan::{Body, Found, abbreviations, has_types};
pub(crate) use shapes::FutureTypes;
pub(crate) use state_machine::Machine;
pub(crate) use types::Types;
pub(crate) use units::{At, Head, Units, text};
