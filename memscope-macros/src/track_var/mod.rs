//! `track_var!`: reads a list of place expressions and looks at each place.

mod expand;
mod place_expr;
mod unparse;

pub(crate) use expand::track_var;
