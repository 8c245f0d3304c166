//! What the rows of a report are sorted by.

#[cfg(feature = "report-file")]
use crate::model::SiteProfile;
use crate::model::{StackProfile, TaskMemoryProfile};

/// What the rows of a report are sorted by, the largest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "report-file"),
    allow(dead_code, unreachable_pub, reason = "only saved reports are sorted otherwise")
)]
pub enum Ranking {
    /// Live bytes.
    #[default]
    Live,
    /// The most live bytes at one time: of a site, of one task.
    Peak,
    /// All bytes that were allocated.
    Allocated,
    /// Live bytes of ended tasks.
    Retained,
}

impl Ranking {
    #[cfg(feature = "report-file")]
    pub(crate) fn of_site(self, site: &SiteProfile) -> u64 {
        match self {
            Self::Live => site.live_bytes,
            Self::Peak => site.peak_bytes,
            Self::Allocated => site.allocated_bytes,
            Self::Retained => site.retained_bytes,
        }
    }

    pub(crate) fn of_task(self, task: &TaskMemoryProfile) -> u64 {
        match self {
            Self::Live => task.live_bytes,
            Self::Peak => task.peak_bytes,
            Self::Allocated => task.allocated_bytes,
            Self::Retained if task.state.is_ended() => task.live_bytes,
            Self::Retained => 0,
        }
    }

    /// The figure of several tasks: the highest peak of one, the sum of all else.
    pub(crate) fn and(self, one: u64, other: u64) -> u64 {
        match self {
            Self::Peak => one.max(other),
            Self::Live | Self::Allocated | Self::Retained => one.saturating_add(other),
        }
    }

    /// Stacks have neither a peak nor retained bytes.
    pub(crate) fn of_stack(self, stack: &StackProfile) -> (u64, u64) {
        match self {
            Self::Allocated => (stack.allocated_bytes, stack.live_bytes),
            Self::Live | Self::Peak | Self::Retained => (stack.live_bytes, stack.allocated_bytes),
        }
    }
}
