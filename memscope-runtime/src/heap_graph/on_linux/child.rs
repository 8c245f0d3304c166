//! The copy of the process: finds all blocks, searches from the roots, and tells what it found.
//!
//! It runs alone, on a copy of the calling thread. Other threads may have held any lock at the
//! moment of the copy. So it takes no lock and uses no allocator: its memory are mappings of its
//! own. A block, a word or a list is never written, except in these.

use super::{
    blocks::Blocks,
    graph::{Graph, NONE, NoRoom},
    holdings::{Holdings, Maker},
    inquiry::Inquiry,
    leaks,
    plan::{Kept, Plan},
    task_cells::{Cells, header_words, live_cell},
    typed::Typed,
    wire,
};
use crate::{
    accounting::{Balance, registry},
    picture::{END, List, Maps, Range, START, UsedPages, Writer, answer},
};

/// References of a block, on average, that there is room for.
const EDGES: usize = 16;
/// Roots for which it is found what they reach, not only alone.
const MOST_REACHING: usize = 256;

/// Does the work of the copy. Returns when all is told, and nothing more is asked.
pub(super) fn run(plan: &Plan, channel: libc::c_int) {
    let Some(mut writer) = Writer::new(channel) else { return };
    writer.words(&[START]);
    if search(plan, channel, &mut writer).is_err() {
        writer.words(&[wire::NO_ROOM, END]);
        writer.flush();
    }
}

fn search(plan: &Plan, channel: libc::c_int, writer: &mut Writer) -> Result<(), NoRoom> {
    let maps = Maps::read().ok_or(NoRoom)?;
    let blocks = Blocks::find(&maps)?;
    plan.threads.wait();
    let (live_blocks, live_bytes) = live();
    let is_whole = live_blocks <= blocks.len() as u64;
    let ranges = ranges(plan, &maps)?;
    let cells = Cells::find(&blocks)?;
    let mut typed = Typed::find(&plan.types, &blocks)?;
    let roots = plan.roots.len();
    if roots + blocks.len() >= NONE as usize {
        return Err(NoRoom);
    }
    let mut graph = Graph::new(roots + blocks.len(), EDGES * (blocks.len() + roots) + (1 << 16))?;
    let mut scan = |node: u32, each: &mut dyn FnMut(u32)| {
        let mut refer = |start, end| {
            // A cell is another task's: tasks are in lists of the runtime's, and in wakers. The
            // runtime is none's, as each task and each thread of it leads there.
            let to = |block: usize, is_start: bool| {
                // A pointer into the own block says nothing; one to its start closes a cycle.
                let is_inside = (roots + block) as u32 == node && !is_start;
                if !is_inside && !cells.is_apart(block) {
                    each((roots + block) as u32);
                }
            };
            // SAFETY: ranges of roots and of blocks lie in readable mappings.
            unsafe { blocks.scan(start, end, to) };
        };
        if let Some(block) = (node as usize).checked_sub(roots) {
            return typed.each_range(&blocks, block, refer);
        }
        if !is_whole && is_before(plan, node) {
            let is_other = |map: &&Range| !plan.is_of_thread_or_module(**map, &maps);
            let used = UsedPages::open();
            for map in maps.all.iter().filter(is_other) {
                // What is shared with a file or a process has pages that are not the copy's.
                let is_file = maps.of_files.iter().any(|file| file.contains(map.start));
                blocks.each_gap(*map, |gap| {
                    if is_file {
                        refer(gap.start, gap.end);
                    } else {
                        used.each(gap, |part| refer(part.start, part.end));
                    }
                });
            }
            return;
        }
        let first = ranges.partition_point(|it| it.root < u64::from(node));
        for it in ranges[first..].iter().take_while(|it| it.root == u64::from(node)) {
            refer(it.range.start, it.range.end);
        }
    };
    let is_weak = |root: &u32| plan.roots.get(*root as usize).is_some_and(|root| root.is_weak);
    let numbers = 0..roots as u32;
    for root in numbers.clone().filter(|root| !is_weak(root)) {
        graph.reach(root, &mut scan)?;
    }
    for cell in cells.found.iter() {
        graph.reach(roots as u32 + cell, &mut scan)?;
    }
    graph.begin_weak();
    for root in numbers.filter(is_weak) {
        if is_before(plan, root) {
            graph.begin_weak();
            for runtime in cells.runtimes.iter() {
                graph.reach(roots as u32 + runtime, &mut scan)?;
            }
            graph.begin_weak();
        }
        graph.reach(root, &mut scan)?;
    }
    let rest = graph.begin_rest()?;
    for block in 0..blocks.len() {
        graph.reach((roots + block) as u32, &mut scan)?;
    }
    let left = graph.take_left().ok_or(NoRoom)?;
    let holdings = Holdings::of(&mut graph, &blocks, roots)?;
    writer.words(&[wire::TOTALS, blocks.len() as u64, blocks.bytes, live_blocks, live_bytes]);
    let mut picture = Picture { graph, blocks: &blocks, cells: &cells, holdings, roots, rest };
    picture.tell_roots(writer)?;
    picture.tell_shared(writer);
    leaks::tell(&mut picture.graph, &blocks, roots, &left, writer)?;
    writer.words(&[END]);
    writer.flush();
    let (graph, holdings) = (&picture.graph, &picture.holdings);
    let mut inquiry = Inquiry { graph, blocks: &blocks, holdings, roots, root: 0 };
    answer(channel, &maps, writer, |question, writer| inquiry.answer(question, &maps, writer));
    Ok(())
}

