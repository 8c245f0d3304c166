//! The reasons why a walk ends.

use memscope_layout::{StateKind, TypeId};

use super::{
    listed::List,
    tree::{MOST_DEPTH, Node},
};
use crate::{model::await_point::FUTURES_IN, primitives::StaticRef};

/// One of the futures that a type polls side by side, or perhaps waits for. A walk through memory
/// that stands still goes on in each of them.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(super) to: TypeId,
    pub(super) start: u64,
    /// Whether it is alive as long as the type around it.
    pub(super) is_certain: bool,
    pub(super) child: StaticRef<Node>,
}

/// Why a walk ends.
#[derive(Debug)]
pub(crate) enum WalkEnd {
    /// The type of the future has no layout that can be believed.
    NotJoined(&'static str),
    /// The task waits for this type, which has no state machine in it.
    Leaf(String),
    /// The same of a type that may have functions which are not known: in a list, or behind a lock.
    Opaque(String),
    /// The same as of a leaf. The address of the queue that it waits in is at this offset, from the
    /// start of the block that the walk is in.
    Queued { name: String, queue: usize },
    /// The type polls this many futures side by side. The first ones are named.
    SideBySide { name: String, count: usize, futures: Vec<String>, branches: Box<[Branch]> },
    /// This type was written by hand and has these futures, and nothing else that it may wait for.
    /// It may wait for one of them after the other, or for several.
    SomeOf { name: String, futures: Vec<String>, branches: Box<[Branch]> },
    /// This type has a list of futures, and polls each.
    Listed { name: String, list: Box<List> },
    /// The future in this type may have been dropped, or is shared.
    Uncertain(String),
    /// This type was written by hand, and may have lent its parts to another thread.
    ByHand(String),
    /// This type was written by hand and has these futures, but may wait for something else that it
    /// has.
    Perhaps { name: String, futures: Vec<String>, branches: Box<[Branch]> },
    /// The first type is a pointer in or below the second. The second was written by hand and may
    /// have lent what is behind the pointer.
    PointerByHand(String, String),
    /// The future is in a state that does not wait.
    NotWaiting(StateKind),
    /// The type holds no future now.
    NoFuture(String),
    /// The function is a stream that has given its item.
    HasGiven,
    /// What debug information says of the type makes no sense.
    NotUnderstood,
    /// The branches of a `select!` were disabled in too many ways.
    TooManyMasks,
    /// The path has more than `MOST_DEPTH` steps.
    TooDeep,
}

impl WalkEnd {
    /// The futures into which a walk goes on where memory stands still.
    pub(super) fn branches(&self) -> &[Branch] {
        match self {
            Self::SideBySide { branches, .. }
            | Self::SomeOf { branches, .. }
            | Self::Perhaps { branches, .. } => branches,
            _ => &[],
        }
    }

    /// The type that has several futures, and waits for nothing else.
    pub(super) fn several(&self) -> Option<&str> {
        match self {
            Self::SideBySide { name, .. } | Self::SomeOf { name, .. } => Some(name),
            _ => None,
        }
    }

    /// The type that has several futures, of which each is known not to be awaited.
    pub(super) fn without_futures(&self) -> Option<String> {
        match self {
            Self::SideBySide { name, .. }
            | Self::SomeOf { name, .. }
            | Self::Perhaps { name, .. } => Some(format!(
                "waits for {name}, but for none of the functions in it: they are over, or were not \
                 polled yet"
            )),
            Self::Listed { name, .. } => {
                Some(format!("waits for {name}, which has no future that waits"))
            }
            _ => None,
        }
    }

    /// Whether what is awaited surely has no function.
    pub(super) fn has_no_function(&self) -> bool {
        matches!(self, Self::Leaf(_) | Self::Queued { .. }) || self.not_awaited().is_some()
    }

    /// What is surely not awaited where the walk ends.
    pub(super) fn not_awaited(&self) -> Option<&'static str> {
        match self {
            Self::NotWaiting(StateKind::Unresumed) => Some("a future that was not polled yet"),
            Self::NotWaiting(_) => Some("a future that is over"),
            Self::NoFuture(_) => Some("what it holds no more"),
            Self::HasGiven => Some("a stream that has given its item"),
            _ => None,
        }
    }

    pub(super) fn say(&self) -> String {
        match self {
            Self::NotJoined(why) => format!("it cannot be looked into: {why}"),
            Self::Leaf(name) | Self::Opaque(name) | Self::Queued { name, .. } => {
                format!("waits for {name}")
            }
            Self::SideBySide { name, count, futures, .. } => {
                let more = match count.saturating_sub(futures.len()) {
                    0 => String::new(),
                    more => format!(", and {more} more"),
                };
                let futures = futures.join(", ");
                format!("waits for {count} futures side by side in {name}: {futures}{more}")
            }
            Self::SomeOf { name, futures, .. } => format!(
                "waits for {name}, perhaps for {} in it: it may wait for one or several of them",
                futures.join(" or ")
            ),
            Self::Listed { name, .. } => format!("{FUTURES_IN}{name}"),
            Self::Uncertain(name) => {
                format!("waits for {name}, which may have been dropped or is shared")
            }
            Self::ByHand(name) => format!(
                "waits for {name}, which is written by hand and may have lent its parts to another thread: the walk ends there"
            ),
            Self::Perhaps { name, futures, branches } => {
                let rest = if branches.is_empty() {
                    ", in which there may be other functions"
                } else {
                    ""
                };
                format!(
                    "waits for {name}, perhaps for {} in it: it is written by hand and may wait for something else{rest}",
                    futures.join(" or ")
                )
            }
            Self::PointerByHand(pointer, name) => format!(
                "waits for {pointer}: the walk ends there, as {name} around it is written by hand and may have lent it to another thread"
            ),
            Self::NotWaiting(_) | Self::HasGiven => {
                format!("waits for something else than {}", self.not_awaited().unwrap_or_default())
            }
            Self::NoFuture(name) => format!("waits for {name}, which holds no future now"),
            Self::NotUnderstood => "debug information does not tell how it goes on".to_owned(),
            Self::TooManyMasks => {
                "waits in a `select!`, of whose branches some are disabled: there \
                                   were too many ways in which they are"
                    .to_owned()
            }
            Self::TooDeep => format!("goes on, more than {MOST_DEPTH} steps deep"),
        }
    }
}
