//! The cached path of a walk. If a future's memory still shows all of its steps, a walk would end
//! where that one did.

use super::tree::{Node, Step};
use crate::accounting::FutureType;

/// The most steps of a cached path. Longer paths are walked each time: at depth 20 that took 45 to
/// 55 ns a poll, and to compare takes 9 (`benches/src/bin/await_points.rs`).
const MOST_CHECKS: usize = 64;

/// The path from the first byte of a future of one type to a node.
#[derive(Debug)]
pub(crate) struct CachedPath {
    future: &'static FutureType,
    /// The discriminants of one byte, from the first to the last.
    // PERF: apart from the others, so that the loop over them has nothing to tell apart. Most paths
    // have no other.
    bytes: Box<[ByteCheck]>,
    turns: Box<[Turn]>,
}

/// The discriminant at `offset` has this value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByteCheck {
    pub(crate) offset: u32,
    pub(crate) value: u8,
}

/// A check of another kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    /// How many discriminants of one byte are compared between the turn before and this one.
    pub(crate) bytes_before: usize,
    pub(crate) check: OtherCheck,
}

/// One step of a path, and what shows that the path still takes it.
///
/// Offsets are from the start of the block or value that the path is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathCheck {
    /// A discriminant of one byte, as most have.
    Byte(ByteCheck),
    Other(OtherCheck),
}

/// A step that is not known by one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OtherCheck {
    /// The discriminant at `offset` has this value.
    Value { offset: usize, size: u8, value: u64 },
    /// The path goes on behind the pointer at `offset`.
    Pointer { offset: usize },
    /// The trait object has the vtable `is`, and the path goes on in its value.
    Object { data: usize, vtable: usize, is: usize },
    /// The number behind the pointer at `pointer` is `is`, and the path goes on before it.
    Mask { pointer: usize, size: u8, is: u64 },
}

impl CachedPath {
    /// The path to a child of `parent`. `None` if it is too long, or if values alone do not show
    /// it.
    pub(super) fn to(
        future: &'static FutureType,
        mut parent: Option<&'static Node>,
        mut last: Option<PathCheck>,
    ) -> Option<Self> {
        let mut checks = Vec::new();
        while let Some(node) = parent {
            checks.push(last?);
            if checks.len() > MOST_CHECKS {
                return None;
            }
            (parent, last) = (node.parent, node.check);
        }
        let (mut bytes, mut turns, mut bytes_before) = (Vec::new(), Vec::new(), 0);
        for check in checks.into_iter().rev() {
            match check {
                PathCheck::Byte(check) => {
                    bytes.push(check);
                    bytes_before += 1;
                }
                PathCheck::Other(check) => {
                    turns.push(Turn { bytes_before, check });
                    bytes_before = 0;
                }
            }
        }
        Some(Self { future, bytes: bytes.into(), turns: turns.into() })
    }

    /// How many words of 8 bytes the path takes.
    pub(super) fn places(&self) -> usize {
        (size_of_val(&*self.bytes) + size_of_val(&*self.turns)) / 8
    }

    #[inline]
    pub(super) fn is_of(&self, future: &'static FutureType) -> bool {
        std::ptr::eq(self.future, future)
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[ByteCheck] {
        &self.bytes
    }

    #[inline]
    pub(crate) fn turns(&self) -> &[Turn] {
        &self.turns
    }
}

impl PathCheck {
    /// The check that the discriminant of this step has this value; `None` for other steps.
    pub(super) fn value(step: &Step, value: u64) -> Option<Self> {
        match *step {
            Step::State { offset, size, .. } | Step::Variant { offset, size, .. } => {
                match (size, u32::try_from(offset), u8::try_from(value)) {
                    (1, Ok(offset), Ok(value)) => Some(Self::Byte(ByteCheck { offset, value })),
                    _ => Some(Self::Other(OtherCheck::Value { offset, size, value })),
                }
            }
            Step::Pointer { .. }
            | Step::Object { .. }
            | Step::Mask { .. }
            | Step::Limit(_)
            | Step::Options(_)
            | Step::End(_) => None,
        }
    }
}
