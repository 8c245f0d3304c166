//! Functions, files and lines of addresses, from the debug information of a file.

use std::path::{Path, PathBuf};

use addr2line::Loader;

use crate::{
    elf::{DebugFile, Flavour, Identity, MappedFile, Sections, hex, installed},
    error::{Error, Kind},
    symbols::{Symbols, readable},
};

/// The most inlined functions of one address.
const MOST_FRAMES: usize = 256;

/// A function that an address lies in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Frame {
    /// The function's name; `None` if the file does not tell it.
    pub function: Option<String>,
    /// The source file, as the compiler was given it.
    pub file: Option<String>,
    /// The line in it, from 1.
    pub line: Option<u32>,
    /// Whether the compiler has put the function's code into the function of the next frame.
    pub is_inlined: bool,
}

/// Reads the names, files and lines of addresses in a program.
///
/// ```no_run
/// use memscope_layout::Symbolizer;
///
/// let symbolizer = Symbolizer::open("target/release/app")?;
/// for frame in symbolizer.frames(0x1234) {
///     println!("{:?} in {:?}:{:?}", frame.function, frame.file, frame.line);
/// }
/// # Ok::<(), memscope_layout::Error>(())
/// ```
pub struct Symbolizer {
    symbols: Symbols,
    build_id: Option<String>,
    /// `None` if there is no debug information.
    debug_information: Option<Loader>,
}

impl std::fmt::Debug for Symbolizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Symbolizer").field("build_id", &self.build_id).finish_non_exhaustive()
    }
}

impl Symbolizer {
    /// Opens an executable or a library, and the file with its debug information if that was moved.
    /// Files without debug information have the names of their symbols alone.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read, is not ELF or is damaged.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        Self::read(path).map_err(|kind| Error::new(path, kind))
    }

    /// Opens the file with this build id, in hexadecimal digits: one of these paths, or the debug
    /// information that a Linux distribution has installed. Returns `None` if there is none.
    pub fn of_build(build_id: &str, paths: &[PathBuf]) -> Option<Self> {
        let installed = installed(build_id);
        let mut candidates = paths.iter().chain(installed.as_ref());
        candidates.find_map(|path| {
            // The build id alone is read from a file of another build.
            let file = MappedFile::open(path).ok()?;
            let id = Identity::read(&file).ok()?.build_id?;
            if hex(&id) == build_id { Self::open(path).ok() } else { None }
        })
    }

    fn read(path: &Path) -> Result<Self, Kind> {
        let file = MappedFile::open(path)?;
        let sections = Sections::read(&file, Flavour::Whole)?;
        let identity = &sections.identity;
        // A file of another build does not help.
        let moved = if sections.entry_bytes() == 0 {
            DebugFile::find(path, identity).ok().flatten()
        } else {
            None
        };
        let with_debug_information = match &moved {
            Some(moved) => Some(moved.path()),
            None => (sections.entry_bytes() != 0).then_some(path),
        };
        let debug_information = with_debug_information
            .map(|path| Loader::new(path).map_err(|error| Kind::Corrupt(error.to_string())))
            .transpose()?;
        let build_id = identity.build_id.as_deref().map(hex);
        // The symbols of a stripped file are in the other one too.
        let own = if identity.has_symbols { path } else { with_debug_information.unwrap_or(path) };
        let symbols = Symbols::open(own).map_err(Error::into_kind)?;
        Ok(Self { symbols, build_id, debug_information })
    }

    /// Returns the build id in hexadecimal digits, if the file has one.
    pub fn build_id(&self) -> Option<&str> {
        self.build_id.as_deref()
    }

    /// Returns whether files and lines are known, as far as the program's crates have them.
    pub fn has_debug_information(&self) -> bool {
        self.debug_information.is_some()
    }

    /// Returns the functions that an address lies in, the innermost first. The address is one that
    /// the linker assigned: of a position-independent file, the distance from its first byte.
    ///
    /// Returns nothing if no function is known there. A return address is behind its call, so
    /// subtract one from it.
    pub fn frames(&self, address: u64) -> Vec<Frame> {
        let mut frames = self.inlined(address).unwrap_or_default();
        let symbol = || {
            let mut name = None;
            // A damaged table names nothing.
            let _ = self.symbols.find(&[address], |_, found| name = Some(found.to_owned()));
            name
        };
        match frames.last_mut() {
            // Line tables have names without paths; a symbol has the path of the function itself,
            // whatever is inlined in it.
            Some(last) => {
                if last.function.as_ref().is_none_or(|it| !it.contains("::")) {
                    last.function = symbol().or_else(|| last.function.take());
                }
            }
            None => frames.extend(symbol().map(|name| Frame {
                function: Some(name),
                file: None,
                line: None,
                is_inlined: false,
            })),
        }
        frames
    }

    /// The functions in the debug information. `None`: damaged, or none is known.
    fn inlined(&self, address: u64) -> Option<Vec<Frame>> {
        let mut found = self.debug_information.as_ref()?.find_frames(address).ok()?;
        let mut frames = Vec::new();
        while let Ok(Some(frame)) = found.next()
            && frames.len() < MOST_FRAMES
        {
            let name = frame.function.as_ref().and_then(|it| it.raw_name().ok());
            let (file, line) = frame.location.map_or((None, None), |it| (it.file, it.line));
            frames.push(Frame {
                function: name.and_then(|it| readable(it.as_bytes())),
                file: file.map(str::to_owned),
                line: line.filter(|it| *it != 0),
                is_inlined: true,
            });
        }
        frames.last_mut()?.is_inlined = false;
        Some(frames)
    }
}
