//! Why a walk ends.

use memscope_layout::StateKind;

use super::tree::MOST_DEPTH;

/// Why a walk ends.
#[derive(Debug)]
pub(crate) enum WalkEnd {
    /// The type of the future has no layout that can be believed.
    NotJoined(&'static str),
    /// It waits for this type, which has no state machine in it.
    Leaf(String),
    /// These are polled side by side in the type.
    SideBySide(String, Vec<String>),
    /// It may have been dropped.
    Uncertain(String),
    /// This type was written by hand, and may have lent to another thread what it is made of.
    ByHand(String),
    /// The pointer is in the second type, or below it, which was written by hand and may have lent
    /// what is behind it.
    PointerByHand(String, String),
    /// It is in a state that does not wait.
    NotWaiting(StateKind),
    /// The variant has no future.
    NoFuture(String),
    /// What debug information says of it makes no sense.
    NotUnderstood,
    TooDeep,
}

impl WalkEnd {
    pub(super) fn say(&self) -> String {
        match self {
            Self::NotJoined(why) => format!("it cannot be looked into: {why}"),
            Self::Leaf(name) => format!("waits for {name}"),
            Self::SideBySide(name, several) => {
                format!(
                    "waits for {} futures side by side in {name}: {}",
                    several.len(),
                    several.join(", ")
                )
            }
            Self::Uncertain(name) => {
                format!("waits for {name}, which may have been dropped or is shared")
            }
            Self::ByHand(name) => format!(
                "waits for {name}, which is written by hand and may have lent its parts to another thread: the walk ends there"
            ),
            Self::PointerByHand(pointer, name) => format!(
                "waits for {pointer}: the walk ends there, as {name} around it is written by hand and may have lent it to another thread"
            ),
            Self::NotWaiting(StateKind::Unresumed) => {
                "waits for a future that was not polled yet".to_owned()
            }
            Self::NotWaiting(_) => "waits for a future that is over".to_owned(),
            Self::NoFuture(name) => format!("waits for {name}, which holds no future now"),
            Self::NotUnderstood => "debug information does not tell how it goes on".to_owned(),
            Self::TooDeep => format!("goes on, more than {MOST_DEPTH} steps deep"),
        }
    }
}
