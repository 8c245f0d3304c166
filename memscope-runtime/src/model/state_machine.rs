//! What the compiler made of a future: plain data for the rows of sites.

use serde::{Deserialize, Serialize};

/// A state machine: what an `async` function, block or closure is compiled to.
///
/// All sizes are bytes. What is said to be alive across an `.await` is an upper bound: a captured
/// value has its place in every state, also when it has moved on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateMachine {
    /// Its type, as debug information names it: `app::db::query::{async_fn_env#0}`.
    pub path: String,
    /// Its size: at most that of the future that it is in.
    pub size_bytes: u64,
    /// How many states it has; three of them are those of a future that was not polled, has ended
    /// and has panicked.
    pub states: u64,
    /// Of the states in which it waits the one that needs most; `None` where it never waits.
    pub widest: Option<WidestState>,
}

/// The state of a [`StateMachine`] that makes it as large as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WidestState {
    /// The file of its `.await`; empty where debug information does not tell.
    pub file: String,
    /// The line there; one inside a macro is a line of the macro.
    pub line: u32,
    /// Where the last value in it ends.
    pub size_bytes: u64,
    /// What it keeps, the largest first, at most five.
    pub locals: Vec<LocalProfile>,
}

/// A value that is kept across an `.await`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LocalProfile {
    /// The variable; `__awaitee` is the future that is waited for.
    pub name: String,
    /// Its type; the middle of a long one is left out.
    pub type_name: String,
    /// Its size.
    pub bytes: u64,
    /// The file that declares it; empty for a value without a line, and where several may be meant.
    pub file: String,
    /// The line there, or 0.
    pub line: u32,
}
