//! ELF files: their bytes, the sections that are read, and files with split or moved debug
//! information.

mod mmap;
mod sections;
mod split_dwarf;
mod debug_link;

pub(crate) use debug_link::DebugFile;
pub(crate) use mmap::MappedFile;
pub(crate) use sections::{Bytes, Dwarf, Flavour, Identity, Sections, Value, hex, text};
pub(crate) use split_dwarf::SplitFiles;
