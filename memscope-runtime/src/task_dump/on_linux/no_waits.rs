//! Without the feature `layout` it is not known where tasks wait.

use crate::{
    accounting::FutureType,
    alloc::cells::CellType,
    model::{AwaitPoint, AwaitPoints},
    picture::AskedMemory,
};

pub(super) fn prepare() -> AwaitPoints {
    AwaitPoints::Unavailable(WHY.to_owned())
}

const WHY: &str = "it needs memscope's feature `layout`, and debug information about types: \
                   `debug = 2` in the profile";

/// Nothing is known of the futures of a type of task.
#[derive(Clone, Copy, Debug)]
pub(super) enum Known {}

impl Known {
    pub(super) fn of(_: &CellType, _: Option<usize>) -> Result<Self, &'static str> {
        Err("memscope's feature `layout` is off")
    }

    pub(super) fn name(self) -> &'static str {
        match self {}
    }

    pub(super) fn future_size(self) -> Option<u64> {
        match self {}
    }

    pub(super) fn cell_size(self) -> usize {
        match self {}
    }

    pub(super) fn future_offset(self) -> usize {
        match self {}
    }
}

/// A function that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passed {
    pub(super) address: usize,
    pub(super) bytes: usize,
    pub(super) coroutine: usize,
}

pub(super) fn coroutine_of(_: &FutureType) -> Option<usize> {
    None
}

pub(super) fn written(name: &str) -> String {
    name.to_owned()
}

#[derive(Debug, Default)]
pub(super) struct Backtraces {}

impl Backtraces {
    #[expect(clippy::unused_self, reason = "as with the feature")]
    pub(super) fn find(
        &mut self,
        _: &mut AskedMemory<'_, '_>,
        _: usize,
        known: Known,
        _: &'static FutureType,
    ) -> Result<(AwaitPoint, Vec<Passed>, Option<usize>), String> {
        match known {}
    }
}
