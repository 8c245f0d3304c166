//! Functions, files and lines of addresses, from the debug information of a file.

use std::path::{Path, PathBuf};

use addr2line::Loader;

use crate::{
    elf::{DebugFile, Flavour, MappedFile, Sections, hex, path_of_build},
    error::{Error, Kind},
    frame::Frame,
    symbols::{Symbols, readable},
};

/// The most inlined functions of one address.
const MOST_FRAMES: usize = 256;

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
    base_address: u64,
    debug_file: Option<PathBuf>,
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
        Self::open_with(path, &[])
    }

    /// Like [`open`](Self::open); searches the debug information at these places first. A place is
    /// a file, or a folder with such files: named like the program, with or without `.debug`, or by
    /// the build id, as `.build-id/ab/cdef….debug`. A file of another build is passed over.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read, is not ELF or is damaged.
    pub fn open_with(path: impl AsRef<Path>, places: &[PathBuf]) -> Result<Self, Error> {
        let path = path.as_ref();
        Self::read(path, places).map_err(|kind| Error::new(path, kind))
    }

    /// Opens the file with this build id, in hexadecimal digits: at one of these places, which are
    /// files or folders with files named by build id, or where a Linux distribution has installed
    /// its debug information. Returns `None` if there is none.
    pub fn of_build(build_id: &str, places: &[PathBuf]) -> Option<Self> {
        let path = path_of_build(build_id, places)?;
        Self::open_with(path, places).ok()
    }

    fn read(path: &Path, places: &[PathBuf]) -> Result<Self, Kind> {
        let file = MappedFile::open(path)?;
        let sections = Sections::read(&file, Flavour::Whole)?;
        let identity = &sections.identity;
        let moved = DebugFile::find_at(path, identity, places);
        // A file of another build does not help.
        let moved = match moved {
            None if sections.entry_bytes() == 0 => DebugFile::find(path, identity).ok().flatten(),
            moved => moved,
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
        let debug_file = with_debug_information.map(Path::to_owned);
        Ok(Self { symbols, build_id, base_address: identity.base, debug_information, debug_file })
    }

    /// Returns the build id in hexadecimal digits, if the file has one.
    pub fn build_id(&self) -> Option<&str> {
        self.build_id.as_deref()
    }

    /// Returns the address that the linker assigned to the file's first byte: 0 if it is
    /// position-independent.
    pub fn base_address(&self) -> u64 {
        self.base_address
    }

    /// Returns whether files and lines are known, as far as the program's crates have them.
    pub fn has_debug_information(&self) -> bool {
        self.debug_information.is_some()
    }

    /// Returns the file that the debug information is read from.
    pub fn debug_file(&self) -> Option<&Path> {
        self.debug_file.as_deref()
    }

    /// Returns the functions that an address lies in, the innermost first. The address is one that
    /// the linker assigned: of a position-independent file, the distance from its first byte.
    ///
    /// Returns nothing if no function is known there. A return address is behind its call, so
    /// subtract one from it.
    ///
    /// If the linker or the compiler has merged functions with the same code, the name has `_`
    /// where theirs differ. There are no lines then, unless they differ in type parameters alone.
    pub fn frames(&self, address: u64) -> Vec<Frame> {
        self.frames_of(&[address]).pop().unwrap_or_default()
    }

    /// Like [`frames`](Self::frames) for each of these addresses, in any order. The table of
    /// symbols is read once for all.
    pub fn frames_of(&self, addresses: &[u64]) -> Vec<Vec<Frame>> {
        let mut order: Vec<usize> = (0..addresses.len()).collect();
        order.sort_unstable_by_key(|at| addresses[*at]);
        let sorted: Vec<u64> = order.iter().map(|at| addresses[*at]).collect();
        let mut symbols: Vec<Option<String>> = vec![None; addresses.len()];
        // A damaged table names nothing.
        let _ = self.symbols.find(&sorted, |index, name| {
            symbols[order[index]] = Some(name.to_owned());
        });
        addresses.iter().zip(symbols).map(|(at, symbol)| self.frames_at(*at, symbol)).collect()
    }

    fn frames_at(&self, address: u64, symbol: Option<String>) -> Vec<Frame> {
        let mut frames = self.inlined(address).unwrap_or_default();
        if let (Some(last), Some(symbol)) = (frames.last_mut(), &symbol) {
            match &last.function {
                Some(name) if name == symbol || !symbol.contains("::") => {}
                // The code is of several functions, and this is one of them.
                Some(name)
                    if name.contains("::")
                        && without_arguments(name) != without_arguments(symbol) =>
                {
                    frames.clear();
                }
                // Line tables have names without paths.
                _ => last.function = Some(symbol.clone()),
            }
        }
        if frames.is_empty() {
            frames.extend(symbol.map(|name| Frame {
                function: Some(name),
                file: None,
                line: None,
                is_inlined: false,
            }));
        }
        frames
    }

    /// The functions in the debug information. `None`: damaged, or none is known.
    fn inlined(&self, address: u64) -> Option<Vec<Frame>> {
        // NOTE: the library below adds one to the address.
        let address = Some(address).filter(|it| *it != u64::MAX)?;
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

/// The name without generic arguments. The type in `<Type as Trait>::method` stays.
pub(crate) fn without_arguments(name: &str) -> String {
    let (mut open, mut last) = (Vec::new(), ' ');
    let mut is_kept = |it: char| {
        let before = std::mem::replace(&mut last, it);
        match it {
            '<' => open.push(before.is_alphanumeric() || before == '_'),
            '>' if before != '-' => return !open.pop().unwrap_or(false) && !open.contains(&true),
            _ => {}
        }
        !open.contains(&true)
    };
    name.replace("::<", "<").chars().filter(|it| is_kept(*it)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_that_differ_in_type_parameters_alone_are_one_in_the_source() {
        for (one, other, is_same) in [
            ("a::Vec<_>::grow", "a::Vec<b::A<C>>::grow", true),
            ("<a::Vec<_>>::grow::<u8>", "<a::Vec<fn(u8) -> u8>>::grow::<i8>", true),
            ("<a::A as b::T<u8>>::f", "<a::A as b::T<i8>>::f", true),
            ("<a::_ as b::T>::f", "<a::A as b::T>::f", false),
            ("a::_::{closure#0}", "a::one::{closure#0}", false),
        ] {
            assert_eq!(without_arguments(one) == without_arguments(other), is_same, "{one}");
        }
        assert_eq!(without_arguments("<a::A<B> as C<D>>::e::<F>"), "<a::A as C>::e");
        assert_eq!(without_arguments(">>-><"), ">>-><");
    }
}