/// All live blocks and bytes of the program, as they are counted. In a process that runs on, about
/// this many.
pub(super) fn live() -> (u64, u64) {
    let (mut blocks, mut bytes) = (0, 0);
    for account in registry::accounts().filter(|account| !account.is_free()) {
        match account.read() {
            Balance::Closed { live_bytes, live_blocks, .. } => {
                bytes += live_bytes.cast_signed();
                blocks += i64::from(live_blocks);
            }
            Balance::Open { net_bytes, net_blocks, record, .. } => {
                let orphans = registry::orphans(account);
                let own = || Some(registry::record(record)?.tally().read());
                let own = orphans.or_else(own).unwrap_or_default();
                bytes += net_bytes + own.own_live_bytes;
                let live_blocks = own.own_live_blocks.wrapping_add(net_blocks);
                blocks += i64::from(live_blocks.cast_signed());
            }
        }
    }
    (u64::try_from(blocks).unwrap_or(0), u64::try_from(bytes).unwrap_or(0))
}

/// A range of addresses of a root.
#[derive(Clone, Copy, Debug)]
struct RootRange {
    root: u64,
    range: Range,
}

// SAFETY: numbers.
unsafe impl crate::picture::Plain for RootRange {}

/// Whether a root is what lies between the blocks: those from before.
fn is_before(plan: &Plan, root: u32) -> bool {
    plan.roots.get(root as usize).is_some_and(|it| matches!(it.kept, Kept::Before))
}

/// The readable ranges of all roots, in the order of the roots. Those between the blocks are not
/// among them: they are as many as the blocks.
fn ranges(plan: &Plan, maps: &Maps) -> Result<List<RootRange>, NoRoom> {
    let most = plan.roots.len() + maps.all.len() * 2 + plan.ranges.len() + 16;
    let mut found = List::with_capacity(2 * most).ok_or(NoRoom)?;
    let mut has_room = true;
    for (root, kept) in plan.roots.iter().enumerate() {
        let mut add = |range: Range| {
            // A range may have pages that cannot be read, as a segment has after it was loaded.
            let first = maps.all.partition_point(|it| it.end <= range.start);
            for map in maps.all[first..].iter().take_while(|it| it.start < range.end) {
                let range = map.intersect(range);
                has_room &= found.push(RootRange { root: root as u64, range });
            }
        };
        match kept.kept {
            Kept::Ranges(first, end) => plan.ranges[first..end].iter().for_each(|it| add(*it)),
            Kept::Stack(thread) => plan.stack(thread, maps).into_iter().for_each(&mut add),
            Kept::Before => {}
            Kept::Files => {
                maps.of_files.iter().filter(|it| !plan.has_module(**it)).for_each(|it| add(*it));
            }
        }
    }
    if has_room { Ok(found) } else { Err(NoRoom) }
}

/// The searched graph, and what it is told of.
struct Picture<'a> {
    graph: Graph,
    blocks: &'a Blocks,
    cells: &'a Cells,
    holdings: Holdings,
    roots: usize,
    /// The first order of what no root reaches.
    rest: usize,
}

