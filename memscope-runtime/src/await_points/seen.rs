//! The children of a node by values that are not known before: addresses of vtables, and masks.

use super::tree::Node;
use crate::primitives::{StaticRef, arena};

/// The child for one vtable or mask: a link in the list of all that were seen.
#[derive(Debug)]
pub(crate) struct Seen {
    value: u64,
    node: &'static Node,
    next: StaticRef<Self>,
}

impl StaticRef<Seen> {
    /// The child for this value; otherwise the end of the list, and how long it is.
    #[inline]
    pub(super) fn find(&'static self, value: u64) -> Result<&'static Node, (&'static Self, usize)> {
        let (mut place, mut seen) = (self, 0);
        while let Some(link) = place.get() {
            if link.value == value {
                return Ok(link.node);
            }
            (place, seen) = (&link.next, seen + 1);
        }
        Err((place, seen))
    }

    /// Appends the child for a value at this end of a list, unless another thread has.
    pub(super) fn append(&'static self, value: u64, node: &'static Node) -> Option<&'static Node> {
        let new = arena::keep(Seen { value, node, next: StaticRef::none() })?;
        let mut place = self;
        while let Err(theirs) = place.set_if_none(new) {
            if theirs.value == value {
                return Some(theirs.node);
            }
            place = &theirs.next;
        }
        Some(node)
    }
}
