//! The graph of what holds what: which nodes are reached from roots, and through which root alone.
//!
//! Nodes are numbered: first the roots, then the blocks. A depth-first search from a node in front
//! of all roots gives each reached node its *order*. Immediate dominators come from the
//! semidominators (Semi-NCA: Georgiadis 2005), so a list that is linked both ways takes no longer
//! than others. All work is done in lists of numbers, without recursion.

use crate::picture::List;

/// No node, or not reached.
pub(super) const NONE: u32 = u32::MAX;

/// There was no memory for the graph, or no room for its references.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoRoom;

/// The nodes in the order of a depth-first search; order 0 is the node in front of all roots.
#[derive(Debug)]
pub(super) struct Graph {
    /// The order of each node.
    pub(super) order: List<u32>,
    /// The node of each order.
    pub(super) node: List<u32>,
    /// The order from which each order was reached first. Shortened while dominators are found, and
    /// then the immediate dominator of each.
    parent: List<u32>,
    /// For each order, where its references begin in `edges`.
    first: List<u32>,
    /// Nodes that are referred to.
    edges: List<u32>,
    /// What a search works with.
    cursor: List<u32>,
    /// Orders in the sequence in which the search has left them, from `begin_rest` on.
    left: Option<List<u32>>,
    /// Nodes with a lower order are taken: a reference to them counts for nothing.
    taken: u32,
}

impl Graph {
    /// A graph of this many nodes, with room for this many references.
    pub(super) fn new(nodes: usize, edges: usize) -> Result<Self, NoRoom> {
        let make = || {
            let mut order = List::zeroed(nodes)?;
            order.fill(NONE);
            let mut graph = Self {
                order,
                node: List::with_capacity(nodes + 1)?,
                parent: List::with_capacity(nodes + 1)?,
                first: List::with_capacity(nodes + 2)?,
                edges: List::with_capacity(edges)?,
                cursor: List::with_capacity(nodes + 1)?,
                left: None,
                taken: 0,
            };
            let front = graph.node.push(NONE)
                && graph.parent.push(0)
                && graph.first.push(0)
                && graph.cursor.push(0);
            front.then_some(graph)
        };
        make().ok_or(NoRoom)
    }

    /// The number of orders.
    pub(super) fn len(&self) -> usize {
        self.node.len()
    }

    /// Where the references of an order lie.
    fn references(&self, order: usize) -> std::ops::Range<usize> {
        let end = self.first.get(order + 1).map_or(self.edges.len(), |end| *end as usize);
        self.first[order] as usize..end
    }

    /// Whether an order refers to any node.
    pub(super) fn refers(&self, order: usize) -> bool {
        !self.references(order).is_empty()
    }

    /// From here on, roots claim only what is not reached yet: they are *weak*. Returns the next
    /// order.
    pub(super) fn begin_weak(&mut self) -> usize {
        self.taken = number(self.len());
        self.len()
    }

    /// [`begin_weak`](Self::begin_weak) for what no root reaches: notes in which sequence the
    /// search leaves the nodes.
    pub(super) fn begin_rest(&mut self) -> Result<usize, NoRoom> {
        self.left = Some(List::with_capacity(self.order.len()).ok_or(NoRoom)?);
        Ok(self.begin_weak())
    }

    /// The orders of the rest, in the sequence in which the search has left them.
    pub(super) fn take_left(&mut self) -> Option<List<u32>> {
        self.left.take()
    }

    /// Reaches all nodes from this one. `scan` calls its argument with each node that a node refers
    /// to. Returns false if `root` was reached before.
    ///
    /// No node may refer to a root, except in the rest: dominators know only that it is one.
    pub(super) fn reach(
        &mut self,
        root: u32,
        scan: &mut impl FnMut(u32, &mut dyn FnMut(u32)),
    ) -> Result<bool, NoRoom> {
        if self.order[root as usize] != NONE {
            return Ok(false);
        }
        let mut at = self.enter(root, 0, scan)?;
        while at != 0 {
            let end = self.references(at).end;
            let cursor = self.cursor[at] as usize;
            if cursor == end {
                if let Some(left) = &mut self.left
                    && !left.push(number(at))
                {
                    return Err(NoRoom);
                }
                at = self.parent[at] as usize;
                continue;
            }
            self.cursor[at] += 1;
            let next = self.edges[cursor];
            if self.order[next as usize] == NONE {
                at = self.enter(next, at, scan)?;
            }
        }
        Ok(true)
    }

