//! At which `.await` a pending future waits.
//!
//! `layouts` reads the program's debug information. `walk` follows the memory of a pending future
//! through the nodes of `tree`. `grow` makes a node when a walk first needs it, and `resolve`
//! decides how the walk goes on there. `known` lists the wrappers that a walk may enter.

#[cfg(feature = "layout")]
pub(crate) mod grow;
#[cfg(feature = "layout")]
pub(crate) mod cached_path;
#[cfg(feature = "layout")]
pub(crate) mod function_name;
pub(crate) mod image;
#[cfg(feature = "layout")]
pub(crate) mod known;
#[cfg(feature = "layout")]
pub(crate) mod layouts;
#[cfg(feature = "layout")]
pub(crate) mod resolve;
#[cfg(all(
    feature = "layout",
    feature = "enabled",
    feature = "symbols",
    feature = "tokio",
    target_os = "linux",
    target_pointer_width = "64"
))]
pub(crate) mod still_walk;
#[cfg(feature = "layout")]
pub(crate) mod tree;
#[cfg(feature = "layout")]
pub(crate) mod walk;
#[cfg(feature = "layout")]
pub(crate) mod walk_end;

pub use image::Program;
