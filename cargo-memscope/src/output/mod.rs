//! Prints rows on a terminal: views, colours, widths and escapes.

mod terminal;
mod escape;
mod source_line;
mod hint;
mod list_view;
pub(crate) mod tree_view;
pub(crate) mod diff_view;
pub(crate) mod growth_view;

pub(crate) use escape::escape_future;
pub(crate) use hint::naming;
pub(crate) use list_view::{List, head};
pub(crate) use source_line::SourceFiles;
pub(crate) use terminal::{BAD, NAME, PLACE, Width};
