//! The rows of a dump: a Tokio cell each, and the tasks that have none of their own.

use std::{collections::HashMap, ptr};

use super::{
    listed::{Cell, Listed},
    listing::{BLOCK_WORDS, RECORD},
    open_task::Open,
    save::Wanted,
    sized,
    task_name::{is_worker, task_name, without_box},
    tracked_types::TrackedTypes,
    waits::{Backtraces, Known, Passed, coroutine_of},
};
use crate::{
    accounting::{Ended, FutureType, Site, UNNAMED, ended_tasks},
    alloc::{
        cells::{self, CellHeader, HeaderWords},
        unannotated::ends,
    },
    await_points::image,
    config,
    model::{AwaitPoint, DumpedCell, DumpedTask, TaskId, TaskState, task_dump::number_queues},
    picture::{AskedMemory, Asker, READ, Refused, WORD},
};

/// The rows, and what else was found with them.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) tasks: Vec<DumpedTask>,
    /// Threads of runtimes.
    pub(super) workers: u64,
    /// Waiting tasks of types that no debug information is known of.
    pub(super) without_types: u64,
    /// Their cells, if the dump is to have memory.
    pub(super) wanted: Vec<Wanted>,
}

/// How many cells are read at once.
const AT_ONCE: usize = 128;
/// What is read of a cell at first: most futures are smaller.
const FIRST_BYTES: usize = 1_024;
/// What is searched for the record of a tracked future.
const MOST_SEARCHED: usize = 1 << 16;
/// Words beside a state machine in which the record of a tracked future may be.
const BESIDE: usize = 2;
/// The path of memscope's own futures.
const TRACKED: &str = "memscope_runtime::tasks::future::";

/// Makes the rows: asks the copy for what is in the cells that it has listed.
pub(super) fn read(asker: &mut Asker<'_>, listed: &Listed) -> Result<Rows, Refused> {
    let mut reading = Reading::new(listed);
    let cells = reading.cells(listed);
    for cells in cells.chunks(AT_ONCE) {
        reading.read(asker, cells)?;
    }
    reading.rest();
    reading.over(listed);
    let mut rows = reading.rows;
    let order = |row: &DumpedTask| {
        (row.state.is_ended(), row.tokio_id.unwrap_or(u64::MAX), row.id.map(TaskId::as_u64))
    };
    rows.tasks.sort_by_key(order);
    number_queues(&mut rows.tasks);
    Ok(rows)
}

struct Reading {
    open: Vec<Open>,
    /// The index in `open`, by the task's id, and by the address of its record.
    by_id: HashMap<u64, usize>,
    by_record: HashMap<usize, usize>,
    /// How many tracked futures of each state machine have no row yet.
    untold: HashMap<usize, usize>,
    types: TrackedTypes,
    /// Whether what has no record holds nothing.
    is_exact: bool,
    backtraces: Backtraces,
    rows: Rows,
}

impl Reading {
    fn new(listed: &Listed) -> Self {
        let mut open: Vec<Open> = listed.open.iter().map(Open::of).collect();
        let index = |at: usize| listed.open.iter().enumerate().map(move |(i, it)| (it[at], i));
        let is_nested = |it: &&mut Open| it.is_task() && !it.is_spawned;
        open.iter_mut().filter(is_nested).for_each(|it| it.coroutine = coroutine_of(it.future));
        let mut untold: HashMap<usize, usize> = HashMap::new();
        for coroutine in open.iter().filter_map(|open| open.coroutine) {
            *untold.entry(coroutine).or_default() += 1;
        }
        let types = TrackedTypes::of(open.iter().filter(|it| it.is_task() && !it.is_spawned));
        Self {
            open,
            untold,
            types,
            by_id: index(0).collect(),
            by_record: index(1).map(|(record, at)| (record as usize, at)).collect(),
            is_exact: config::unannotated() && ends::are_exact(),
            backtraces: Backtraces::default(),
            rows: Rows::default(),
        }
    }

