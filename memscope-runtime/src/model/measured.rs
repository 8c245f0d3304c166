//! Whether memory sizes are measured.

use serde::{Deserialize, Serialize};

/// Whether memory sizes are measured, and if not, why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measured {
    /// Memscope's allocator is the program's global allocator.
    Yes,
    /// Memscope's allocator is not installed.
    NotInstalled,
    /// Another allocator wraps memscope's and changes the sizes that the program asks for.
    Wrapped,
    /// The crate is built without its feature `enabled`.
    #[default]
    Disabled,
}

impl Measured {
    /// Whether sizes are measured.
    pub const fn is_yes(self) -> bool {
        matches!(self, Self::Yes)
    }

    /// Why sizes are not measured and what to do about it; empty if they are.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Yes => "",
            Self::NotInstalled => {
                "memscope's allocator is not installed: use the feature `global-allocator` or a \
                 `#[global_allocator]` of type `TrackingAllocator`"
            }
            Self::Wrapped => {
                "another global allocator wraps memscope's: make `TrackingAllocator` the outermost one"
            }
            Self::Disabled => "the feature `enabled` is off",
        }
    }
}
