//! How sure a finding is, and why.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    finding::{Leak, LeakKind},
    growth::Growth,
    options::LeakOptions,
    wording::{age, several},
};

/// How sure it is that the bytes of a finding are lost.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    /// Load, clients that stay, or the start of a program can look the same.
    #[default]
    Possible,
    /// Few healthy programs look like this: those whose cache still fills, or that collect results.
    Likely,
    /// It is counted, and not judged by its course.
    Certain,
}

impl fmt::Display for Certainty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Possible => "possible",
            Self::Likely => "likely",
            Self::Certain => "certain",
        })
    }
}

/// By what the cause of a finding is known, and with it the cure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum KnownBy {
    /// The cause is not known, and the cure is a usual one.
    #[default]
    Nothing,
    /// By the type or name of a variable that `track_var!` registered.
    Variable,
    /// By this many samples of the stacks that allocate.
    Stacks(u64),
    /// By the site that frees a fair share of such bytes.
    Frees,
    /// By its name: all of it is allocated in a shared owner.
    Shared,
    /// By the course: tasks that do not end become more.
    Course,
    /// By counts: of Tokio's tasks, of the system or of the allocator.
    Counts,
    /// By the graph of the heap: what holds the bytes, or that nothing does.
    HeapGraph,
}

impl KnownBy {
    pub(super) fn words(self) -> String {
        match self {
            Self::Nothing => "what keeps them is not known".to_owned(),
            Self::Variable => "the cause is known by a variable".to_owned(),
            Self::Stacks(samples) => {
                let samples = several(samples, "sample", "samples");
                format!("the cause is known by {samples} of stacks")
            }
            Self::Frees => {
                "the cause is known by the site that frees most of such bytes".to_owned()
            }
            Self::Shared => "what keeps them has this name".to_owned(),
            Self::Course => "the cause is known by their course".to_owned(),
            Self::Counts => "the cause is counted".to_owned(),
            Self::HeapGraph => "the cause is known by the graph of the heap".to_owned(),
        }
    }
}

/// Says of a finding how sure it is. `growth`: how it grows, where it is judged by that. `watched`:
/// for how long the program was, in nanoseconds.
pub(super) fn judge(leak: &mut Leak, growth: Option<&Growth>, watched: u64, options: &LeakOptions) {
    let (certainty, why) = of(leak, growth, watched, options);
    leak.certainty = certainty;
    leak.certainty_reason = match leak.kind {
        // What is not live has no holder.
        LeakKind::Kept | LeakKind::Unseen | LeakKind::OverBudget => why,
        _ => format!("{why}; {}", leak.known_by.words()),
    };
}

fn of(
    leak: &Leak,
    growth: Option<&Growth>,
    watched: u64,
    options: &LeakOptions,
) -> (Certainty, String) {
    use Certainty::{Certain, Likely, Possible};
    match leak.kind {
        LeakKind::OverBudget => return (Certain, "counted at the end of a poll".to_owned()),
        LeakKind::Kept => return (Certain, "counted by the system and the allocator".to_owned()),
        LeakKind::Unseen => return (Likely, "what is left of the system's count".to_owned()),
        LeakKind::Lost => {
            return (Certain, "nothing in the graph of the heap leads to them".to_owned());
        }
        _ => {}
    }
    if leak.cause.is_unreachable() && leak.known_by == KnownBy::HeapGraph {
        return (Certain, "nothing in the graph of the heap leads to most of them".to_owned());
    }
    if watched < options.growth_ns() {
        let why = format!("the program was watched for {} only", age(watched));
        return (Possible, why);
    }
    match (leak.kind, growth) {
        (LeakKind::Unjoined, _) if leak.known_by == KnownBy::Counts => {
            (Certain, "Tokio's own state says that these tasks ended and their cells stay".into())
        }
        (LeakKind::Unjoined, _) => (Likely, "the cells are known, and their number is not".into()),
        (LeakKind::Retained, _) => (Likely, "a cache that still fills looks the same".into()),
        (LeakKind::Stuck, _) if leak.may_be_load => {
            (Possible, "clients that come and stay look the same".into())
        }
        (LeakKind::Stuck, _) => (Likely, "it waits far longer than any that has ended".into()),
        (_, Some(growth)) if growth.is_estimate => {
            (Possible, "samples of stacks alone show it".to_owned())
        }
        (_, Some(growth)) if leak.may_be_load && growth.is_of_a_day() => {
            (Possible, "each of these tasks may have reached its size".to_owned())
        }
        (_, Some(_)) if leak.may_be_load => {
            (Possible, "load can look the same until a day is over".into())
        }
        (_, Some(growth)) if growth.doubling.is_some_and(|it| !it.is_likely()) => {
            (Possible, "a collection that has reached its size looks the same for a while".into())
        }
        (_, Some(growth)) if growth.is_of_a_day() => (Likely, "it rose for a day and more".into()),
        _ => (Likely, "a cache that still fills looks the same".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{analysis::leaks::LeakCause, model::Place};

    const MINUTE_NS: u64 = 60_000_000_000;

    fn leak(kind: LeakKind) -> Leak {
        Leak::at(kind, Place { name: "s".to_owned(), file: "".into(), line: 0 })
    }

    fn judged(mut it: Leak, minutes: u64) -> (Certainty, String) {
        judge(&mut it, None, minutes * MINUTE_NS, &LeakOptions::new());
        (it.certainty, it.certainty_reason)
    }

    #[test]
    fn what_is_counted_is_certain_and_what_may_be_load_is_possible() {
        for kind in [LeakKind::Kept, LeakKind::OverBudget, LeakKind::Lost] {
            assert_eq!(judged(leak(kind), 1).0, Certainty::Certain, "{kind}");
        }
        assert_eq!(judged(leak(LeakKind::Unseen), 9).0, Certainty::Likely);
        assert_eq!(judged(leak(LeakKind::Retained), 9).0, Certainty::Likely);
        let may_be_load = |kind| Leak { may_be_load: true, ..leak(kind) };
        assert_eq!(judged(may_be_load(LeakKind::Stuck), 9).0, Certainty::Possible);
        let counted = Leak { known_by: KnownBy::Counts, ..leak(LeakKind::Unjoined) };
        assert_eq!(judged(counted, 9).0, Certainty::Certain);
        assert_eq!(judged(leak(LeakKind::Unjoined), 9).0, Certainty::Likely);
    }

    #[test]
    fn the_first_two_minutes_make_all_possible_but_what_is_counted() {
        let (certainty, why) = judged(leak(LeakKind::Retained), 1);
        assert_eq!(certainty, Certainty::Possible);
        assert!(why.starts_with("the program was watched for 60 s only; what keeps"), "{why}");
        let lost = Leak {
            cause: LeakCause::Cycle,
            known_by: KnownBy::HeapGraph,
            ..leak(LeakKind::Retained)
        };
        assert_eq!(judged(lost, 1).0, Certainty::Certain);
    }
}