impl Picture<'_> {
    fn maker(&self, order: usize) -> Option<(Maker, u64)> {
        let block = (self.graph.node[order] as usize).checked_sub(self.roots)?;
        Some((Maker::of(self.blocks.owner(block)), self.blocks.size(block)))
    }

    /// Tells of each root that holds anything, the largest first.
    fn tell_roots(&mut self, writer: &mut Writer) -> Result<(), NoRoom> {
        let count = self.roots + self.cells.found.len() + self.cells.runtimes.len();
        let mut orders = List::<u32>::with_capacity(count).ok_or(NoRoom)?;
        let apart = self.cells.found.iter().chain(self.cells.runtimes.iter());
        let apart = apart.map(|block| self.roots + *block as usize);
        for node in (0..self.roots).chain(apart) {
            let order = self.graph.order[node];
            if order == NONE {
                return Err(NoRoom);
            }
            // Most statics refer to nothing: they leave the room to those that do.
            let holds = self.graph.refers(order as usize) || node >= self.roots;
            if holds && !orders.push(order) {
                return Err(NoRoom);
            }
        }
        let holdings = &self.holdings;
        orders.sort_unstable_by_key(|order| std::cmp::Reverse(holdings.bytes(*order as usize)));
        let mut stamps = List::<u32>::zeroed(self.graph.len()).ok_or(NoRoom)?;
        let zero = || List::with_capacity(self.graph.len());
        let mut work = [zero().ok_or(NoRoom)?, zero().ok_or(NoRoom)?];
        let mut budget = 2 * self.graph.len() + (1 << 20);
        for (place, order) in orders.iter().enumerate() {
            let order = *order as usize;
            let (alone, blocks) = (self.holdings.bytes(order), self.holdings.blocks(order));
            let mut reachable = 0;
            let mut is_whole = place < MOST_REACHING && budget != 0;
            if is_whole {
                let sizes = Sizes { blocks: self.blocks, roots: self.roots };
                is_whole = sizes.reachable(
                    &mut self.graph,
                    order,
                    (&mut stamps, place as u32 + 1),
                    &mut budget,
                    &mut reachable,
                );
            }
            let reachable = reachable.max(alone);
            if reachable == 0 {
                continue;
            }
            self.tell_root(order, writer);
            writer.words(&[alone, reachable, u64::from(is_whole), blocks]);
            self.tell_steps(order, place < MOST_REACHING, &mut work, writer);
        }
        Ok(())
    }

    fn tell_root(&self, order: usize, writer: &mut Writer) {
        let node = self.graph.node[order] as usize;
        match node.checked_sub(self.roots) {
            None => writer.words(&[wire::ROOT, node as u64]),
            Some(block) if self.cells.is_runtime(block) => writer.words(&[wire::RUNTIME]),
            Some(block) => {
                let [task, id, site] = live_cell(self.blocks, block).unwrap_or_default();
                let (start, bytes) = (self.blocks.start(block) as u64, self.blocks.size(block));
                let [vtable, state] = header_words(self.blocks, block);
                writer.words(&[wire::CELL, task, id, site, start, bytes, vtable, state]);
            }
        }
    }

    fn tell_steps(&self, order: usize, any: bool, work: &mut [List<u32>; 2], writer: &mut Writer) {
        let mut steps = [wire::Group::default(); super::holdings::MOST_STEPS];
        let mut count = 0;
        if any {
            let maker = |order| self.maker(order);
            self.holdings.steps(order, &maker, work, |group| {
                if let Some(step) = steps.get_mut(count) {
                    *step = group;
                    count += 1;
                }
            });
        }
        writer.words(&[count as u64]);
        steps.iter().take(count).for_each(|step| writer.words(&step.words()));
    }

    /// Tells of blocks that several roots hold.
    fn tell_shared(&self, writer: &mut Writer) {
        let mut groups = super::holdings::Groups::new();
        let (mut bytes, mut blocks) = (0, 0);
        for order in self.holdings.held_by(0) {
            let order = *order as usize;
            let Some((maker, size)) = self.maker(order).filter(|_| order < self.rest) else {
                continue;
            };
            let block = self.graph.node[order] as usize - self.roots;
            if !self.cells.is_apart(block) {
                groups.add(maker, size, self.holdings.bytes(order));
                bytes += self.holdings.bytes(order);
                blocks += self.holdings.blocks(order);
            }
        }
        writer.words(&[wire::SHARED, bytes, blocks, groups.all().count() as u64]);
        groups.all().for_each(|group| writer.words(&group.words()));
    }
}

/// The sizes of nodes.
struct Sizes<'a> {
    blocks: &'a Blocks,
    roots: usize,
}

impl Sizes<'_> {
    /// Adds up what an order reaches, as long as the budget lasts. Returns whether that is all.
    fn reachable(
        &self,
        graph: &mut Graph,
        from: usize,
        stamps: (&mut List<u32>, u32),
        budget: &mut usize,
        bytes: &mut u64,
    ) -> bool {
        graph.reachable(from, stamps, |node| {
            if let Some(block) = (node as usize).checked_sub(self.roots) {
                *bytes += self.blocks.size(block);
            }
            *budget = budget.saturating_sub(1);
            *budget != 0
        });
        *budget != 0
    }
}
