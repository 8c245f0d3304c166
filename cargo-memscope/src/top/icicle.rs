//! Sampled stacks as a tree: the sites, and below them the frames from the outermost inwards.

use std::collections::HashMap;

use regex::Regex;

use super::{context::Context, own_code::Origin, report::place, stacks};

/// A frame below one chain of callers, with the bytes allocated below it.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) place: String,
    pub(super) origin: Origin,
    /// The bytes, which are an estimate.
    pub(super) bytes: u64,
    pub(super) samples: u64,
    /// Bytes of the stacks that the filter matches.
    pub(super) hit: u64,
    /// The bytes of all nodes to its left.
    pub(super) left: u64,
    pub(super) level: usize,
    /// The index of the parent. The root is its own parent.
    pub(super) parent: usize,
    /// The indices of the children, the largest first.
    pub(super) children: Vec<usize>,
}

/// The tree. Its first node is the root.
#[derive(Clone, Debug)]
pub(super) struct Icicle {
    pub(super) nodes: Vec<Node>,
}

/// A node on the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) node: usize,
    pub(super) column: u16,
    pub(super) width: u16,
}

impl Icicle {
    /// Makes the tree of the chosen stacks.
    pub(super) fn of(context: &Context<'_>, filter: Option<&Regex>) -> Self {
        let root = Node { name: "all stacks".to_owned(), ..Node::default() };
        let mut tree = Self { nodes: vec![root] };
        let mut indices: HashMap<(usize, String), usize> = HashMap::new();
        for it in stacks::chosen(context) {
            let is_hit = filter.is_some_and(|filter| it.names.iter().any(|it| filter.is_match(it)));
            tree.charge(0, it.bytes, it.samples, is_hit);
            let frames = std::iter::once(None).chain(it.frames.into_iter().map(Some));
            let mut at = 0;
            for (name, frame) in it.names.into_iter().zip(frames) {
                at = *indices.entry((at, name)).or_insert_with_key(|(parent, name)| {
                    let file = frame.and_then(|it| it.file.as_deref()).unwrap_or_default();
                    let node = Node {
                        name: name.clone(),
                        place: place(file, frame.and_then(|it| it.line)),
                        origin: frame.map_or(Origin::Site, |it| context.own_code.origin(it)),
                        level: tree.nodes[*parent].level + 1,
                        parent: *parent,
                        ..Node::default()
                    };
                    tree.nodes.push(node);
                    let index = tree.nodes.len() - 1;
                    tree.nodes[*parent].children.push(index);
                    index
                });
                tree.charge(at, it.bytes, it.samples, is_hit);
            }
        }
        tree.sort();
        tree
    }

    fn charge(&mut self, at: usize, bytes: u64, samples: u64, is_hit: bool) {
        let node = &mut self.nodes[at];
        node.bytes = node.bytes.saturating_add(bytes);
        node.samples = node.samples.saturating_add(samples);
        if is_hit {
            node.hit = node.hit.saturating_add(bytes);
        }
    }

    /// Sorts siblings, and sets where each of them begins. A parent comes before its children.
    fn sort(&mut self) {
        for at in 0..self.nodes.len() {
            let mut children = std::mem::take(&mut self.nodes[at].children);
            children.sort_by(|a, b| {
                let (a, b) = (&self.nodes[*a], &self.nodes[*b]);
                b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name))
            });
            let mut left = self.nodes[at].left;
            for child in &children {
                self.nodes[*child].left = left;
                left = left.saturating_add(self.nodes[*child].bytes);
            }
            self.nodes[at].children = children;
        }
    }

    /// Returns the node at the end of a path of names. The empty path leads to the root.
    pub(super) fn find(&self, path: &[String]) -> Option<usize> {
        path.iter().try_fold(0, |at, name| {
            self.nodes[at].children.iter().copied().find(|it| self.nodes[*it].name == *name)
        })
    }

    /// The names from the site down to a node.
    pub(super) fn path(&self, mut at: usize) -> Vec<String> {
        let mut names = Vec::new();
        while at != 0 {
            names.push(self.nodes[at].name.clone());
            at = self.nodes[at].parent;
        }
        names.reverse();
        names
    }

    pub(super) fn sibling(&self, at: usize, is_next: bool) -> Option<usize> {
        let siblings = &self.nodes[self.nodes[at].parent].children;
        let place = siblings.iter().position(|it| *it == at)?;
        let to = if is_next { place.checked_add(1) } else { place.checked_sub(1) };
        siblings.get(to?).copied()
    }

    /// Returns the node that is reached by always taking the largest child.
    pub(super) fn deepest(&self, mut at: usize) -> usize {
        while let Some(child) = self.nodes[at].children.first() {
            at = *child;
        }
        at
    }

    /// Returns the places of nodes if `top` is as wide as the screen: those above `top` and those
    /// below it. Also returns how many nodes are too narrow, without those below them.
    pub(super) fn places(&self, top: usize, columns: u16) -> (Vec<Place>, usize) {
        let mut places = Vec::new();
        let mut above = self.nodes[top].parent;
        for _ in 0..self.nodes[top].level {
            places.push(Place { node: above, column: 0, width: columns });
            above = self.nodes[above].parent;
        }
        let mut too_narrow = 0;
        let (from, all) = (self.nodes[top].left, u128::from(self.nodes[top].bytes.max(1)));
        let column = |bytes: u64| {
            let column = u128::from(bytes.saturating_sub(from)) * u128::from(columns) / all;
            u16::try_from(column).unwrap_or(columns).min(columns)
        };
        let mut open = vec![top];
        while let Some(at) = open.pop() {
            let node = &self.nodes[at];
            let first = column(node.left);
            let width = column(node.left.saturating_add(node.bytes)).saturating_sub(first);
            if width == 0 {
                too_narrow += 1;
                continue;
            }
            places.push(Place { node: at, column: first, width });
            open.extend(&node.children);
        }
        (places, too_narrow)
    }
}
