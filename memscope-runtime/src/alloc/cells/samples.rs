//! Learns the layout of cells from sample tasks, on a runtime and a thread of memscope's own.
//!
//! Tokio says publicly which id a task has, whether it has finished, and whether its handle is
//! held. The layout is believed if these facts single out one word, one bit or one offset each, in
//! all samples. Otherwise it is refused, as for a Tokio whose cells are different.

use std::{
    alloc::Layout,
    array,
    cell::Cell,
    future::{Future, pending},
    panic::catch_unwind,
    pin::Pin,
    ptr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use tokio::{
    runtime::{Builder, Runtime},
    task::{JoinHandle, yield_now},
};

use super::{
    header::{self, CellLayout, VTABLE_WORDS, WORDS, word},
    infer::{self, Sample},
    module::Module,
};
use crate::alloc::{current::exempt, unannotated};

/// A block that may be a sample's cell.
#[derive(Clone, Copy, Debug)]
struct Block {
    start: *mut u8,
    layout: Layout,
}

thread_local! {
    /// The number of blocks that were noted on the thread of the samples, and the last one.
    static BLOCKS: Cell<(u32, Option<Block>)> = const { Cell::new((0, None)) };
}

/// Notes a block that memscope itself has allocated, on the thread of the samples.
pub(super) fn note(start: *mut u8, layout: Layout) {
    let _ = BLOCKS.try_with(|blocks| {
        let (count, _) = blocks.get();
        blocks.set((count.wrapping_add(1), Some(Block { start, layout })));
    });
}

/// Learns the layout. Must be called on a thread of memscope's own, outside of the allocator.
pub(crate) fn learn() {
    let layout = exempt(|| catch_unwind(look).ok().flatten());
    header::keep(layout.as_ref());
}

/// The future of a sample.
struct SampleFuture<T> {
    _held: T,
    is_ready: bool,
    /// Receives the header during the poll.
    polled: Option<Arc<Polled>>,
}

#[derive(Debug, Default)]
struct Polled {
    cell: AtomicUsize,
    words: [AtomicU64; WORDS],
    /// The data and the vtable of its waker.
    waker: [AtomicUsize; 2],
}

#[derive(Clone, Copy)]
#[repr(align(64))]
struct Aligned(#[expect(dead_code, reason = "makes the future larger")] [u64; 8]);

impl<T: Unpin> Future for SampleFuture<T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if let Some(polled) = &self.polled {
            let [data, vtable] = &polled.waker;
            data.store(context.waker().data().addr(), Ordering::Relaxed);
            vtable.store(ptr::from_ref(context.waker().vtable()).addr(), Ordering::Relaxed);
            let cell = ptr::with_exposed_provenance::<u8>(polled.cell.load(Ordering::Relaxed));
            if !cell.is_null() {
                for (index, place) in polled.words.iter().enumerate() {
                    // SAFETY: the cell that this future is in, which is larger than that.
                    place.store(unsafe { word(cell, index) }, Ordering::Relaxed);
                }
            }
        }
        if self.is_ready { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// A sample task.
struct Task {
    cell: Block,
    /// The size of its future.
    bytes: usize,
    id: u64,
    handle: JoinHandle<()>,
}

impl Task {
    /// Spawns a task. Returns `None` unless exactly one block was allocated that can be its cell.
    fn spawn<T: Copy + Send + Unpin + 'static>(
        runtime: &Runtime,
        held: T,
        is_ready: bool,
        polled: Option<&Arc<Polled>>,
    ) -> Option<Self> {
        let future = SampleFuture { _held: held, is_ready, polled: polled.map(Arc::clone) };
        Self::spawn_future(runtime, future, polled)
    }

    fn spawn_future(
        runtime: &Runtime,
        future: impl Future<Output = ()> + Send + 'static,
        polled: Option<&Arc<Polled>>,
    ) -> Option<Self> {
        let bytes = size_of_val(&future);
        BLOCKS.set((0, None));
        let handle = runtime.spawn(future);
        let (1, Some(cell)) = BLOCKS.get() else { return None };
        if let Some(polled) = polled {
            polled.cell.store(cell.start.addr(), Ordering::Relaxed);
        }
        let id = unannotated::number(handle.id())?;
        (cell.layout.size() >= bytes + WORDS * size_of::<usize>()).then_some(Self {
            cell,
            bytes,
            id,
            handle,
        })
    }

    fn words(&self) -> [u64; WORDS] {
        // SAFETY: the task lives, or its handle does, and `spawn` has checked the size.
        array::from_fn(|index| unsafe { word(self.cell.start, index) })
    }

    fn sample(&self, is_cancelled: bool, has_handle: bool) -> Sample {
        let is_finished = self.handle.is_finished();
        Sample { words: self.words(), is_finished, is_running: false, is_cancelled, has_handle }
    }
}

/// Lets every sample be polled.
fn run(runtime: &Runtime) {
    runtime.block_on(async {
        for _ in 0..4 {
            yield_now().await;
        }
    });
}

fn look() -> Option<CellLayout> {
    let runtime = Builder::new_current_thread().build().ok()?;
    let polled = Arc::new(Polled::default());
    let waits = Task::spawn(&runtime, [1_u64; 4], false, None)?;
    let larger = Task::spawn(&runtime, [2_u64; 19], false, None)?;
    let aligned = Task::spawn(&runtime, Aligned([3; 8]), false, None)?;
    let aborted = Task::spawn(&runtime, [4_u64; 4], false, None)?;
    let ready = Task::spawn(&runtime, [5_u64; 7], true, None)?;
    let runs = Task::spawn(&runtime, [6_u64; 4], false, Some(&polled))?;
    let detached = Task::spawn(&runtime, [7_u64; 4], false, None)?;
    let boxed: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(pending());
    let boxed = Task::spawn_future(&runtime, boxed, None)?;
    let more_handles = [larger.handle.abort_handle(), larger.handle.abort_handle()];
    run(&runtime);
    aborted.handle.abort();
    run(&runtime);

    let samples = [
        waits.sample(false, true),
        larger.sample(false, true),
        aligned.sample(false, true),
        aborted.sample(true, true),
        ready.sample(false, true),
        runs.sample(false, true),
    ];
    let in_poll = Sample {
        words: array::from_fn(|index| {
            polled.words.get(index).map_or(0, |word| word.load(Ordering::Relaxed))
        }),
        is_finished: false,
        is_running: true,
        is_cancelled: false,
        has_handle: true,
    };
    let tasks = [&waits, &larger, &aligned, &aborted, &ready, &runs];
    let layout = vtables(&tasks).filter(|_| !detached.handle.is_finished())?;
    // Without its handle the cell stays.
    let cell = detached.cell;
    drop(detached.handle);
    // SAFETY: the runtime has the task, and `spawn` has checked the size.
    let words = array::from_fn(|index| unsafe { word(cell.start, index) });
    let without = Sample { words, has_handle: false, is_running: false, ..in_poll };
    let all: Vec<Sample> = samples.into_iter().chain([in_poll, without]).collect();
    let (state, bits) = infer::state(&all)?;
    // What was learned must also be right at other moments.
    let is_finished =
        |task: &Task| task.words().get(state).is_some_and(|it| it & bits.finished != 0);
    let was_right = !is_finished(&runs) && is_finished(&ready);
    runs.handle.abort();
    run(&runtime);
    let is_right = was_right && is_finished(&runs) && runs.handle.is_finished();
    drop(more_handles);
    let [data, vtable] = &polled.waker;
    let is_cell = data.load(Ordering::Relaxed) == runs.cell.start.addr();
    let waker = if is_cell { vtable.load(Ordering::Relaxed) } else { 0 };
    let boxed = usize::try_from(*boxed.words().get(layout.vtable)?).ok()?;
    let smallest_room = layout.room_of(boxed, layout.id_offset_of(boxed)?.1);
    let layout = CellLayout { state, bits, waker, smallest_room, ..layout };
    (is_right && state != layout.vtable).then_some(layout)
}

/// Finds the vtables of samples, and in these the offsets of their ids. The other fields are not
/// known yet.
fn vtables(tasks: &[&Task]) -> Option<CellLayout> {
    let first = tasks.first()?;
    let align = first.cell.layout.align();
    if tasks.iter().any(|task| task.cell.layout.align() != align) {
        return None;
    }
    let at = |task: &Task, index: usize| -> Option<usize> {
        usize::try_from(*task.words().get(index)?).ok()
    };
    // The word that leads to functions in every sample.
    let is_vtable = |index: usize| {
        tasks.iter().all(|task| {
            let module = at(task, index).and_then(|table| Some((table, Module::with(table)?)));
            module.is_some_and(|(table, module)| module.functions(table) >= LEAST_FUNCTIONS)
        })
    };
    let vtable = infer::only(0..WORDS, is_vtable)?;
    let module = Module::with(at(first, vtable)?)?;
    let functions = module.functions(at(first, vtable)?);
    // The word that leads from every cell to its id.
    let is_id_offset = |index: usize| {
        tasks.iter().all(|task| {
            let offset = at(task, vtable).and_then(|table| module.table(table, functions, index));
            let place = offset.filter(|offset| {
                offset.is_multiple_of(size_of::<usize>())
                    && offset.saturating_add(size_of::<u64>()) <= task.cell.layout.size()
            });
            // SAFETY: the cell is live and has this word.
            let id = |offset: usize| unsafe { word(task.cell.start, offset / size_of::<usize>()) };
            place.is_some_and(|offset| id(offset) == task.id)
        })
    };
    let id_offset = infer::only(functions..VTABLE_WORDS, is_id_offset)?;
    // The word that grows from type to type as the future does, where its alignment is usual.
    let rest = |task: &Task, index: usize| {
        let table = at(task, vtable)?;
        let id_offset = module.table(table, functions, id_offset)?;
        module.table(table, functions, index)?.checked_sub(id_offset)?.checked_sub(task.bytes)
    };
    let usual = || tasks.iter().filter(|task| !task.bytes.is_multiple_of(64));
    let is_behind = |index: usize| {
        let first = usual().next().and_then(|task| rest(task, index));
        first.is_some() && usual().all(|task| rest(task, index) == first)
    };
    let behind = infer::only(functions..VTABLE_WORDS, is_behind)
        .and_then(|index| Some((index, rest(usual().next()?, index)?)));
    let behind = behind.unwrap_or((0, 0));
    let bits = infer::Bits { finished: 0, running: 0, cancelled: 0, handle: 0 };
    Some(CellLayout {
        align,
        state: 0,
        bits,
        vtable,
        functions,
        id_offset,
        behind,
        module,
        waker: 0,
        smallest_room: 0,
    })
}

/// A table with fewer functions is no vtable of a task.
const LEAST_FUNCTIONS: usize = 3;
