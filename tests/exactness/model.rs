//! Random programs over many tasks and threads are run beside a plain model. Every column of every
//! task and every site has to agree.
//!
//! A program is a list of steps. In each, tasks are polled one inside the other. The innermost task
//! (or the thread, where there is none) makes, grows, frees or keeps a block, makes a task or drops
//! one; then it may complete or panic. The model knows only the promised rules, and plays the same
//! program on its own.

use std::{
    alloc::Layout,
    collections::HashMap,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError, mpsc},
    task::{Context, Poll, Waker},
    thread,
};

use memscope_rs::async_memory::{
    MemorySnapshot, TaskId, TaskState, Tracked, current_task_id, track,
};
use memscope_tests::{Block, Columns, Meter, alone, conserved, row};
use proptest::{prelude::*, test_runner::Config};

use crate::ALLOCATOR;

const TASKS: usize = 12;
const BLOCKS: usize = 24;
const THREADS: usize = 4;
const KEPT: usize = 4;
const NAMES: [&str; 3] = ["red", "green", "blue"];

/// What the innermost task does. Places of blocks and tasks that are not what the act needs make it
/// do nothing.
#[derive(Clone, Copy, Debug)]
enum Act {
    Nothing,
    Alloc {
        place: usize,
        layout: Layout,
        is_zeroed: bool,
    },
    Realloc {
        place: usize,
        size: usize,
    },
    Free {
        place: usize,
    },
    /// The task takes the block; it is freed when the task is dropped.
    Keep {
        place: usize,
    },
    Create {
        task: usize,
    },
    Drop {
        task: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Pending,
    Ready,
    Panic,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    thread: usize,
    /// The tasks that are polled, from the outermost in; those that do not exist are left out.
    path: [Option<usize>; 3],
    act: Act,
    end: End,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// ---- The real thing. Nothing in here may allocate but the acts themselves.

/// A future that does what the world's current step says, and frees what it kept when it is
/// dropped.
struct Puppet {
    world: &'static World,
    kept: [Option<Block>; KEPT],
}

type Task = Pin<Box<Tracked<Puppet>>>;

struct World {
    blocks: [Mutex<Option<Block>>; BLOCKS],
    tasks: [Mutex<Option<Task>>; TASKS],
    ids: [Mutex<Option<TaskId>>; TASKS],
    /// The step that goes on, and how deep in its path.
    now: Mutex<(Step, usize)>,
}

impl World {
    fn new() -> Self {
        let idle = Step { thread: 0, path: [None; 3], act: Act::Nothing, end: End::Pending };
        Self {
            blocks: [const { Mutex::new(None) }; BLOCKS],
            tasks: [const { Mutex::new(None) }; TASKS],
            ids: [const { Mutex::new(None) }; TASKS],
            now: Mutex::new((idle, 0)),
        }
    }

    fn run(&'static self, step: Step) {
        *lock(&self.now) = (step, 0);
        self.descend(None);
        assert_eq!(current_task_id(), None, "the slot is restored");
    }

    /// Polls the next task of the path, or acts where there is none. True: the act is this caller's
    /// own.
    fn descend(&'static self, mut puppet: Option<&mut [Option<Block>; KEPT]>) -> bool {
        loop {
            let (step, depth) = *lock(&self.now);
            let Some(next) = step.path.get(depth).copied() else {
                self.act(step.act, puppet.take());
                return true;
            };
            lock(&self.now).1 += 1;
            let Some(mut task) = next.and_then(|next| lock(&self.tasks[next]).take()) else {
                continue;
            };
            let poll =
                AssertUnwindSafe(|| task.as_mut().poll(&mut Context::from_waker(Waker::noop())));
            if let Err(payload) = catch_unwind(poll) {
                assert!(payload.is::<Wanted>(), "{:?}", payload.downcast_ref::<String>());
            }
            *lock(&self.tasks[next.unwrap_or(0)]) = Some(task);
            return false;
        }
    }

    fn act(&'static self, act: Act, kept: Option<&mut [Option<Block>; KEPT]>) {
        match act {
            Act::Nothing => {}
            Act::Alloc { place, layout, is_zeroed } => {
                let mut slot = lock(&self.blocks[place]);
                if slot.is_none() {
                    *slot = Some(Block::new(layout, is_zeroed));
                }
            }
            Act::Realloc { place, size } => {
                let mut slot = lock(&self.blocks[place]);
                *slot = slot.take().map(|block| block.resize(size));
            }
            Act::Free { place } => {
                if let Some(block) = lock(&self.blocks[place]).take() {
                    block.free();
                }
            }
            Act::Keep { place } => {
                if let Some(room) =
                    kept.and_then(|kept| kept.iter_mut().find(|room| room.is_none()))
                {
                    *room = lock(&self.blocks[place]).take();
                }
            }
            Act::Create { task } => {
                let is_new = lock(&self.ids[task]).is_none();
                if is_new {
                    let puppet = Puppet { world: self, kept: [None; KEPT] };
                    let made = Box::pin(track(puppet).named(NAMES[task % 3]));
                    *lock(&self.ids[task]) = made.id();
                    *lock(&self.tasks[task]) = Some(made);
                }
            }
            Act::Drop { task } => {
                let task = lock(&self.tasks[task]).take();
                drop(task);
            }
        }
    }
}

struct Wanted;

impl Future for Puppet {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        let world = self.world;
        let end = lock(&world.now).0.end;
        let is_mine = world.descend(Some(&mut self.kept));
        match end {
            _ if !is_mine => Poll::Pending,
            End::Pending => Poll::Pending,
            End::Ready => Poll::Ready(()),
            End::Panic => resume_unwind(Box::new(Wanted)),
        }
    }
}

impl Drop for Puppet {
    fn drop(&mut self) {
        for block in self.kept.into_iter().flatten() {
            block.free();
        }
    }
}

// ---- The model.

type Owner = Option<usize>;

#[derive(Clone, Copy, Debug)]
struct Known {
    owner: Owner,
    bytes: u64,
    align: usize,
}

#[derive(Clone, Debug)]
struct Life {
    columns: Columns,
    parent: Owner,
    kept: Vec<Known>,
    /// The box of the future, whose maker pays for it.
    boxed: Known,
    is_dropped: bool,
}

#[derive(Debug, Default)]
struct Model {
    blocks: HashMap<usize, Known>,
    lives: HashMap<usize, Life>,
    panic_bytes: u64,
}

impl Model {
    fn charge(&mut self, owner: Owner, bytes: u64, align: usize) -> Known {
        if let Some(life) = owner.and_then(|owner| self.lives.get_mut(&owner)) {
            let columns = &mut life.columns;
            columns.allocated_bytes += bytes;
            columns.allocation_count += 1;
            columns.live_bytes += bytes;
            columns.live_blocks += 1;
            columns.peak_bytes = columns.peak_bytes.max(columns.live_bytes);
        }
        Known { owner, bytes, align }
    }