    /// The cells: blocks of the table that are some, and those of spawned tracked tasks.
    fn cells(&self, listed: &Listed) -> Vec<Cell> {
        let block = |words: &[u64; BLOCK_WORDS]| {
            let [address, bytes, parent, vtable, state] = *words;
            let words = HeaderWords { vtable, state };
            let (address, bytes) = (address as usize, bytes as usize);
            let kind = words.kind().filter(|kind| kind.may_have(bytes))?;
            Some(Cell { address, bytes: Some(bytes), parent, words, kind, of: None })
        };
        let tracked = self.open.iter().enumerate().filter_map(|(of, task)| {
            let ((address, words), parent) = (task.cell?, task.parent);
            let kind = words.kind()?;
            Some(Cell { address, bytes: None, parent, words, kind, of: Some(of) })
        });
        let mut cells: Vec<Cell> = listed.blocks.iter().filter_map(block).collect();
        cells.extend(tracked);
        // An address that was noted for two tasks is that of neither.
        let mut at: HashMap<usize, u32> = HashMap::new();
        for cell in &cells {
            *at.entry(cell.address).or_default() += 1;
        }
        cells.retain(|cell| cell.bytes.is_some() || at.get(&cell.address) == Some(&1));
        cells
    }

    fn read(&mut self, asker: &mut Asker<'_>, cells: &[Cell]) -> Result<(), Refused> {
        let known: Vec<_> = cells.iter().map(|cell| Known::of(cell.kind, cell.bytes)).collect();
        let sizes = known.iter().zip(cells).map(|(known, cell)| {
            let size = known.map_or(FIRST_BYTES, Known::cell_size);
            cell.bytes.unwrap_or(size).min(FIRST_BYTES)
        });
        let heads: Vec<_> = cells
            .iter()
            .zip(sizes)
            .map(|(cell, size)| [READ, cell.address as u64, size as u64])
            .collect();
        let heads = asker.ask(&heads)?;
        let ids: Vec<u64> = cells
            .iter()
            .zip(&heads)
            .map(|(cell, head)| {
                let id = head.get(cell.kind.id_offset()..).and_then(|it| it.first_chunk());
                id.map_or(0, |id| u64::from_ne_bytes(*id))
            })
            .collect();
        let records: Vec<_> = ids.iter().map(|id| [RECORD, *id, 0]).collect();
        let records = asker.ask(&records)?;
        for ((((cell, known), head), id), record) in
            cells.iter().zip(known).zip(heads).zip(ids).zip(records)
        {
            let word = |at: usize| {
                record
                    .get(at..)
                    .and_then(|it| it.first_chunk())
                    .map_or(0, |it| u64::from_ne_bytes(*it))
            };
            let Some(header) = cell.words.header(cell.kind, id).filter(|it| it.id != 0) else {
                continue;
            };
            let own = cell.of.or_else(|| self.by_id.get(&word(0)).copied());
            let mut memory = AskedMemory::new(asker, cell.address, head);
            self.tell(cell, &header, known, own, word(8) != 0, &mut memory);
            if let Some(why) = memory.refused {
                return Err(why);
            }
        }
        Ok(())
    }

    /// Makes the row of a cell. `own`: the task's entry among the open ones. `is_lost`: the task
    /// had a record and has lost it.
    fn tell(
        &mut self,
        cell: &Cell,
        header: &CellHeader,
        known: Result<Known, &'static str>,
        own: Option<usize>,
        is_lost: bool,
        memory: &mut AskedMemory<'_, '_>,
    ) {
        let type_name = match known {
            Ok(known) => known.name(),
            Err(_) => cell.kind.future().name(),
        };
        if is_worker(type_name) {
            self.rows.workers += 1;
            return;
        }
        let state = match (header.is_finished, header.is_running) {
            (true, _) if header.is_cancelled => TaskState::Cancelled,
            (true, _) => TaskState::Ended,
            (false, true) => TaskState::Running,
            (false, false) => TaskState::Idle,
        };
        let (mut point, mut unknown, mut without_types) = (None, None, None);
        let (mut passed, mut queue) = (Vec::new(), None);
        match (state, known) {
            (TaskState::Idle, Ok(known)) => {
                match self.backtraces.find(memory, cell.address, known, cell.kind.future()) {
                    Ok((found, on_the_way, waits_in)) => {
                        (point, passed, queue) = (Some(found), on_the_way, waits_in);
                    }
                    Err(why) => unknown = Some(why),
                }
            }
            (TaskState::Idle, Err(why)) => {
                unknown = Some(why.to_owned());
                without_types = self.without_types(cell);
            }
            (TaskState::Running, _) => unknown = Some("it was being polled".to_owned()),
            _ => unknown = Some("it is over".to_owned()),
        }
        let own = own.or_else(|| {
            let is_tracked = without_box(type_name).starts_with(TRACKED);
            match known {
                _ if !is_tracked => None,
                Ok(known) => self.tracked_in(cell, known, passed.first().copied(), memory),
                Err(_) => self.tracked_by_type(cell, type_name, memory),
            }
        });
        let has_record = own.and_then(|own| self.open.get(own));
        let measured = has_record.is_some() || (self.is_exact && !is_lost);
        let live_bytes = has_record.map_or(0, |open| open.live_bytes);
        let size =
            has_record.filter(|open| open.future.is_annotated).map(|it| it.future.size as u64);
        let size = size.or_else(|| known.ok().and_then(Known::future_size));
        let future_size_bytes = size.unwrap_or(cell.kind.future().size as u64);
        let parent = if cell.parent == 0 {
            has_record.filter(|open| open.future.is_annotated).map_or(0, |open| open.parent)
        } else {
            cell.parent
        };
        let row = DumpedTask {
            id: has_record.and_then(|open| TaskId::new(open.id)),
            tokio_id: Some(header.id),
            name: task_name(has_record.and_then(|open| open.site), cell.kind, known),
            state,
            running: state == TaskState::Running,
            await_point: point.map(|point| sized(point, measured, live_bytes, future_size_bytes)),
            queue: queue.map(|address| address as u64),
            unknown,
            measured,
            live_bytes,
            future_size_bytes,
            parent: TaskId::new(parent),
            has_handle: Some(header.has_handle),
            cell: without_types,
        };
        self.tell_nested(&row, &passed, own, memory);
        if let Some(own) = own {
            self.note_told(own);
        }
        self.rows.tasks.push(row);
    }

