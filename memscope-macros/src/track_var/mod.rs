//! `track_var!`: parses a list of place expressions and generates a visit to each place.

mod expand;
mod place_expr;
mod unparse;

pub(crate) use expand::track_var;
