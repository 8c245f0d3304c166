//! A variable that `track_var!` registered, and all variables of one place.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{site_profile::Place, task::TaskId};

/// What is known of a variable's heap memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// All blocks that the variable itself holds (without the contents of its elements, unless it
    /// was registered with `deep:`).
    Whole,
    /// Some of its blocks; others could not be found, or not without waiting.
    Partial,
    /// It held no heap block: no capacity, static data, or plain values. Its end is not seen.
    Nothing,
    /// Its blocks could not be found: nothing is known of its type but size and name, or somebody
    /// held its lock. Its end is not seen.
    Opaque,
    /// Sizes are not measured, since memscope's allocator is not the outermost one. Its end is not
    /// seen.
    NotMeasured,
    /// There were too many live variables to follow this one. Its end is not seen.
    NotFollowed,
}

impl Extent {
    /// Whether the variable is followed to its end, so that `live`, `heap_bytes` and `lifetime_ns`
    /// say something.
    pub const fn is_followed(self) -> bool {
        matches!(self, Self::Whole | Self::Partial)
    }
}

/// A variable that `track_var!` registered: one that lives, or the last of its site that ended or
/// could not be followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VariableProfile {
    /// As it is written in `track_var!`: `cache`, `self.pool`.
    pub name: String,
    /// Its type.
    pub type_name: Cow<'static, str>,
    /// The file of the `track_var!`.
    pub file: Cow<'static, str>,
    /// The line there.
    pub line: u32,
    /// The task that its heap block is charged to (who allocated it, or reallocated it last), or
    /// for one without a block the task that registered it; `None`: outside every task.
    pub task: Option<TaskId>,
    /// The site of that task, while the variable lives.
    pub task_site: Option<Place>,
    /// The task that freed it; `None`: it lives, is not followed, or was freed outside every task.
    pub freed_by: Option<TaskId>,
    /// The size of the value itself.
    pub stack_bytes: u64,
    /// The bytes of its heap blocks now, or at its end.
    pub heap_bytes: u64,
    /// How these are to be read.
    pub extent: Extent,
    /// Whether its block has not been freed. False where its end is not seen.
    pub live: bool,
    /// Nanoseconds from the first `track_var!` to the end of its block, or to now; 0 where its end
    /// is not seen.
    pub lifetime_ns: u64,
}

/// All variables that one `track_var!` registered with one type; whole however many have come and
/// gone: `registered = live + ended + repeated + unfollowed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VariableSiteProfile {
    /// As it is written in `track_var!`.
    pub name: String,
    /// The variables' type.
    pub type_name: Cow<'static, str>,
    /// The file of the `track_var!`.
    pub file: Cow<'static, str>,
    /// The line there.
    pub line: u32,
    /// The size of the value itself.
    pub stack_bytes: u64,
    /// How often the `track_var!` was passed.
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
    /// The most heap bytes that one of them had at its registration, after a growth or at its end.
    pub largest_bytes: u64,
    /// The sum of the lifetimes of those that ended.
    pub lifetime_sum_ns: u64,
    /// The longest lifetime of one that ended.
    pub longest_lifetime_ns: u64,
}