    fn free(&mut self, block: Known, by: Owner) {
        if let Some(life) = block.owner.and_then(|owner| self.lives.get_mut(&owner)) {
            let columns = &mut life.columns;
            columns.live_bytes -= block.bytes;
            columns.live_blocks -= 1;
            columns.freed_bytes += block.bytes;
            if by != block.owner {
                columns.freed_elsewhere_bytes += block.bytes;
            }
        }
    }

    fn run(&mut self, step: Step) {
        let mut path: Vec<usize> = Vec::new();
        for task in step.path.into_iter().flatten() {
            let exists = self.lives.get(&task).is_some_and(|life| !life.is_dropped);
            if exists && !path.contains(&task) {
                path.push(task);
            }
        }
        let mut outer = None;
        for &task in &path {
            let life = self.lives.get_mut(&task).expect("it exists");
            life.columns.poll_count += 1;
            if life.columns.poll_count == 1 && outer.is_some() {
                life.parent = outer;
            }
            outer = Some(task);
        }
        self.act(step.act, outer, &path);
        if let Some(task) = outer {
            let before = path.iter().rev().nth(1).copied();
            let state = match step.end {
                End::Pending => None,
                End::Ready => Some(TaskState::Completed),
                End::Panic => {
                    let exception = self.charge(outer, self.panic_bytes, 1);
                    self.free(exception, before);
                    Some(TaskState::Panicked)
                }
            };
            let columns = &mut self.lives.get_mut(&task).expect("it exists").columns;
            if let Some(state) = state
                && !columns.state.is_ended()
            {
                columns.state = state;
            }
        }
    }

