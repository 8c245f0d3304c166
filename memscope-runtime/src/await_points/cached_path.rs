//! The cached path of a walk. If a future's memory still shows all of its steps, a walk would end
//! where that one did.

use super::tree::{Node, Step};
use crate::accounting::FutureType;

/// The most steps of a cached path; longer paths are walked each time.
const MOST_CHECKS: usize = 16;

/// The path from the first byte of a future of one type to a node.
#[derive(Debug)]
pub(crate) struct CachedPath {
    future: &'static FutureType,
    checks: Box<[PathCheck]>,
}

/// One step of a path, and what shows that the path still takes it.
///
/// Offsets are from the start of the block or value that the path is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathCheck {
    /// The discriminant at `offset` has this value. It has one byte, as most have.
    Byte { offset: u32, value: u8 },
    /// The discriminant at `offset` has this value.
    Value { offset: usize, size: u8, value: u64 },
    /// The path goes on behind the pointer at `offset`.
    Pointer { offset: usize },
    /// The trait object has the vtable `is`, and the path goes on in its value.
    Object { data: usize, vtable: usize, is: usize },
}

impl CachedPath {
    /// The path to a child of `parent`. `None` if it is too long, or if values alone do not show
    /// it.
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

    /// How many words of 8 bytes the path takes.
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
    /// The check that the discriminant of this step has this value; `None` for other steps.
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
