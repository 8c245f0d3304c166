//! Reads where tasks wait from the memory that a dump has with it: of another program, by the
//! layouts of that program.

use std::collections::HashMap;

use memscope_layout::{Layouts, TypeId};

use crate::{
    accounting::{FutureType, UNNAMED},
    await_points::{
        layouts,
        still_places::StillPlaces,
        still_walk::{self, StillMemory},
        tree::Node,
    },
    model::{
        AwaitPoint, AwaitPoints, DumpedCell, DumpedMemory, DumpedTask, MemoryPiece, TaskDump,
        task_dump::number_queues,
    },
    primitives::arena,
};

const NOT_SAVED: &str = "the dump does not have the memory that says it";

/// Keeps the layouts that dumps are decoded with, as long as the process lives.
///
/// # Errors
///
/// Returns an error if layouts of another build are kept already: a process decodes the dumps of
/// one build.
pub fn keep(layouts: Layouts) -> Result<(), &'static str> {
    let is_kept = layouts::keep_these(layouts);
    is_kept.then_some(()).ok_or("debug information of another build is in use")
}

/// Finds the places of the dump's tasks in its memory, and removes the memory. A place that its
/// memory does not tell stays unknown, and its task says why.
///
/// # Errors
///
/// Returns an error if the dump has no memory, if no layouts are [kept](keep), and if its build id
/// and that of the layouts are not the same, or not known.
pub fn decode(mut dump: TaskDump) -> Result<TaskDump, &'static str> {
    let layouts = layouts::kept().ok_or("no debug information was read")?;
    let memory = dump.memory.take().ok_or("it has no memory with it")?;
    if memory.build_id.is_none() || memory.build_id.as_deref() != layouts.build_id() {
        return Err("the debug information is that of another build");
    }
    let mut decoder = Decoder {
        memory: Pieces::new(memory, layouts.base_address()),
        layouts,
        types: HashMap::new(),
        places: StillPlaces::default(),
        lacks_memory: false,
    };
    for task in &mut dump.tasks {
        let Some(cell) = task.cell.take().filter(|_| task.await_point.is_none()) else { continue };
        decoder.memory.has_missed = false;
        let place = decoder.place(&cell, task);
        decoder.lacks_memory |= decoder.memory.has_missed;
        match place {
            Ok(point) => (task.await_point, task.unknown) = (Some(point), None),
            Err(why) => task.unknown = Some(why),
        }
    }
    number_queues(&mut dump.tasks);
    dump.await_points = AwaitPoints::On;
    dump.without_types = 0;
    if !decoder.lacks_memory {
        dump.memory_left_out = 0;
    }
    Ok(dump)
}

struct Decoder {
    memory: Pieces,
    layouts: &'static Layouts,
    /// What stands for the type of a future, by the function that polls it.
    types: HashMap<u64, &'static FutureType>,
    places: StillPlaces,
    /// A place is not known, or only a part of it, for want of memory.
    lacks_memory: bool,
}