    /// Gives a node its order, and reads what it refers to. Returns the order.
    fn enter(
        &mut self,
        node: u32,
        from: usize,
        scan: &mut impl FnMut(u32, &mut dyn FnMut(u32)),
    ) -> Result<usize, NoRoom> {
        let at = self.len();
        let begin = number(self.edges.len());
        self.order[node as usize] = number(at);
        let mut has_room = self.node.push(node)
            && self.parent.push(number(from))
            && self.first.push(begin)
            && self.cursor.push(begin);
        let (order, edges, taken) = (&self.order, &mut self.edges, self.taken);
        let mut last = NONE;
        scan(node, &mut |to| {
            if to != last && order[to as usize] >= taken {
                has_room &= edges.push(to);
            }
            last = to;
        });
        if has_room && self.edges.len() < NONE as usize { Ok(at) } else { Err(NoRoom) }
    }

    /// The immediate dominator of an order, once they are found: the last one through which all
    /// ways from the front lead to it.
    #[inline]
    pub(super) fn dominator(&self, order: usize) -> usize {
        self.parent[order] as usize
    }

    /// Finds the immediate dominators. Nothing can be reached any more afterwards.
    pub(super) fn find_dominators(&mut self) -> Result<(), NoRoom> {
        let len = self.len();
        let (first_in, sources) = self.sources()?;
        let mut semi = List::<u32>::zeroed(len).ok_or(NoRoom)?;
        // For each order, the least semidominator on the way that `parent` leaves out.
        let mut least = List::<u32>::zeroed(len).ok_or(NoRoom)?;
        let mut dominator = List::<u32>::zeroed(len).ok_or(NoRoom)?;
        dominator.copy_from_slice(&self.parent);
        for at in (1..len).rev() {
            let mut best = self.parent[at];
            for source in first_in[at]..first_in[at + 1] {
                let from = sources[source as usize];
                let candidate = if from as usize <= at {
                    from
                } else {
                    self.shorten(from, number(at), &mut least);
                    least[from as usize]
                };
                best = best.min(candidate);
            }
            semi[at] = best;
            least[at] = best;
        }
        for at in 1..len {
            let mut over = dominator[at];
            while over > semi[at] {
                over = dominator[over as usize];
            }
            dominator[at] = over;
        }
        self.parent = dominator;
        Ok(())
    }

    /// Shortens the way from an order up to those that are not done yet, all of which are `at` or
    /// less. Leaves the least semidominator of the way in `least`.
    fn shorten(&mut self, from: u32, at: u32, least: &mut List<u32>) {
        // The way, last first, in the lists that the search is done with.
        let mut depth = 0;
        let mut over = from;
        while self.parent[over as usize] > at {
            self.cursor[depth] = over;
            depth += 1;
            over = self.parent[over as usize];
        }
        let top = self.parent[over as usize];
        let mut so_far = least[over as usize];
        for step in (0..depth).rev() {
            let on_way = self.cursor[step] as usize;
            so_far = so_far.min(least[on_way]);
            least[on_way] = so_far;
            self.parent[on_way] = top;
        }
    }

    /// For each order, the orders that refer to it: where they begin in the list, and the list.
    fn sources(&self) -> Result<(List<u32>, List<u32>), NoRoom> {
        let len = self.len();
        let mut first_in = List::<u32>::zeroed(len + 1).ok_or(NoRoom)?;
        let mut sources = List::<u32>::zeroed(self.edges.len()).ok_or(NoRoom)?;
        for to in self.edges.iter() {
            first_in[self.order[*to as usize] as usize] += 1;
        }
        let mut sum = 0;
        for count in first_in.iter_mut() {
            sum += *count;
            *count = sum;
        }
        for at in 1..len {
            for edge in self.references(at) {
                let to = self.order[self.edges[edge] as usize] as usize;
                first_in[to] -= 1;
                sources[first_in[to] as usize] = number(at);
            }
        }
        Ok((first_in, sources))
    }

    /// Calls `each` with every node that is reached from this order, itself first, as long as it
    /// returns true. `stamps` has a number for each order; those with `stamp` are passed over.
    /// Returns whether a reference leads back to `from`.
    pub(super) fn reachable(
        &mut self,
        from: usize,
        (stamps, stamp): (&mut List<u32>, u32),
        mut each: impl FnMut(u32) -> bool,
    ) -> bool {
        let mut depth = 1;
        let mut is_in_cycle = false;
        stamps[from] = stamp;
        self.cursor[0] = number(from);
        while depth != 0 {
            depth -= 1;
            let at = self.cursor[depth] as usize;
            if !each(self.node[at]) {
                return is_in_cycle;
            }
            for edge in self.references(at) {
                let to = self.order[self.edges[edge] as usize] as usize;
                is_in_cycle |= to == from;
                if stamps[to] != stamp {
                    stamps[to] = stamp;
                    self.cursor[depth] = number(to);
                    depth += 1;
                }
            }
        }
        is_in_cycle
    }
}

