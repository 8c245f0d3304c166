//! Whether the allocator is installed, and outermost.

use std::{
    alloc::{Layout, alloc, dealloc},
    hint::black_box,
    sync::OnceLock,
};

use serde::{Deserialize, Serialize};

use crate::current::{self, ENABLED, Probe};

/// Whether sizes are measured, and if not, why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measured {
    /// Memscope's allocator is the program's global allocator.
    Yes,
    /// It is not installed.
    NotInstalled,
    /// Another allocator is installed over it and changes what it is asked for.
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

    /// Why sizes are not measured and what to do about it; empty where they are.
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

/// Finds out once: a block taken the way every Rust program does must reach our allocator unchanged.
pub(crate) fn measured() -> Measured {
    static MEASURED: OnceLock<Measured> = OnceLock::new();
    if !ENABLED {
        return Measured::Disabled;
    }
    *MEASURED.get_or_init(|| current::as_memscope(probe))
}

fn probe() -> Measured {
    const LAYOUT: Layout = Layout::new::<[u64; 5]>();
    Probe::take();
    // SAFETY: the layout's size is not zero.
    let block = black_box(unsafe { alloc(black_box(LAYOUT)) });
    if block.is_null() {
        return Measured::NotInstalled;
    }
    let seen = Probe::take();
    // SAFETY: just allocated with this layout.
    unsafe { dealloc(block, LAYOUT) };
    match seen {
        None => Measured::NotInstalled,
        Some(Probe { block: seen, layout }) if seen == block && layout == LAYOUT => Measured::Yes,
        Some(_) => Measured::Wrapped,
    }
}
