//! A function at an address, and the place of its call there.

/// A function that an address lies in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Frame {
    /// The function's name; `None` if the file does not tell it.
    pub function: Option<String>,
    /// The source file; absolute, unless the compiler was told to shorten it.
    pub file: Option<String>,
    /// The line in it, from 1.
    pub line: Option<u32>,
    /// Whether the compiler has put the function's code into the function of the next frame.
    pub is_inlined: bool,
}
