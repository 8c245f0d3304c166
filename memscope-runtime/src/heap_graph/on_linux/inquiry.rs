//! What the copy answers when it has told the graph: which blocks the words of a value hold.

use super::{
    blocks::Blocks,
    graph::{Graph, NONE},
    holdings::Holdings,
};
use crate::picture::{ASKED_WORDS, Maps, WORD, Writer};

/// Asks about the root that is the block at this address, from here on. Its answer is empty.
pub(super) const OF: u64 = 2;
/// Asks which blocks are held through the words from one address to another: those that the root
/// holds alone.
pub(super) const HELD: u64 = 3;

/// In the address of a block: a word points to where the block begins. No block begins at an odd
/// address.
pub(super) const AT_START: u64 = 1;

/// The most blocks of one answer.
const MOST_HELD: usize = 512;
/// The most blocks on the way from a root to one that it holds.
const MOST_DEPTH: usize = 1 << 10;

/// The graph, which is asked about.
pub(super) struct Inquiry<'a> {
    pub(super) graph: &'a Graph,
    pub(super) blocks: &'a Blocks,
    pub(super) holdings: &'a Holdings,
    /// The number of nodes that are no blocks.
    pub(super) roots: usize,
    /// The order of the root; 0: none.
    pub(super) root: usize,
}

impl Inquiry<'_> {
    pub(super) fn answer(
        &mut self,
        [kind, first, second]: [u64; ASKED_WORDS],
        maps: &Maps,
        writer: &mut Writer,
    ) {
        let (first, second) = (first as usize, second as usize);
        match kind {
            OF => {
                self.root = self.blocks.at(first).and_then(|it| self.order(it)).unwrap_or(0);
                writer.words(&[0]);
            }
            HELD => self.tell_held(first, second, maps, writer),
            _ => writer.words(&[0]),
        }
    }

    /// The order of a block; `None` if no root reaches it.
    fn order(&self, block: usize) -> Option<usize> {
        let order = self.graph.order[self.roots + block];
        (order != NONE).then_some(order as usize)
    }

    /// Tells of each block where it begins, with [`AT_START`] if a word points there, and how many
    /// bytes are held through it alone.
    fn tell_held(&self, start: usize, end: usize, maps: &Maps, writer: &mut Writer) {
        let mut held = [[0_u64; 2]; MOST_HELD];
        let mut count = 0;
        let readable = maps.at(start).map_or(start, |map| maps.end_of_run(map));
        let each = |block: usize, is_start: bool| {
            let start = self.blocks.start(block) as u64;
            let flag = if is_start { AT_START } else { 0 };
            if let Some(known) = held.iter_mut().take(count).find(|it| it[0] & !AT_START == start) {
                known[0] |= flag;
            } else if let Some(order) = self.order(block).filter(|order| self.is_held(*order))
                && let Some(place) = held.get_mut(count)
            {
                *place = [start | flag, self.holdings.bytes(order)];
                count += 1;
            }
        };
        // SAFETY: a part of readable mappings.
        unsafe { self.blocks.scan(start, end.min(readable), each) };
        writer.words(&[(count * 2 * WORD) as u64]);
        held.iter().take(count).for_each(|it| writer.words(it));
    }

    /// Whether the root holds an order alone. It does not hold itself.
    fn is_held(&self, order: usize) -> bool {
        let mut over = order;
        for _ in 0..MOST_DEPTH {
            over = self.graph.dominator(over);
            if over == 0 {
                return false;
            }
            if over == self.root {
                return true;
            }
        }
        false
    }
}
