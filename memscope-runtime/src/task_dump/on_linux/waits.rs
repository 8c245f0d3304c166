//! Where tasks wait, by the layouts of their futures.

use memscope_layout::TaskLayout;

use crate::{
    accounting::FutureType,
    alloc::cells::CellType,
    await_points::{layouts, still_places::StillPlaces, still_walk},
    model::{AwaitPoint, AwaitPoints},
    picture::AskedMemory,
};

/// Reads the layouts, at the first call. They are needed before the process is copied.
pub(super) fn prepare() -> AwaitPoints {
    match layouts::keep() {
        Ok(_) => AwaitPoints::On,
        Err(why) => AwaitPoints::Unavailable(why.to_owned()),
    }
}

/// What is known of the futures of one type of task.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known(&'static TaskLayout);

impl Known {
    /// `bytes`: the size of the cell, if it is known.
    pub(super) fn of(kind: &CellType, bytes: Option<usize>) -> Result<Self, &'static str> {
        still_walk::cell_layout(kind, bytes).map(Self)
    }

    pub(super) fn name(self) -> &'static str {
        still_walk::future_name(self.0)
    }

    pub(super) fn future_size(self) -> Option<u64> {
        still_walk::future_size(self.0)
    }

    pub(super) fn cell_size(self) -> usize {
        self.0.size as usize
    }

    pub(super) fn future_offset(self) -> usize {
        self.0.future_offset as usize
    }
}

pub(super) use crate::await_points::still_walk::{Passed, coroutine_of};

/// The name of a future, as people write it.
pub(super) fn written(name: &str) -> String {
    layouts::written(name)
}

/// Where tasks wait.
#[derive(Debug, Default)]
pub(super) struct Backtraces(StillPlaces);

impl Backtraces {
    /// Where a task waits whose cell is at this address, or why that is not known; and the address
    /// of the queue that it waits in.
    pub(super) fn find(
        &mut self,
        memory: &mut AskedMemory<'_, '_>,
        cell: usize,
        known: Known,
        future: &'static FutureType,
    ) -> Result<(AwaitPoint, Vec<Passed>, Option<usize>), String> {
        self.0.find(memory, cell, known.0, future)
    }
}
