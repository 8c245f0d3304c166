//! What each node of the graph holds: alone, and in which steps.

use super::{
    blocks::Blocks,
    graph::{Graph, NoRoom},
    wire::Group,
};
use crate::{
    accounting::{
        Account, Owner, OwnerKind, UNTRACKED,
        stacks::{self, Sample},
    },
    picture::List,
};

/// The most steps of a way down from a root.
pub(super) const MOST_STEPS: usize = 6;

/// Bytes and blocks that each order holds alone, itself included.
#[derive(Debug)]
pub(super) struct Holdings {
    bytes: List<u64>,
    blocks: List<u32>,
    /// For each order, where those begin in `held` that it dominates immediately.
    first: List<u32>,
    held: List<u32>,
}

impl Holdings {
    /// `roots`: the number of nodes that are no blocks.
    pub(super) fn of(graph: &mut Graph, all: &Blocks, roots: usize) -> Result<Self, NoRoom> {
        graph.find_dominators()?;
        let len = graph.len();
        let mut bytes = List::<u64>::zeroed(len).ok_or(NoRoom)?;
        let mut blocks = List::<u32>::zeroed(len).ok_or(NoRoom)?;
        let mut first = List::<u32>::zeroed(len + 1).ok_or(NoRoom)?;
        let mut held = List::<u32>::zeroed(len).ok_or(NoRoom)?;
        for at in (1..len).rev() {
            if let Some(block) = (graph.node[at] as usize).checked_sub(roots) {
                bytes[at] += all.size(block);
                blocks[at] += 1;
            }
            let over = graph.dominator(at);
            bytes[over] += bytes[at];
            blocks[over] += blocks[at];
            first[over] += 1;
        }
        let mut sum = 0;
        for count in first.iter_mut() {
            sum += *count;
            *count = sum;
        }
        for at in (1..len).rev() {
            let over = graph.dominator(at);
            first[over] -= 1;
            held[first[over] as usize] = u32::try_from(at).map_err(|_| NoRoom)?;
        }
        Ok(Self { bytes, blocks, first, held })
    }

    pub(super) fn bytes(&self, order: usize) -> u64 {
        self.bytes[order]
    }

    pub(super) fn blocks(&self, order: usize) -> u64 {
        u64::from(self.blocks[order])
    }

    /// The orders that this one dominates immediately.
    pub(super) fn held_by(&self, order: usize) -> &[u32] {
        &self.held[self.first[order] as usize..self.first[order + 1] as usize]
    }

    /// The way down from an order: at each step the blocks of one kind that hold most.
    pub(super) fn steps(
        &self,
        from: usize,
        maker: &impl Fn(usize) -> Option<(Maker, u64)>,
        work: &mut [List<u32>; 2],
        mut each: impl FnMut(Group),
    ) {
        let [now, next] = work;
        now.clear();
        let mut has_room = now.push(u32::try_from(from).unwrap_or(0));
        let mut above = self.bytes(from);
        for _ in 0..MOST_STEPS {
            let mut groups = Groups::new();
            for order in now.iter().flat_map(|over| self.held_by(*over as usize)) {
                if let Some((maker, size)) = maker(*order as usize) {
                    groups.add(maker, size, self.bytes[*order as usize]);
                }
            }
            let Some((key, group)) = groups.largest() else { return };
            // What holds little of the rest explains nothing.
            if !has_room || group.bytes < above / 8 {
                return;
            }
            above = group.bytes;
            each(group);
            next.clear();
            for order in now.iter().flat_map(|over| self.held_by(*over as usize)) {
                if maker(*order as usize).is_some_and(|(maker, size)| Key::of(maker, size) == key) {
                    has_room &= next.push(*order);
                }
            }
            std::mem::swap(now, next);
        }
    }
}

/// What has made a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Maker {
    /// The index of the site.
    pub(super) site: u32,
    /// The id of the task; 0: none.
    pub(super) task: u64,
    /// The index of the sampled stack, + 1; 0: none.
    pub(super) stack: u32,
}

impl Maker {
    pub(super) fn of(owner: Owner) -> Self {
        let stack = owner.sample().and_then(stacks::stack_of).map_or(0, |stack| stack + 1);
        let covered = owner.sample().map_or(owner, Sample::covered);
        let account = match covered.read() {
            OwnerKind::Account(account) | OwnerKind::Cell(account) => Some(account),
            OwnerKind::Named(name) => name.account(),
            OwnerKind::Sampled(_) | OwnerKind::Memscope | OwnerKind::Unknown => None,
        };
        Self {
            site: account.map_or(UNTRACKED, Account::site),
            task: account.map_or(0, Account::id),
            stack,
        }
    }
}

/// What the blocks of a group have in common: the site, and the size to a power of two, or exactly
/// if it is small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    site: u32,
    class: u32,
}

impl Key {
    fn of(maker: Maker, size: u64) -> Self {
        const SMALL: u64 = 256;
        let class = if size < SMALL { size as u32 } else { SMALL as u32 + size.ilog2() };
        Self { site: maker.site, class }
    }
}

/// Groups of blocks, as many as there is room for.
#[derive(Debug)]
pub(super) struct Groups {
    groups: [(Key, Group); MOST_GROUPS],
    count: usize,
}

const MOST_GROUPS: usize = 64;

impl Groups {
    pub(super) fn new() -> Self {
        let none = (Key { site: 0, class: 0 }, Group::default());
        Self { groups: [none; MOST_GROUPS], count: 0 }
    }

    /// Adds a block of this size, which holds this many bytes.
    pub(super) fn add(&mut self, maker: Maker, size: u64, bytes: u64) {
        let key = Key::of(maker, size);
        let there = self.groups.iter().take(self.count).position(|(it, _)| *it == key);
        let at = there.unwrap_or(self.count);
        if there.is_none() && at < MOST_GROUPS {
            self.count += 1;
        }
        let Some((kept, group)) = self.groups.get_mut(at) else { return };
        if group.blocks == 0 {
            *kept = key;
            (group.site, group.task) = (u64::from(maker.site), maker.task);
        } else if group.task != maker.task {
            group.task = 0;
        }
        if maker.stack != 0 {
            group.stack = u64::from(maker.stack);
        }
        group.blocks += 1;
        group.own_bytes += size;
        group.bytes += bytes;
    }

    /// The group that holds most.
    fn largest(&self) -> Option<(Key, Group)> {
        self.groups.iter().take(self.count).max_by_key(|(_, group)| group.bytes).copied()
    }

    /// All groups, in no order.
    pub(super) fn all(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().take(self.count).map(|(_, group)| group)
    }
}
