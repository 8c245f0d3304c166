//! The syntax of Rust items: a cursor over tokens, and parsers for the parts that the macros read.

mod tokens;
mod mistakes;
mod attribute;
mod argument;
mod function;
mod block;
mod item;
mod location;
pub(crate) mod byte_size;
mod options;
#[cfg(test)]
mod random_tokens;

pub(crate) use argument::{Argument, ArgumentKind, is_variable};
pub(crate) use attribute::Attribute;
pub(crate) use block::Block;
pub(crate) use function::Function;
pub(crate) use item::{Item, Kind};
pub(crate) use location::Location;
pub(crate) use mistakes::{Mistakes, nearest};
pub(crate) use options::for_each_option;
#[cfg(test)]
pub(crate) use random_tokens::tokens;
pub(crate) use tokens::{
    Angles, Cursor, is_braces, is_ident, is_punct, mentions, mixed_site_at, regroup, split_commas,
};