    fn act(&mut self, act: Act, by: Owner, path: &[usize]) {
        match act {
            Act::Nothing => {}
            Act::Alloc { place, layout, .. } => {
                if !self.blocks.contains_key(&place) {
                    let block = self.charge(by, layout.size() as u64, layout.align());
                    self.blocks.insert(place, block);
                }
            }
            Act::Realloc { place, size } => {
                if let Some(block) = self.blocks.remove(&place) {
                    self.free(block, by);
                    let block = self.charge(by, size as u64, block.align);
                    self.blocks.insert(place, block);
                }
            }
            Act::Free { place } => {
                if let Some(block) = self.blocks.remove(&place) {
                    self.free(block, by);
                }
            }
            Act::Keep { place } => {
                if let Some(life) = by.and_then(|by| self.lives.get_mut(&by))
                    && life.kept.len() < KEPT
                    && let Some(block) = self.blocks.remove(&place)
                {
                    life.kept.push(block);
                }
            }
            Act::Create { task } => {
                if !self.lives.contains_key(&task) {
                    let boxed = self.charge(by, size_of::<Tracked<Puppet>>() as u64, 8);
                    let columns = Columns::nothing(TaskState::Idle, 0);
                    let life =
                        Life { columns, parent: by, kept: Vec::new(), boxed, is_dropped: false };
                    self.lives.insert(task, life);
                }
            }
            Act::Drop { task } => {
                if !path.contains(&task) {
                    self.drop(task, by);
                }
            }
        }
    }

    fn drop(&mut self, task: usize, by: Owner) {
        let Some(life) = self.lives.get_mut(&task).filter(|life| !life.is_dropped) else { return };
        life.is_dropped = true;
        if !life.columns.state.is_ended() {
            life.columns.state = TaskState::Cancelled;
        }
        let boxed = life.boxed;
        for block in std::mem::take(&mut life.kept) {
            self.free(block, Some(task));
        }
        self.free(boxed, by);
    }

