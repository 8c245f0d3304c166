//! `track_var!`: parses a list of place expressions and generates a visit to each place.

mod unparse;
mod place_expr;
mod expand;

pub(crate) use expand::track_var;
