//! Where tasks wait, by the layouts of their futures.

use memscope_layout::TaskLayout;

use super::asking::Asker;
use crate::{
    accounting::FutureType,
    alloc::cells::CellType,
    await_points::{
        layouts,
        still_places::StillPlaces,
        still_walk::{self, StillMemory},
    },
    model::{AwaitPoint, AwaitPoints},
    picture::Refused,
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
        let layout = still_walk::task_layout(kind.poll())?;
        let is_right = layout.id_offset == kind.id_offset() as u64
            && bytes.is_none_or(|bytes| bytes as u64 == layout.size);
        if is_right {
            Ok(Self(layout))
        } else {
            Err("debug information has another size for its Tokio cell")
        }
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
    still_walk::written(name)
}

/// Memory of the copy that was read already, of one task.
pub(super) struct Memory<'a, 'p> {
    asker: &'a mut Asker<'p>,
    pieces: Vec<(usize, Vec<u8>)>,
    /// Why nothing more can be read.
    pub(super) refused: Option<Refused>,
}

impl<'a, 'p> Memory<'a, 'p> {
    /// `bytes`: what is known to be at this address.
    pub(super) fn new(asker: &'a mut Asker<'p>, address: usize, bytes: Vec<u8>) -> Self {
        Self { asker, pieces: vec![(address, bytes)], refused: None }
    }
}

impl Memory<'_, '_> {
    /// The words from an address on, as far as they can be read.
    pub(super) fn words(&mut self, address: usize, count: usize) -> Vec<usize> {
        self.asker.read_words(address, count).unwrap_or_else(|why| {
            self.refused = Some(why);
            Vec::new()
        })
    }
}

impl StillMemory for Memory<'_, '_> {
    fn read(&mut self, address: usize, into: &mut [u8]) -> bool {
        /// What is read around an address: mostly a discriminant or a pointer.
        const PIECE: usize = 256;
        let part = |(start, bytes): &(usize, Vec<u8>)| {
            let first = address.checked_sub(*start)?;
            bytes.get(first..first.checked_add(into.len())?).map(<[u8]>::to_vec)
        };
        let known = self.pieces.iter().find_map(part);
        let found = known.or_else(|| match self.asker.read(address, into.len().max(PIECE)) {
            Ok(bytes) => {
                let found = bytes.get(..into.len()).map(<[u8]>::to_vec);
                self.pieces.push((address, bytes));
                found
            }
            Err(why) => {
                self.refused = Some(why);
                None
            }
        });
        if let Some(found) = &found {
            into.copy_from_slice(found);
        }
        found.is_some()
    }
}

/// Where tasks wait.
#[derive(Debug, Default)]
pub(super) struct Backtraces(StillPlaces);

impl Backtraces {
    /// Where a task waits whose cell is at this address, or why that is not known.
    pub(super) fn find(
        &mut self,
        memory: &mut Memory<'_, '_>,
        cell: usize,
        known: Known,
        future: &'static FutureType,
    ) -> Result<(AwaitPoint, Vec<Passed>), String> {
        self.0.find(memory, cell, known.0, future)
    }
}
