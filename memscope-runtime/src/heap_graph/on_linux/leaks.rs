//! What no root reaches: lost blocks, and cycles of blocks that hold each other.
//!
//! Of the blocks that the search of the rest has left last, each is one that no other lost block
//! leads to, or lies in a cycle that none leads to (Kosaraju). So going through them from the last
//! one back, each that has no leak yet begins one. Everything it reaches belongs to it, as far as
//! no leak before has it.

use super::{
    blocks::Blocks,
    graph::{Graph, NoRoom},
    holdings::Maker,
    wire,
};
use crate::picture::{List, Plain, Writer};

/// Leaks of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Leak {
    site: u32,
    stack: u32,
    /// 0 if several tasks made them.
    task: u64,
    is_in_cycle: u64,
    bytes: u64,
    blocks: u64,
    /// How many leaks these are.
    count: u64,
}

// SAFETY: numbers.
unsafe impl Plain for Leak {}

/// The most kinds; further ones are one kind of their site, without a stack.
const MOST_KINDS: usize = 1 << 12;

/// Tells of all leaks. `left`: the orders of the rest, as the search has left them.
pub(super) fn tell(
    graph: &mut Graph,
    all: &Blocks,
    roots: usize,
    left: &List<u32>,
    writer: &mut Writer,
) -> Result<(), NoRoom> {
    let size = |node: u32| (node as usize).checked_sub(roots).map_or(0, |block| all.size(block));
    let maker = |node: u32| {
        let block = (node as usize).checked_sub(roots);
        block.map(|block| Maker::of(all.owner(block)))
    };
    let mut kinds = Kinds(List::zeroed(2 * MOST_KINDS).ok_or(NoRoom)?, 0);
    find(graph, left, size, |node, leak| kinds.add(leak, maker(node)))?;
    for leak in kinds.0.iter().filter(|leak| leak.count != 0) {
        let Leak { site, stack, task, is_in_cycle, bytes, blocks, count } = *leak;
        let [of_site, of_stack] = [site, stack].map(u64::from);
        writer.words(&[wire::LEAK, of_site, of_stack, task, is_in_cycle, bytes, blocks, count]);
    }
    Ok(())
}

/// Calls `each` with every leak, and the node that it begins with.
fn find(
    graph: &mut Graph,
    left: &List<u32>,
    size: impl Fn(u32) -> u64,
    mut each: impl FnMut(u32, Leak),
) -> Result<(), NoRoom> {
    let mut stamps = List::<u32>::zeroed(graph.len()).ok_or(NoRoom)?;
    for order in left.iter().rev() {
        let order = *order as usize;
        if stamps[order] != 0 {
            continue;
        }
        let mut leak = Leak { count: 1, ..Leak::default() };
        let is_in_cycle = graph.reachable(order, (&mut stamps, 1), |node| {
            leak.bytes += size(node);
            leak.blocks += 1;
            true
        });
        leak.is_in_cycle = u64::from(is_in_cycle);
        each(graph.node[order], leak);
    }
    Ok(())
}

/// Leaks by kind, in a hash table.
struct Kinds(List<Leak>, usize);

impl Kinds {
    fn add(&mut self, leak: Leak, maker: Option<Maker>) {
        let Some(Maker { site, task, stack }) = maker else { return };
        let is_full = self.1 >= MOST_KINDS;
        let mut key = Leak { site, stack, task, ..leak };
        if is_full {
            // A table that is full has room for the few kinds that are left.
            key.stack = 0;
        }
        let len = self.0.len();
        let hash = u64::from(key.site) ^ u64::from(key.stack) << 20;
        let start = (hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize;
        let is_same = |it: &Leak| {
            (it.site, it.stack, it.is_in_cycle) == (key.site, key.stack, key.is_in_cycle)
        };
        for step in 0..len {
            let place = &mut self.0[(start + step) % len];
            if place.count == 0 {
                *place = key;
                self.1 += 1;
                return;
            }
            if is_same(place) {
                place.bytes += key.bytes;
                place.blocks += key.blocks;
                place.count += 1;
                if place.task != key.task {
                    place.task = 0;
                }
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The leaks of a graph whose nodes refer to these, as nodes that they begin with, blocks, and
    /// whether they are cycles.
    fn leaks(refers: &[&[u32]]) -> Vec<(u32, u64, bool)> {
        let mut graph = Graph::new(refers.len(), 100).expect("memory");
        graph.begin_rest().expect("memory");
        for root in 0..refers.len() {
            let mut scan = |node: u32, each: &mut dyn FnMut(u32)| {
                refers[node as usize].iter().for_each(|to| each(*to));
            };
            graph.reach(root as u32, &mut scan).expect("room");
        }
        let left = graph.take_left().expect("there");
        let mut found = Vec::new();
        find(
            &mut graph,
            &left,
            |_| 1,
            |node, leak| {
                assert_eq!(leak.bytes, leak.blocks);
                found.push((node, leak.blocks, leak.is_in_cycle != 0));
            },
        )
        .expect("memory");
        found.sort_unstable();
        found
    }

    #[test]
    fn a_leak_begins_where_no_other_lost_block_leads() {
        // Found from its end, from its middle, and from its start.
        assert_eq!(leaks(&[&[], &[0], &[1]]), [(2, 3, false)]);
        assert_eq!(leaks(&[&[1], &[2], &[]]), [(0, 3, false)]);
        assert_eq!(leaks(&[&[], &[]]), [(0, 1, false), (1, 1, false)]);
    }

    #[test]
    fn a_cycle_is_told_from_a_block_that_leads_to_one() {
        assert_eq!(leaks(&[&[1], &[0]]), [(0, 2, true)]);
        assert_eq!(leaks(&[&[0]]), [(0, 1, true)], "a block that holds itself");
        assert_eq!(leaks(&[&[1], &[0], &[1]]), [(2, 3, false)]);
        // The cycle leads to a lost block.
        assert_eq!(leaks(&[&[], &[2, 0], &[1]]), [(1, 3, true)]);
    }

    #[test]
    fn leaks_of_many_tasks_of_one_site_are_one_kind() {
        let mut kinds = Kinds(List::zeroed(2 * MOST_KINDS).expect("memory"), 0);
        let leak = Leak { bytes: 10, blocks: 2, count: 1, is_in_cycle: 1, ..Leak::default() };
        let of = |task: u64, stack: u32| Some(Maker { site: 3, task, stack });
        (1..=9_000).for_each(|task| kinds.add(leak, of(task, 0)));
        kinds.add(leak, of(7, 5));
        kinds.add(leak, of(7, 5));
        let all: Vec<Leak> = kinds.0.iter().filter(|leak| leak.count != 0).copied().collect();
        let counts = |leak: &Leak| (leak.stack, leak.task, leak.count, leak.bytes);
        let mut all: Vec<_> = all.iter().map(counts).collect();
        all.sort_unstable();
        assert_eq!(all, [(0, 0, 9_000, 90_000), (5, 7, 2, 20)]);
    }
}