/// A number of nodes or references; `Graph` has no room for as many as `NONE`.
fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(NONE)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A graph whose nodes refer to these, searched from the first `strong` nodes, then weakly from
    /// the next `weak` ones.
    fn graph(refers: &[Vec<u32>], strong: usize, weak: usize) -> Graph {
        let edges = refers.iter().map(Vec::len).sum();
        let mut graph = Graph::new(refers.len(), edges).expect("memory");
        let mut scan = |node: u32, each: &mut dyn FnMut(u32)| {
            refers[node as usize].iter().for_each(|to| each(*to));
        };
        for root in 0..strong {
            graph.reach(root as u32, &mut scan).expect("room");
        }
        graph.begin_weak();
        for root in strong..strong + weak {
            graph.reach(root as u32, &mut scan).expect("room");
        }
        graph
    }

    /// The nodes that are reached from these without a way through `without`.
    fn reached(
        refers: &[Vec<u32>],
        roots: std::ops::Range<usize>,
        without: Option<u32>,
    ) -> Vec<bool> {
        let mut reached = vec![false; refers.len()];
        let mut todo: Vec<u32> = roots.map(|root| root as u32).collect();
        while let Some(node) = todo.pop() {
            if Some(node) != without && !std::mem::replace(&mut reached[node as usize], true) {
                todo.extend(&refers[node as usize]);
            }
        }
        reached
    }

    /// What each node refers to, and how many roots there are, to which no node refers.
    fn graphs() -> impl Strategy<Value = (Vec<Vec<u32>>, usize)> {
        (2..24_u32).prop_flat_map(|nodes| (1..nodes, Just(nodes))).prop_flat_map(
            |(roots, nodes)| {
                let refers = prop::collection::vec(roots..nodes, 0..5);
                (prop::collection::vec(refers, nodes as usize), Just(roots as usize))
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn a_node_dominates_what_is_reached_through_it_alone((refers, roots) in graphs()) {
            let mut graph = graph(&refers, roots, 0);
            graph.find_dominators().expect("memory");
            let all = reached(&refers, 0..roots, None);
            for (order, is_reached) in graph.order.iter().zip(&all) {
                prop_assert_eq!(*order != NONE, *is_reached);
            }
            for node in (0..refers.len()).filter(|node| all[*node]) {
                let without = reached(&refers, 0..roots, Some(node as u32));
                for other in (0..refers.len()).filter(|other| all[*other] && *other != node) {
                    let mut over = graph.order[other] as usize;
                    while over != 0 && graph.node[over] as usize != node {
                        over = graph.dominator(over);
                    }
                    prop_assert_eq!(over != 0, !without[other], "{} over {}", node, other);
                }
            }
        }

        #[test]
        fn a_weak_root_takes_nothing_from_a_strong_one((refers, roots) in graphs()) {
            let strong = roots / 2;
            let mut graph = graph(&refers, strong, roots - strong);
            graph.find_dominators().expect("memory");
            let strongly = reached(&refers, 0..strong, None);
            for node in (0..refers.len()).filter(|node| strongly[*node]) {
                let over = graph.dominator(graph.order[node] as usize);
                prop_assert!(over == 0 || strongly[graph.node[over] as usize]);
            }
        }
    }

    #[test]
    fn a_list_of_a_million_nodes_that_is_linked_both_ways_takes_no_stack_and_no_square_of_time() {
        const NODES: u32 = 1_000_000;
        let mut graph = Graph::new(NODES as usize, 3 * NODES as usize).expect("memory");
        // Node 0 is the root, which knows both ends.
        let mut scan = |node: u32, each: &mut dyn FnMut(u32)| match node {
            0 => [1, NODES - 1].into_iter().for_each(&mut *each),
            node => {
                each((node + 1).min(NODES - 1));
                each((node - 1).max(1));
            }
        };
        graph.reach(0, &mut scan).expect("room");
        graph.find_dominators().expect("memory");
        assert_eq!(graph.len(), NODES as usize + 1);
        let mut over = (2..graph.len()).map(|order| graph.dominator(order));
        assert!(over.all(|over| over == 1), "both ways lead from the root");
    }

    #[test]
    fn a_graph_with_more_references_than_room_is_refused() {
        let mut graph = Graph::new(3, 1).expect("memory");
        let found = graph.reach(0, &mut |node, each| {
            if node == 0 {
                each(1);
                each(2);
            }
        });
        assert_eq!(found, Err(NoRoom));
    }
}
