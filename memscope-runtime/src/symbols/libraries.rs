//! The shared libraries in which addresses were found: their files, so that a saved report can be
//! joined with them later.

use std::fmt::Write;

use super::{kept_bytes, modules::Module};
use crate::primitives::{
    arena, reserve,
    sync::{AtomicU8, Ordering},
};

/// A program has some tens. Addresses in further ones have no library.
const MOST_LIBRARIES: usize = 256;
/// Linux has no longer path.
const MOST_PATH: usize = 4_096;

/// A library that is loaded, or was.
#[derive(Debug)]
pub(crate) struct Library {
    pub(crate) path: &'static str,
    /// In hexadecimal digits.
    pub(crate) build_id: Option<&'static str>,
    /// The address range that it is loaded to.
    first: usize,
    end: usize,
    /// 1 if it was unloaded. Others may have taken its place since.
    is_gone: AtomicU8,
}

impl Library {
    /// The offset of an address in it from its first byte.
    pub(crate) fn offset_of(&self, address: usize) -> u64 {
        address.saturating_sub(self.first) as u64
    }

    pub(super) fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Relaxed) != 0
    }

    fn is(&self, module: &Module) -> bool {
        !self.is_gone()
            && (self.first, self.end) == module.range()
            && *self.path == *module.path().to_string_lossy()
            && self.build_id == module.build_id().map(hex).as_deref()
    }
}

/// All libraries that were seen, one time each.
#[derive(Debug)]
pub(super) struct Libraries(Vec<&'static Library>);

impl Libraries {
    pub(super) const NONE: Self = Self(Vec::new());

    /// Notes which libraries are not loaded any more. Returns whether there are such.
    pub(super) fn note_gone(&self, loaded: &[Module]) -> bool {
        let gone = self.0.iter().filter(|it| !it.is_gone());
        let gone = gone.filter(|it| !loaded.iter().any(|module| it.is(module)));
        gone.map(|it| it.is_gone.store(1, Ordering::Relaxed)).count() != 0
    }

    /// Whether an address in this library may be of code that was there before it.
    pub(super) fn replaces_another(&self, library: &Library) -> bool {
        let overlaps = |it: &&&Library| it.first < library.end && library.first < it.end;
        self.0.iter().filter(overlaps).any(|it| it.is_gone())
    }

    /// The library that this module is.
    pub(super) fn of(&mut self, module: &Module) -> Option<&'static Library> {
        if let Some(known) = self.0.iter().find(|it| it.is(module)) {
            return Some(known);
        }
        let path = module.path().to_string_lossy();
        let has_room = self.0.len() < MOST_LIBRARIES && reserve::grow(&mut self.0);
        if !has_room || path.is_empty() || path.len() > MOST_PATH {
            return None;
        }
        let build_id = match module.build_id() {
            Some(id) => Some(arena::keep_str(&hex(id))?),
            None => None,
        };
        let (path, (first, end)) = (arena::keep_str(&path)?, module.range());
        let is_gone = AtomicU8::new(0);
        let library = arena::keep(Library { path, build_id, first, end, is_gone })?;
        kept_bytes::note(library);
        kept_bytes::note(path);
        kept_bytes::note(build_id.unwrap_or_default());
        self.0.push(library);
        Some(library)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}