    /// What a site's row gained: tasks by their end, and sums.
    fn site(&self, name: &str) -> Site {
        let mut site = Site::default();
        for (_, life) in self.lives.iter().filter(|(task, _)| NAMES[*task % 3] == name) {
            site.spawned += 1;
            match life.columns.state {
                TaskState::Completed => site.completed += 1,
                TaskState::Cancelled => site.cancelled += 1,
                TaskState::Panicked => site.panicked += 1,
                TaskState::Idle | TaskState::Running | TaskState::Unknown | TaskState::Ended => {}
            }
            site.live_bytes += life.columns.live_bytes;
            site.live_blocks += life.columns.live_blocks;
            site.allocated_bytes += life.columns.allocated_bytes;
            site.allocation_count += life.columns.allocation_count;
            site.peak_sum_bytes += life.columns.peak_bytes;
            if life.columns.state.is_ended() {
                site.retained_bytes += life.columns.live_bytes;
            }
        }
        site
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Site {
    spawned: u64,
    completed: u64,
    cancelled: u64,
    panicked: u64,
    live_bytes: u64,
    live_blocks: u64,
    allocated_bytes: u64,
    allocation_count: u64,
    peak_sum_bytes: u64,
    retained_bytes: u64,
}

fn site_now(snapshot: &MemorySnapshot, name: &str) -> Site {
    snapshot.sites().iter().find(|site| site.name == name).map_or_else(Site::default, |site| Site {
        spawned: site.spawned,
        completed: site.completed,
        cancelled: site.cancelled,
        panicked: site.panicked,
        live_bytes: site.live_bytes,
        live_blocks: site.live_blocks,
        allocated_bytes: site.allocated_bytes,
        allocation_count: site.allocation_count,
        peak_sum_bytes: site.peak_sum_bytes,
        retained_bytes: site.retained_bytes,
    })
}

/// `now` less `before`, which was taken when nothing was live.
fn gained(before: Site, now: Site) -> Site {
    Site {
        spawned: now.spawned - before.spawned,
        completed: now.completed - before.completed,
        cancelled: now.cancelled - before.cancelled,
        panicked: now.panicked - before.panicked,
        live_bytes: now.live_bytes - before.live_bytes,
        live_blocks: now.live_blocks - before.live_blocks,
        allocated_bytes: now.allocated_bytes - before.allocated_bytes,
        allocation_count: now.allocation_count - before.allocation_count,
        peak_sum_bytes: now.peak_sum_bytes - before.peak_sum_bytes,
        retained_bytes: now.retained_bytes - before.retained_bytes,
    }
}

// ---- Programs.

fn layouts() -> impl Strategy<Value = Layout> {
    let sizes = prop_oneof![8 => 1..300usize, 2 => 300..10_000usize, 1 => 100_000..200_000usize];
    (sizes, 0..9u32).prop_map(|(size, log)| Layout::from_size_align(size, 1 << log).expect("small"))
}

fn acts() -> impl Strategy<Value = Act> {
    let (place, task) = (|| 0..BLOCKS, || 0..TASKS);
    prop_oneof![
        1 => Just(Act::Nothing),
        8 => (place(), layouts(), any::<bool>())
            .prop_map(|(place, layout, is_zeroed)| Act::Alloc { place, layout, is_zeroed }),
        4 => (place(), 1..5_000usize).prop_map(|(place, size)| Act::Realloc { place, size }),
        6 => place().prop_map(|place| Act::Free { place }),
        3 => place().prop_map(|place| Act::Keep { place }),
        5 => task().prop_map(|task| Act::Create { task }),
        2 => task().prop_map(|task| Act::Drop { task }),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    let path = [(); 3].map(|()| proptest::option::of(0..TASKS));
    let end = prop_oneof![12 => Just(End::Pending), 2 => Just(End::Ready), 1 => Just(End::Panic)];
    (0..THREADS, path, acts(), end).prop_map(|(thread, path, act, end)| Step {
        thread,
        path,
        act,
        end,
    })
}

/// Programs begin with a few tasks, so that most steps find some.
fn programs(most: usize) -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(steps(), 1..most).prop_map(|mut steps| {
        let create = |task| Step {
            thread: 0,
            path: [None; 3],
            act: Act::Create { task },
            end: End::Pending,
        };
        steps.splice(0..0, (0..TASKS / 2).map(create));
        steps
    })
}

fn config(cases: u32) -> Config {
    Config { cases: memscope_tests::cases(cases), failure_persistence: None, ..Config::default() }
}

/// What a panic with an empty payload allocates.
fn panic_bytes() -> u64 {
    let (meter, caught) = Meter::of(|| catch_unwind(|| resume_unwind(Box::new(Wanted))));
    assert!(caught.is_err());
    assert_eq!(meter.allocations, 1);
    meter.allocated_bytes
}

/// Plays a program for real, step after step by `play`, and in the model, and compares all there
/// is.
fn check(
    program: &[Step],
    play: impl FnOnce(&'static World, &[Step]),
) -> Result<(), TestCaseError> {
    let _alone = alone();
    let before = conserved(&ALLOCATOR);
    // The tasks refer to the world that keeps them, so it stays; what they hold is given back
    // below.
    let world: &'static World = Box::leak(Box::new(World::new()));
    let mut model = Model { panic_bytes: panic_bytes(), ..Model::default() };
    for step in program {
        model.run(*step);
    }
    play(world, program);
    let result = compare(&before, world, &model);
    // Everything goes, and is compared once more.
    for task in 0..TASKS {
        world.act(Act::Drop { task }, None);
        model.drop(task, None);
    }
    for place in 0..BLOCKS {
        world.act(Act::Free { place }, None);
        model.act(Act::Free { place }, None, &[]);
    }
    result.and_then(|()| compare(&before, world, &model))
}

fn compare(before: &MemorySnapshot, world: &World, model: &Model) -> Result<(), TestCaseError> {
    let snapshot = conserved(&ALLOCATOR);
    let id_of = |task: usize| *lock(&world.ids[task]);
    for (task, life) in &model.lives {
        let id = id_of(*task).expect("the model made it, so the world did");
        let row = row(&snapshot, id);
        prop_assert_eq!(
            Columns::of(row),
            life.columns,
            "task {} (left: reported, right: model)",
            task
        );
        prop_assert_eq!(row.parent, life.parent.and_then(id_of), "the parent of task {}", task);
        prop_assert_eq!(&row.name, NAMES[task % 3]);
    }
    for name in NAMES {
        let gained = gained(site_now(before, name), site_now(&snapshot, name));
        prop_assert_eq!(gained, model.site(name), "site {} (left: reported, right: model)", name);
    }
    Ok(())
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn one_thread_against_the_model(program in programs(80)) {
        check(&program, |world, program| {
            for step in program {
                world.run(*step);
            }
        })?;
    }
}

proptest! {
    #![proptest_config(config(100))]

    /// Each step on the thread that it names, one after the other: polls, drops and frees wander
    /// over four threads.
    #[test]
    fn four_threads_in_turn_against_the_model(program in programs(80)) {
        check(&program, |world, program| {
            thread::scope(|scope| {
                let (done, is_done) = mpsc::channel();
                let hands: Vec<_> = (0..THREADS).map(|_| {
                    let (hand, steps) = mpsc::channel::<Step>();
                    let done = done.clone();
                    scope.spawn(move || steps.into_iter().for_each(|step| {
                        world.run(step);
                        done.send(()).expect("the test waits");
                    }));
                    hand
                }).collect();
                for step in program {
                    hands[step.thread].send(*step).expect("the thread waits");
                    is_done.recv().expect("done");
                }
            });
        })?;
    }
}
