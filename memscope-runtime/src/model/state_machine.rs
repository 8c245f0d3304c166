//! What the compiler made of a future, as plain data for the rows of sites.

use serde::{Deserialize, Serialize};

/// A state machine: what an `async` function, block or closure is compiled to.
///
/// All sizes are bytes. What is shown as alive across an `.await` is an upper bound: a captured
/// value has its bytes in every state, even after it was moved out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateMachine {
    /// Its type, as debug information names it: `app::db::query::{async_fn_env#0}`.
    pub path: String,
    /// Its size: at most that of the future that contains it.
    pub size_bytes: u64,
    /// The number of its states. Three of them are: not yet polled, ended, and panicked.
    pub states: u64,
    /// The largest of the states in which it waits; `None` if it never waits.
    pub widest: Option<WidestState>,
}

/// The state of a [`StateMachine`] that determines its size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WidestState {
    /// The file of its `.await`; empty if debug information does not name it.
    pub file: String,
    /// The line there. For an `.await` that a macro has written, it is the line of the macro's call
    /// if the macro is another crate's, such as `select!`. Otherwise it is a line of the macro
    /// itself.
    pub line: u32,
    /// The offset at which the last value in it ends.
    pub size_bytes: u64,
    /// At most five values that it keeps, the largest first.
    pub locals: Vec<LocalProfile>,
}

/// A value that is kept across an `.await`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LocalProfile {
    /// The variable; `__awaitee` is the awaited future.
    pub name: String,
    /// Its type; the middle of a long name is left out.
    pub type_name: String,
    /// Its size.
    pub bytes: u64,
    /// The file that declares it; empty for a value without a line, or if several may be meant.
    pub file: String,
    /// The line there, or 0.
    pub line: u32,
}