impl Decoder {
    /// Where the task waits with this cell, or why that is not known. Names the task by its future
    /// if it has no name, and notes the future's size.
    fn place(&mut self, cell: &DumpedCell, task: &mut DumpedTask) -> Result<AwaitPoint, String> {
        let poll = self.layouts.base_address().wrapping_add(cell.poll);
        let layout = self.layouts.task(poll).ok_or(
            "debug information does not have its type: the crate that spawns it has to be built \
             with `debug = 2`",
        )?;
        if cell.id_offset != layout.id_offset || ![0, layout.size].contains(&cell.bytes) {
            return Err("debug information has another size for its Tokio cell".to_owned());
        }
        let at = usize::try_from(cell.address).map_err(|_| NOT_SAVED)?;
        let id_offset = usize::try_from(layout.id_offset).map_err(|_| NOT_SAVED)?;
        let id = still_walk::number(&mut self.memory, at, id_offset, 8).ok_or(NOT_SAVED)?;
        if task.tokio_id != Some(id) {
            return Err("the dump has memory of another task where its cell was".to_owned());
        }
        let future = match self.types.get(&poll) {
            Some(known) => known,
            None => self.new_type(poll).ok_or("there is no memory")?,
        };
        let found = self.places.find(&mut self.memory, at, layout, future);
        let (mut point, _, queue) = match found {
            Err(_) if self.memory.has_missed => return Err(NOT_SAVED.to_owned()),
            found => found?,
        };
        if self.memory.has_missed {
            if point.frames.is_empty() {
                return Err(NOT_SAVED.to_owned());
            }
            point.stops = format!("goes on, and {NOT_SAVED}");
        }
        if task.name == UNNAMED {
            task.name = layouts::written(still_walk::future_name(layout));
        }
        if task.future_size_bytes == 0 {
            task.future_size_bytes = still_walk::future_size(layout).unwrap_or(0);
        }
        task.queue = queue.map(|address| address as u64);
        let (live_bytes, measured) = (task.live_bytes, task.measured);
        let future_size_bytes = task.future_size_bytes;
        Ok(AwaitPoint { measured, live_bytes, future_size_bytes, ..point })
    }

    /// Only for functions that the layouts know, so there are not too many.
    fn new_type(&mut self, poll: u64) -> Option<&'static FutureType> {
        let new = arena::keep(FutureType::in_dump())?;
        self.types.insert(poll, new);
        Some(new)
    }
}

/// The memory of a dump.
#[derive(Debug)]
struct Pieces {
    /// In the order of addresses.
    all: Vec<MemoryPiece>,
    /// Where the program was, and where its layouts say that it is.
    image: u64,
    image_bytes: u64,
    base: u64,
    /// Something was to be read that is not there.
    has_missed: bool,
}

impl Pieces {
    fn new(memory: DumpedMemory, base: u64) -> Self {
        let DumpedMemory { mut pieces, image, image_bytes, .. } = memory;
        // As they are written; a file that was written by hand may have them otherwise.
        pieces.sort_by_key(|piece| piece.address);
        Self { all: pieces, image, image_bytes, base, has_missed: false }
    }

    /// What is known from an address on: less than to the end of a range if it is in pieces.
    fn at(&self, address: u64) -> Option<&[u8]> {
        let after = self.all.partition_point(|piece| piece.address <= address);
        let piece = self.all.get(after.checked_sub(1)?)?;
        let start = usize::try_from(address - piece.address).ok()?;
        piece.bytes.get(start..).filter(|bytes| !bytes.is_empty())
    }
}

impl StillMemory for Pieces {
    fn read(&mut self, address: usize, into: &mut [u8]) -> bool {
        let (mut address, mut into) = (address as u64, into);
        while !into.is_empty() {
            let Some(found) = self.at(address) else {
                self.has_missed = true;
                return false;
            };
            let bytes = found.len().min(into.len());
            let (filled, rest) = into.split_at_mut(bytes);
            filled.copy_from_slice(&found[..bytes]);
            (address, into) = (address.wrapping_add(bytes as u64), rest);
        }
        true
    }

    /// By where the vtable is in the program's file: another process has it elsewhere.
    fn behind(&self, node: &'static Node, vtable: usize) -> Option<&'static Node> {
        let offset = (vtable as u64).wrapping_sub(self.image);
        let linked = self.base.wrapping_add(offset);
        let is_inside = offset < self.image_bytes;
        let linked = usize::try_from(linked).ok().filter(|_| is_inside).unwrap_or(OUTSIDE);
        node.behind_vtable_of(linked, by_linked_address)
    }
}

/// Stands for all vtables of libraries.
const OUTSIDE: usize = usize::MAX;

fn by_linked_address(layouts: &Layouts, vtable: usize) -> Result<TypeId, &'static str> {
    if vtable == OUTSIDE {
        return Err("it comes from a library");
    }
    let found = layouts.vtables().find(|(address, _)| *address == vtable as u64);
    let (_, id) = found.ok_or("debug information does not have its type")?;
    id.ok_or("several types share its vtable")
}
