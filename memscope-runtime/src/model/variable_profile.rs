//! A variable that `track_var!` registered, and all variables of one place.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{site_profile::Place, task::TaskId};

/// What is known of a variable's heap memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// All blocks that the variable itself holds. The contents of its elements are among them only
    /// if it was registered with `deep:`.
    Whole,
    /// Some of its blocks. Others could not be found, or not without waiting.
    Partial,
    /// It held no heap block: no capacity, static data, or plain values. Its end is not seen.
    Nothing,
    /// Its blocks could not be found: only the size and the name of its type are known, or its lock
    /// was held. Its end is not seen.
    Opaque,
    /// Sizes are not measured, because memscope's allocator is not the outermost one. Its end is
    /// not seen.
    NotMeasured,
    /// There were too many live variables to follow this one. Its end is not seen.
    NotFollowed,
}

impl Extent {
    /// Whether the variable is followed to its end. Only then `live`, `heap_bytes` and
    /// `lifetime_ns` have a meaning.
    pub const fn is_followed(self) -> bool {
        matches!(self, Self::Whole | Self::Partial)
    }
}

/// A variable that `track_var!` registered. It is live, or the last of its site that ended or could
/// not be followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VariableProfile {
    /// Its expression in `track_var!`: `cache`, `self.pool`.
    pub name: String,
    /// Its type.
    pub type_name: Cow<'static, str>,
    /// The file of the `track_var!`.
    pub file: Cow<'static, str>,
    /// The line there.
    pub line: u32,
    /// The task that is charged with its heap block, because it allocated or last reallocated it.
    /// Without a block: the task that registered the variable. `None`: outside every task.
    pub task: Option<TaskId>,
    /// The site of that task, while the variable is live.
    pub task_site: Option<Place>,
    /// The task that freed it. `None` if it is live, is not followed, or was freed outside every
    /// task.
    pub freed_by: Option<TaskId>,
    /// The size of the value itself.
    pub stack_bytes: u64,
    /// The bytes of its heap blocks now, or at its end.
    pub heap_bytes: u64,
    /// Which of its blocks `heap_bytes` covers.
    pub extent: Extent,
    /// Whether its block has not been freed; `false` if its end is not seen.
    pub live: bool,
    /// Nanoseconds from the first `track_var!` to the end of its block, or to now; 0 if its end is
    /// not seen.
    pub lifetime_ns: u64,
}

/// All variables that one `track_var!` registered with one type: complete, however many have come
/// and gone. `registered = live + ended + repeated + unfollowed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VariableSiteProfile {
    /// Their expression in `track_var!`.
    pub name: String,
    /// The variables' type.
    pub type_name: Cow<'static, str>,
    /// The file of the `track_var!`.
    pub file: Cow<'static, str>,
    /// The line there.
    pub line: u32,
    /// The size of the value itself.
    pub stack_bytes: u64,
    /// How often the `track_var!` was executed.
    pub registered: u64,
    /// Variables whose block has not been freed.
    pub live: u64,
    /// Variables whose block was freed.
    pub ended: u64,
    /// Registrations of a block that already had this name.
    pub repeated: u64,
    /// Registrations without a block to follow: see [`Extent`].
    pub unfollowed: u64,
    /// The heap bytes of the live ones.
    pub live_bytes: u64,
    /// The most heap bytes of one of them: at its registration, after a growth or at its end.
    pub largest_bytes: u64,
    /// The sum of the lifetimes of the ended ones.
    pub lifetime_sum_ns: u64,
    /// The longest lifetime of an ended one.
    pub longest_lifetime_ns: u64,
}
