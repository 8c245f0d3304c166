//! Events: what happened to a task, small enough for a ring.

use crate::{model::EventKind, primitives::Words};

/// One event, in 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// When it happened. 0 if no clock was read for it: then `thread_ring::push` sets the time that
    /// it knows.
    pub(crate) at_ns: u64,
    pub(crate) task: u64,
    /// Nanoseconds of a task's life or of a poll (0 if not timed), or bytes of a block.
    pub(crate) amount: u64,
    /// The index of the task's site.
    pub(crate) site: u32,
    pub(crate) kind: EventKind,
}

impl Event {
    pub(crate) fn to_words(self) -> Words {
        [self.at_ns, self.task, self.amount, u64::from(self.site) << 8 | self.kind as u64]
    }

    pub(crate) fn from_words([at_ns, task, amount, rest]: Words) -> Self {
        let kind = usize::from(rest.to_le_bytes()[0]);
        Self {
            at_ns,
            task,
            amount,
            site: u32::try_from(rest >> 8).unwrap_or(0),
            kind: EventKind::ALL.get(kind).copied().unwrap_or(EventKind::Spawned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_what_its_words_say() {
        for kind in EventKind::ALL {
            let event = Event { at_ns: 1, task: u64::MAX, amount: 3, site: u32::MAX - 2, kind };
            assert_eq!(Event::from_words(event.to_words()), event);
        }
    }
}