    /// Counts a waiting task without a layout, and has its memory saved if that is asked for. The
    /// futures of libraries are in other files, with debug information of their own.
    fn without_types(&mut self, cell: &Cell) -> Option<DumpedCell> {
        let poll = image::offset_of(cell.kind.poll())?;
        self.rows.without_types += 1;
        if !config::dump_memory() {
            return None;
        }
        let (address, id_offset) = (cell.address, cell.kind.id_offset());
        self.rows.wanted.push(Wanted {
            address,
            bytes: cell.bytes.unwrap_or_else(|| cell.kind.most_bytes()),
            future: address + id_offset + WORD,
            may_be_box: cell.kind.future().size == 0,
        });
        Some(DumpedCell {
            address: address as u64,
            poll,
            bytes: cell.bytes.unwrap_or(0) as u64,
            id_offset: id_offset as u64,
        })
    }

    /// The tracked future that a cell has as its own, by the record in it: the outermost one.
    fn tracked_in(
        &self,
        cell: &Cell,
        known: Known,
        first: Option<Passed>,
        memory: &mut AskedMemory<'_, '_>,
    ) -> Option<usize> {
        let (offset, size) = (known.future_offset(), known.future_size()? as usize);
        let words = memory.words(cell.address + offset, size.min(MOST_SEARCHED) / WORD);
        let inside = words.iter().filter_map(|word| self.by_record.get(word)).copied();
        let inside: Vec<usize> = inside.collect();
        let parents: Vec<u64> =
            inside.iter().filter_map(|at| self.open.get(*at).map(|open| open.id)).collect();
        let is_outermost =
            |at: &usize| self.open.get(*at).is_some_and(|open| !parents.contains(&open.parent));
        let mut outermost = inside.into_iter().filter(is_outermost);
        let found = outermost.next().filter(|_| outermost.next().is_none());
        // In a box.
        found.or_else(|| self.beside(&first?, memory))
    }

