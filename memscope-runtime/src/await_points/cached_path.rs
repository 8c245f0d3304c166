//! What a walk came by on its way: who finds all of it again in a future's memory knows where a
//! walk would end.

use super::tree::{Node, Step};
use crate::accounting::FutureType;

/// Longer ways are walked each time.
const MOST_CHECKS: usize = 16;

/// The way from the first byte of a future of one type to a node.
#[derive(Debug)]
pub(crate) struct CachedPath {
    future: &'static FutureType,
    checks: Box<[PathCheck]>,
}

/// One step of a way, and what shows that it is still the same.
///
/// Offsets are from the start of the block or value that the way is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathCheck {
    /// The discriminant there, of one byte as most are, has this value.
    Byte { offset: u32, value: u8 },
    /// The discriminant there has this value.
    Value { offset: usize, size: u8, value: u64 },
    /// It goes on behind the pointer there.
    Pointer { offset: usize },
    /// The trait object there has this vtable; it goes on in its value.
    Object { data: usize, vtable: usize, is: usize },
}

impl CachedPath {
    /// The way to a child of `parent`. `None` where it is not told by values alone, or long.
    pub(super) fn to(
        future: &'static FutureType,
        mut parent: Option<&'static Node>,
        mut last: Option<PathCheck>,
    ) -> Option<Self> {
        let mut checks = Vec::with_capacity(MOST_CHECKS);
        while let Some(node) = parent {
            checks.push(last?);
            if checks.len() > MOST_CHECKS {
                return None;
            }
            (parent, last) = (node.parent, node.check);
        }
        checks.reverse();
        Some(Self { future, checks: checks.into() })
    }

    /// How many places of 8 bytes it takes.
    pub(super) fn places(&self) -> usize {
        4 * self.checks.len()
    }

    #[inline]
    pub(super) fn is_of(&self, future: &'static FutureType) -> bool {
        std::ptr::eq(self.future, future)
    }

    #[inline]
    pub(crate) fn checks(&self) -> &[PathCheck] {
        &self.checks
    }
}

impl PathCheck {
    /// That this is the value of the discriminant by which a way goes on.
    pub(super) fn value(step: &Step, value: u64) -> Option<Self> {
        match *step {
            Step::State { offset, size, .. } | Step::Variant { offset, size, .. } => {
                match (size, u32::try_from(offset), u8::try_from(value)) {
                    (1, Ok(offset), Ok(value)) => Some(Self::Byte { offset, value }),
                    _ => Some(Self::Value { offset, size, value }),
                }
            }
            Step::Pointer { .. } | Step::Object { .. } | Step::End(_) => None,
        }
    }
}
