//! At which `.await` a pending future waits.
//!
//! `layouts` reads the program's debug information. `walk` follows the memory of a pending future
//! through the nodes of `tree`. `grow` makes a node when a walk first needs it, and `resolve`
//! decides how the walk goes on there: `asked` into an enum, `joined` where some futures may be
//! over, `listed` into those of a list, `tuple` where some are disabled; `besides` into a type
//! whose rest may be `None`; `candidates` has the ends with several. `known` says which types a
//! walk may enter, by the wrappers that `pollers` lists, and `givers` which functions of streams
//! have given an item.
//!
//! `still_walk` does the same in memory that stands still: that of a copy of the process, or what
//! another program's dump of tasks has with it. `vacant` tells which bytes of a task have no value
//! there, and `vacant_types` makes what it needs of the layouts. The feature `decode` is for that
//! program's memory alone, `layout` for this program's as well.
#![cfg_attr(
    not(feature = "layout"),
    allow(dead_code, reason = "this program's own futures are not looked into")
)]

#[cfg(feature = "decode")]
pub(crate) mod grow;
#[cfg(feature = "decode")]
pub(crate) mod cached_path;
#[cfg(feature = "decode")]
pub(crate) mod function_name;
#[cfg(feature = "decode")]
mod givers;
pub(crate) mod image;
#[cfg(feature = "decode")]
mod asked;
#[cfg(feature = "decode")]
mod candidates;
#[cfg(feature = "decode")]
mod besides;
#[cfg(feature = "decode")]
mod joined;
#[cfg(feature = "decode")]
mod limited;
#[cfg(feature = "decode")]
mod listed;
#[cfg(feature = "decode")]
pub(crate) mod known;
#[cfg(feature = "decode")]
pub(crate) mod layouts;
#[cfg(feature = "decode")]
mod masks;
#[cfg(feature = "decode")]
mod pollers;
#[cfg(feature = "decode")]
pub(crate) mod resolve;
#[cfg(feature = "decode")]
mod seen;
#[cfg(all(feature = "decode", target_pointer_width = "64"))]
pub(crate) mod still_places;
#[cfg(all(feature = "decode", target_pointer_width = "64"))]
pub(crate) mod still_walk;
#[cfg(feature = "decode")]
pub(crate) mod tree;
#[cfg(feature = "decode")]
mod tuple;
#[cfg(all(
    feature = "layout",
    feature = "tokio",
    target_os = "linux",
    target_pointer_width = "64"
))]
pub(crate) mod vacant;
#[cfg(all(
    feature = "layout",
    feature = "tokio",
    target_os = "linux",
    target_pointer_width = "64"
))]
pub(crate) mod vacant_types;
#[cfg(feature = "decode")]
pub(crate) mod walk;
#[cfg(feature = "decode")]
pub(crate) mod walk_end;

pub use image::Program;