    /// The same without a layout.
    fn tracked_by_type(
        &self,
        cell: &Cell,
        name: &str,
        memory: &mut AskedMemory<'_, '_>,
    ) -> Option<usize> {
        let behind_id = cell.address + cell.kind.id_offset() + WORD;
        let record = |word, future: &'static FutureType| {
            let at = *self.by_record.get(&word)?;
            self.open.get(at).filter(|it| ptr::eq(it.future, future)).map(|_| at)
        };
        self.types.find(name, behind_id, record, memory)
    }

    /// The tracked future whose record is beside this state machine.
    fn beside(&self, passed: &Passed, memory: &mut AskedMemory<'_, '_>) -> Option<usize> {
        // A state machine may have any alignment.
        let before = (passed.address / WORD).saturating_sub(BESIDE) * WORD;
        let before = memory.words(before, BESIDE);
        let behind = (passed.address + passed.bytes).next_multiple_of(WORD);
        let behind = memory.words(behind, BESIDE);
        let is_it = |at: &usize| {
            self.open.get(*at).is_some_and(|open| open.coroutine == Some(passed.coroutine))
        };
        let words = before.iter().chain(&behind);
        words.filter_map(|word| self.by_record.get(word)).copied().find(is_it)
    }

    /// Makes the rows of tracked futures that a waiting task awaits: they wait where it waits.
    fn tell_nested(
        &mut self,
        of: &DumpedTask,
        passed: &[Passed],
        own: Option<usize>,
        memory: &mut AskedMemory<'_, '_>,
    ) {
        let Some(point) = &of.await_point else { return };
        // PERF: a look at all open tasks for each function on the way would take a time that grows
        // with the square of their number.
        let is_tracked = |it: &Passed| self.untold.get(&it.coroutine).is_some_and(|it| *it != 0);
        let nested: Vec<(usize, usize)> = passed
            .iter()
            .enumerate()
            .filter(|(_, it)| is_tracked(it))
            .filter_map(|(at, it)| Some((at, self.beside(it, memory)?)))
            .filter(|(_, open)| Some(*open) != own)
            .collect();
        for (at, open) in nested {
            let frames = point.frames.get(at..).unwrap_or_default().to_vec();
            let point = AwaitPoint { frames, ..point.clone() };
            self.tell_open(open, Ok(point), of.queue);
        }
    }

    /// Notes that the task has a row. Returns false if it had one before, or there is no such task.
    fn note_told(&mut self, at: usize) -> bool {
        let Some(open) = self.open.get_mut(at).filter(|open| !open.is_told) else { return false };
        open.is_told = true;
        if let Some(untold) = open.coroutine.and_then(|it| self.untold.get_mut(&it)) {
            *untold -= 1;
        }
        true
    }

    /// Makes the row of a task without a cell of its own. `queue`: the one that it waits in.
    fn tell_open(&mut self, at: usize, point: Result<AwaitPoint, String>, queue: Option<u64>) {
        if !self.note_told(at) {
            return;
        }
        let Some(open) = self.open.get(at) else { return };
        let size = open.future.size as u64;
        let running = open.state == TaskState::Running;
        let (point, unknown) = match point {
            _ if running => (None, Some("it was being polled".to_owned())),
            Ok(point) => (Some(sized(point, true, open.live_bytes, size)), None),
            Err(why) => (None, Some(why)),
        };
        self.rows.tasks.push(DumpedTask {
            id: TaskId::new(open.id),
            name: open.site.map_or(UNNAMED, |site| site.name).to_owned(),
            state: open.state,
            running,
            await_point: point,
            queue,
            unknown,
            measured: true,
            live_bytes: open.live_bytes,
            future_size_bytes: size,
            parent: TaskId::new(open.parent),
            ..DumpedTask::default()
        });
    }

    /// Makes the rows of tasks that were found in no cell.
    fn rest(&mut self) {
        for at in 0..self.open.len() {
            let Some(open) = self.open.get(at) else { continue };
            let is_unseen = !open.future.is_annotated && !cells::learned();
            let why = match (open.is_spawned, open.state) {
                _ if is_unseen => "its Tokio cell is not known",
                (true, _) => "its Tokio cell is not known",
                (false, _) => "it is a part of another task, or on a stack",
            };
            if open.is_task() || is_unseen {
                self.tell_open(at, Err(why.to_owned()), None);
            }
        }
    }

    /// Makes the rows of tracked tasks that have ended and have their cells still.
    fn over(&mut self, listed: &Listed) {
        let mut ended: Vec<Ended> = Vec::new();
        if !listed.over.is_empty() {
            ended_tasks::read(&mut ended);
        }
        let states: HashMap<u64, &Ended> = ended.iter().map(|it| (it.id, it)).collect();
        for [id, live_bytes, site] in &listed.over {
            let site = u32::try_from(*site).ok().and_then(Site::at);
            let ended = states.get(id);
            let future = ended.map(|it| it.reading.future).or_else(|| site?.future());
            self.rows.tasks.push(DumpedTask {
                id: TaskId::new(*id),
                name: site.map_or(UNNAMED, |site| site.name).to_owned(),
                state: ended.map_or(TaskState::Ended, |it| it.reading.state),
                unknown: Some("it is over".to_owned()),
                measured: true,
                live_bytes: *live_bytes,
                future_size_bytes: future.map_or(0, |future| future.size as u64),
                parent: ended.and_then(|it| TaskId::new(it.reading.parent)),
                ..DumpedTask::default()
            });
        }
    }
}
