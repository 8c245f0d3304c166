//! Tokens and the items made of them: what every macro of this crate reads.

mod tokens;
mod mistakes;
mod item;
mod location;
#[cfg(test)]
mod random_tokens;

pub(crate) use item::{
    Argument, ArgumentKind, Attribute, Block, Function, Item, Kind, is_variable,
};
pub(crate) use location::Location;
pub(crate) use mistakes::{Mistakes, nearest};
#[cfg(test)]
pub(crate) use random_tokens::tokens;
pub(crate) use tokens::{Angles, Cursor, at, is_ident, is_punct, mentions, regroup, split_commas};
