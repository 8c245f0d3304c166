//! Lines of source code.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// A line of a source file, as the compiler saw it. Debug information has no columns for these
/// items.
///
/// ```
/// use memscope_layout::Place;
///
/// let place = Place { file: "/app/src/db.rs".into(), line: 88 };
/// assert_eq!(place.to_string(), "/app/src/db.rs:88");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The path. It is absolute unless the compiler was told to shorten it.
    pub file: Arc<str>,
    /// The line number, from 1 on.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}
