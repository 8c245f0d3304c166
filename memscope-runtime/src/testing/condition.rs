//! The conditions of `assert_memory!`.

use super::{
    failure::{Failure, Holds},
    limits::over,
};
use crate::{
    alloc::Entered,
    config::ENABLED,
    model::{
        TaskMemoryProfile,
        human::{cell, count, path_end},
    },
    snapshot::one_task,
};

/// Asserts that the row of a task keeps limits, such as
/// `assert_memory!(profile, peak_bytes <= 64 * 1024, allocation_count <= 10)`.
///
/// The first argument is a [`TaskMemoryProfile`](crate::async_memory::TaskMemoryProfile), or a
/// reference to one. Each further one is a field of it that is a `u64`, a comparison (`<=`, `<`,
/// `==`, `!=`, `>=`, `>`) and a `u64`. Names of fields that end in `_bytes` are sizes in bytes.
///
/// ```
/// use memscope_runtime::{assert_memory, testing::measure_sync};
///
/// # #[global_allocator]
/// # static A: memscope_runtime::TrackingAllocator = memscope_runtime::TrackingAllocator::new(std::alloc::System);
/// let (_, profile) = measure_sync(|| vec![1_u8; 5_000].len());
/// assert_memory!(profile, peak_bytes <= 8 * 1_024, live_bytes == 0, allocation_count == 1);
/// ```
///
/// # Panics
///
/// If a condition does not hold, or sizes are not measured. The text has at most 25 lines: all
/// conditions that do not hold, the task, its live variables that `track_var!` knows, and the
/// sampled stacks that allocate most.
///
/// Without the feature `enabled` the arguments are type-checked, and nothing runs.
#[macro_export]
macro_rules! assert_memory {
    ($profile:expr, $($field:ident $comparison:tt $limit:expr),+ $(,)?) => {
        match &$profile {
            profile => $crate::__private::testing::assert_all(profile, || {
                [$({
                    let (value, limit): (u64, u64) = (profile.$field, $limit);
                    $crate::__private::testing::Condition {
                        field: ::core::stringify!($field),
                        comparison: ::core::stringify!($comparison),
                        value,
                        limit,
                        holds: value $comparison limit,
                    }
                }),+]
            }),
        }
    };
    ($profile:expr $(,)?) => {
        ::core::compile_error!(
            "expected at least one condition, as in `assert_memory!(profile, peak_bytes <= 1024)`"
        )
    };
}

/// One comparison of `assert_memory!`.
#[derive(Clone, Copy, Debug)]
pub struct Condition {
    /// The field's name.
    pub field: &'static str,
    /// The comparison's sign.
    pub comparison: &'static str,
    /// The field's value.
    pub value: u64,
    /// What it is compared with.
    pub limit: u64,
    /// Whether the condition holds.
    pub holds: bool,
}

/// The most conditions that a failure shows.
const MOST_SHOWN: usize = 4;

/// What `assert_memory!` expands to.
///
/// # Panics
///
/// If a condition does not hold, or sizes are not measured.
#[track_caller]
pub fn assert_all<const N: usize>(
    task: &TaskMemoryProfile,
    conditions: impl FnOnce() -> [Condition; N],
) {
    if !ENABLED {
        return;
    }
    let conditions = conditions();
    let text = {
        let _untracked = Entered::untracked();
        failure(task, &conditions)
    };
    if let Some(text) = text {
        panic!("{text}");
    }
}

fn failure(task: &TaskMemoryProfile, conditions: &[Condition]) -> Option<String> {
    let name = cell(&task.name, 60);
    if !task.measured {
        let why = crate::alloc::install_check::measured().reason();
        return Some(format!("the memory of `{name}` is not measured: {why}"));
    }
    let broken: Vec<_> = conditions.iter().filter(|condition| !condition.holds).collect();
    let first = broken.first()?;
    let mut lines: Vec<String> =
        broken.iter().take(MOST_SHOWN).map(|condition| condition.line()).collect();
    if broken.len() > MOST_SHOWN {
        lines.push(format!("… and {} more", broken.len() - MOST_SHOWN));
    }
    let holds = if first.field.starts_with("live") { Holds::Live } else { Holds::Allocated };
    let title = format!("the memory of `{name}` ({}:{})", path_end(&task.file, 60), task.line);
    // The row as it was measured, and not as it is now.
    let mut tasks = vec![task.clone()];
    tasks.extend(one_task::read_all().into_iter().filter(|it| it.parent == Some(task.id)));
    Some(Failure { title, lines, holds }.text(&tasks))
}

impl Condition {
    fn line(&self) -> String {
        let Self { field, comparison, value, limit, .. } = self;
        if field.ends_with("_bytes") && *comparison == "<=" {
            return format!("{field}: {}", over(*value, *limit));
        }
        format!("{field}: {}, expected {comparison} {}", count(*value), count(*limit))
    }
}
