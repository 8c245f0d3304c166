//! At which `.await` a pending future waits.

pub(crate) mod cached_path;
pub(crate) mod function_name;
pub(crate) mod image;
pub(crate) mod known;
#[cfg(feature = "layout")]
pub(crate) mod layouts;
pub(crate) mod resolve;
#[cfg(feature = "layout")]
pub(crate) mod tree;
#[cfg(feature = "layout")]
pub(crate) mod walk;
pub(crate) mod walk_end;

pub use image::Program;
