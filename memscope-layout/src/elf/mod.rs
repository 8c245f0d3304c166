//! ELF files: their bytes, the sections that are read, and files with split or moved debug
//! information.

mod mmap;
#[cfg(feature = "dwarf")]
mod sections;
#[cfg(feature = "dwarf")]
mod split_dwarf;
#[cfg(feature = "dwarf")]
mod debug_link;
#[cfg(feature = "dwarf")]
mod no_program;

#[cfg(feature = "dwarf")]
pub(crate) use debug_link::{DebugFile, path_of_build};
pub(crate) use mmap::MappedFile;
#[cfg(feature = "dwarf")]
pub(crate) use no_program::no_program;
#[cfg(feature = "dwarf")]
pub(crate) use sections::{Bytes, Dwarf, Flavour, Identity, Sections, Value, hex, text};
#[cfg(feature = "dwarf")]
pub(crate) use split_dwarf::SplitFiles;
