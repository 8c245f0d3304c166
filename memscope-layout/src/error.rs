//! The one opaque error: why a file yields no layouts, and what the user can do about it.

use std::{
    error, fmt, io,
    path::{Path, PathBuf},
};

/// Why no layouts could be read. Its `Display` text says what to do.
///
/// ```
/// use memscope_layout::Layouts;
///
/// let error = Layouts::read("Cargo.toml").unwrap_err();
/// assert!(error.to_string().contains("not an ELF file"), "{error}");
/// ```
#[derive(Debug)]
pub struct Error {
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
#[cfg_attr(not(feature = "dwarf"), allow(dead_code, reason = "symbols need no debug information"))]
pub(crate) enum Kind {
    Unreadable(io::Error),
    NotElf(&'static str),
    /// What the file is, and which one to name.
    NoProgram(String),
    Stripped,
    NoDebugInfo,
    LineTablesOnly,
    SplitFilesMissing {
        first: PathBuf,
        count: usize,
    },
    DebugFileMissing {
        name: PathBuf,
        system: PathBuf,
    },
    DebugFileOther {
        file: PathBuf,
        what: &'static str,
    },
    Corrupt(String),
    TooMuch,
}

/// The lines that a crate's profile needs.
const CARGO_LINES: &str = "    [profile.release]      # or the profile that you build with
    debug = 2              # the layouts of types; `debug = 1` has lines only
    strip = \"none\"
or, for one build, set CARGO_PROFILE_RELEASE_DEBUG=2 and CARGO_PROFILE_RELEASE_STRIP=none";

impl Error {
    pub(crate) fn new(path: &Path, kind: Kind) -> Self {
        Self { path: path.to_owned(), kind }
    }

    #[cfg(feature = "dwarf")]
    pub(crate) fn into_kind(self) -> Kind {
        self.kind
    }

    /// Returns `true` if the file is a program without debug information, or with too little of it,
    /// so that building it again helps.
    ///
    /// ```
    /// use memscope_layout::Layouts;
    ///
    /// assert!(!Layouts::read("Cargo.toml").unwrap_err().lacks_debug_info());
    /// ```
    pub fn lacks_debug_info(&self) -> bool {
        match self.kind {
            Kind::Stripped
            | Kind::NoDebugInfo
            | Kind::LineTablesOnly
            | Kind::SplitFilesMissing { .. }
            | Kind::DebugFileMissing { .. }
            | Kind::DebugFileOther { .. } => true,
            Kind::Unreadable(_)
            | Kind::NotElf(_)
            | Kind::NoProgram(_)
            | Kind::Corrupt(_)
            | Kind::TooMuch => false,
        }
    }
}

impl Error {
    /// Returns `true` if settings of cargo's profile would help: the file itself has no debug
    /// information about types.
    ///
    /// ```
    /// use memscope_layout::Layouts;
    ///
    /// assert!(!Layouts::read("Cargo.toml").unwrap_err().lacks_own_debug_info());
    /// ```
    pub fn lacks_own_debug_info(&self) -> bool {
        matches!(self.kind, Kind::Stripped | Kind::NoDebugInfo | Kind::LineTablesOnly)
    }
}

/// Says of a shared library that it is one, judged by its name: `libapp.so`, `libapp.so.1`.
fn library(path: &Path) -> &'static str {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_library =
        name.split_once(".so").is_some_and(|(_, it)| it.is_empty() || it.starts_with('.'));
    if is_library { ", a shared library," } else { "" }
}

/// Formats a path on one line. Characters that move the cursor, or are invisible, are escaped.
fn shown(path: &Path) -> String {
    path.to_string_lossy().escape_debug().to_string()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = shown(&self.path);
        match &self.kind {
            Kind::Unreadable(error) => write!(f, "cannot read {path}: {error}"),
            Kind::NotElf(what) => write!(
                f,
                "{path} is {what}not an ELF file: name a program or library built for Linux or another ELF system"
            ),
            Kind::NoProgram(what) => write!(f, "{path} {what}"),
            Kind::Stripped => write!(
                f,
                "{path}{} is stripped: it has neither symbols nor debug information; build it with\n{CARGO_LINES}",
                library(&self.path)
            ),
            Kind::NoDebugInfo => write!(
                f,
                "{path}{} has no debug information of its own code; build it with\n{CARGO_LINES}",
                library(&self.path)
            ),
            Kind::LineTablesOnly => write!(
                f,
                "{path}{} has debug information about lines, but not about types (`debug = 1` or `line-tables-only`); build it with\n{CARGO_LINES}",
                library(&self.path)
            ),
            Kind::SplitFilesMissing { first, count } => write!(
                f,
                "the debug information of {path} is in {count} files beside it that are not there, such as {}; \
                 build it again where it is, or with `split-debuginfo = \"off\"`",
                shown(first)
            ),
            Kind::DebugFileMissing { name, system } => write!(
                f,
                "the debug information of {path} was moved to {0}, which is neither beside it, nor in `.debug` there, nor in {1}: \
                 put {0} beside it, or build it with\n{CARGO_LINES}",
                shown(name),
                shown(system)
            ),
            Kind::DebugFileOther { file, what } => write!(
                f,
                "{} is not the debug information of {path} but of another build: {what} differs; put the right file there, or build it with\n{CARGO_LINES}",
                shown(file)
            ),
            Kind::Corrupt(what) => {
                let what = what.escape_debug();
                write!(f, "{path} is cut off or damaged: {what}; copy or build it again")
            }
            Kind::TooMuch => write!(
                f,
                "{path} is damaged: its debug information refers to itself without end; build it again"
            ),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match &self.kind {
            Kind::Unreadable(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for Kind {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}

impl From<object::Error> for Kind {
    fn from(error: object::Error) -> Self {
        Self::Corrupt(error.to_string())
    }
}

#[cfg(feature = "inlined")]
impl From<gimli::Error> for Kind {
    fn from(error: gimli::Error) -> Self {
        Self::Corrupt(error.to_string())
    }
}
