//! Call stacks as people want to read them: the program's own functions, by short names, and how
//! wrong the estimates may be.

mod changes;
mod error;
mod fold;

pub use changes::StackDiff;
pub(crate) use changes::stack_diffs;
pub(crate) use error::bound_bytes;
pub(crate) use fold::{Fold, Place, fold};
