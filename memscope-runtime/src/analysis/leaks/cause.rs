//! What keeps the bytes: a map, a list, a queue …, as far as variables and stacks tell.

use serde::{Deserialize, Serialize};

use super::{
    code::{Code as Allocating, Codes, SPAWNS, Share},
    kind::{is_sent, of_frames},
};
use crate::model::StackProfile;

/// What keeps the bytes of a finding, as far as it is known. The usual cure depends on it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LeakCause {
    /// It is not known.
    #[default]
    Unknown,
    /// A map, a set or a cache.
    Map,
    /// A list, or a buffer that is written to.
    List,
    /// A channel or queue, whose other end takes less than is put in.
    Queue,
    /// Tasks that have ended, whose `JoinHandle`s are held and not awaited.
    Unjoined,
    /// Tasks that have ended, whose cells are kept by wakers or `AbortHandle`s.
    Wakers,
    /// Tasks that do not end.
    Endless,
    /// Buffers of the crate `bytes`: a part that is kept keeps the whole.
    Buffer,
    /// Blocks that hold each other, as `Rc`s and `Arc`s do, and that nothing else leads to.
    Cycle,
    /// Blocks that nothing leads to, as after `mem::forget`.
    Lost,
}

impl LeakCause {
    /// Whether nothing holds the bytes.
    pub(super) fn is_unreachable(self) -> bool {
        matches!(self, Self::Cycle | Self::Lost)
    }
}

/// The largest stacks must have this many live samples together before they name a cause.
const LEAST_SAMPLES: u64 = 2;
/// … or be this many times as large as the bytes between two samples.
const SURELY_SAMPLED: u64 = 4;

/// A list is one block. Where samples stand for less than this many intervals each, the bytes are
/// in many blocks: items, such as texts that grow while they are built, and something else holds
/// them.
const INTERVALS_OF_LIST: u64 = 2;

/// This many samples say something about the bytes of some code.
pub(super) const FIRM_SAMPLES: u64 = 4;
/// Code that has this part of the bytes is named beside the largest.
pub(super) const FAIR_SHARE: u64 = 4;

/// What the stacks of some bytes have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Clue {
    /// What most of the bytes are in.
    pub(super) cause: LeakCause,
    /// The function by which it is known: `HashMap::insert`.
    pub(super) by: String,
    /// The samples of all stacks that are of this cause.
    pub(super) cause_samples: u64,
    /// The blocks of this cause are tables of maps, and none is known to be large.
    pub(super) has_small_tables: bool,
    /// The code that sends some of the bytes into a channel, by two samples or more.
    pub(super) sends: Option<String>,
    /// The program's functions of the largest stack, the innermost first.
    pub(super) code: String,
    /// Live bytes of that code and of all stacks, by estimate.
    pub(super) code_bytes: u64,
    pub(super) all_bytes: u64,
    /// The samples of that code.
    pub(super) samples: u64,
    /// Other code that has a fair share: the text, its bytes and samples.
    pub(super) other: Option<(String, u64, u64)>,
    /// The collection that the same function of the program moves to more room: what it allocates
    /// may be in there. Its kind, the function by which it is known, and the program's function.
    pub(super) beside: Option<(LeakCause, String, String)>,
}

/// The bytes of a call stack that count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    stack: &'a StackProfile,
    pub(super) live_bytes: u64,
    pub(super) live_samples: u64,
}

impl<'a> Part<'a> {
    /// The live bytes of a stack that have come since then; all, if `None` or nothing is known.
    pub(super) fn since(stack: &'a StackProfile, since_ns: Option<u64>) -> Self {
        let StackProfile { live_bytes, live_samples, .. } = *stack;
        let mut points = stack.points.iter().rev();
        let before = since_ns.and_then(|since| points.find(|point| point.at_ns <= since));
        let risen = live_bytes.saturating_sub(before.map_or(0, |point| point.live_bytes));
        // Of one sample a part is one sample: a table that has moved is in a new block.
        let part = u128::from(live_samples) * u128::from(risen);
        let samples = part.div_ceil(u128::from(live_bytes.max(1)));
        let live_samples = u64::try_from(samples).unwrap_or(live_samples);
        Self { stack, live_bytes: risen, live_samples }
    }
}

impl Clue {
    /// Returns `None` if there is no sample with a name. `interval`: the bytes between two samples.
    /// `whole`: what the bytes of all stacks are, where some of these are missing. Code with less
    /// than half of it is not named then; 0: none is missing.
    pub(super) fn of<'a>(
        stacks: impl Iterator<Item = Part<'a>>,
        interval: u64,
        whole: u64,
    ) -> Option<Self> {
        let mut causes: Vec<(LeakCause, u64, u64, String)> = Vec::new();
        let (mut codes, mut sent) = (Codes::default(), Codes::default());
        let mut all_bytes = 0_u64;
        let mut tables: Vec<(LeakCause, String, Allocating, u64)> = Vec::new();
        for Part { stack, live_bytes, live_samples } in stacks {
            // A table that has not moved since then is the one that fills.
            tables.extend(table(stack, interval));
            if live_bytes == 0 || live_samples == 0 {
                continue;
            }
            all_bytes = all_bytes.saturating_add(live_bytes);
            let (cause, by) = of_frames(&stack.frames).unwrap_or_default();
            let same = causes.iter_mut().find(|it| it.0 == cause);
            if let Some((_, bytes, samples, _)) = same {
                *bytes = bytes.saturating_add(live_bytes);
                *samples = samples.saturating_add(live_samples);
            } else {
                causes.push((cause, live_bytes, live_samples, by));
            }
            let Some(code) = Allocating::of(&stack.frames) else { continue };
            if is_sent(stack) {
                sent.add(code.clone(), live_bytes, live_samples);
            }
            codes.add(code, live_bytes, live_samples);
        }
        let all_bytes = all_bytes.max(whole);
        let mut codes = codes.largest_first().into_iter();
        let largest = codes.next().filter(|it| it.bytes >= whole / 2)?;
        let is_fair = |it: &Share| {
            it.bytes >= all_bytes / FAIR_SHARE && it.samples >= FIRM_SAMPLES && whole == 0
        };
        let other = codes.next().filter(is_fair);
        let most = causes.into_iter().max_by_key(|it| it.1);
        let most = most
            .filter(|(_, bytes, samples, _)| {
                // A block much larger than the interval is sampled for sure.
                let is_large = *bytes / SURELY_SAMPLED >= interval;
                *bytes >= all_bytes / 2 && (*samples >= LEAST_SAMPLES || is_large)
            })
            .filter(|(cause, bytes, samples, _)| !is_items(*cause, *bytes, *samples, interval))
            .unwrap_or_default();
        let (cause, cause_bytes, cause_samples, by) = most;
        let has_small_tables =
            is_table(&by) && !is_in_large_blocks(cause_bytes, cause_samples, interval);
        tables.retain(|(.., code, _)| {
            code.own_name().is_some_and(|name| Some(name) == largest.own_name())
        });
        let beside = tables.into_iter().max_by_key(|it| it.3);
        let sent = sent.largest_first().into_iter().max_by_key(|it| it.samples);
        let sends = sent.filter(|it| it.samples >= LEAST_SAMPLES).map(|it| it.to_string());
        Some(Self {
            cause,
            by,
            cause_samples,
            has_small_tables,
            sends,
            code: largest.to_string(),
            code_bytes: largest.bytes,
            all_bytes,
            samples: largest.samples,
            other: other.map(|it| (it.to_string(), it.bytes, it.samples)),
            beside: beside
                .map(|(cause, by, code, bytes)| (cause, by, Share::of(code, bytes, 1).names())),
        })
    }

    /// The same, where each of many tasks has left something, or one goes on and on: then small
    /// tables are those of maps which are items of something else, and its kind is not known.
    pub(super) fn without_small_tables(self) -> Self {
        if !self.has_small_tables {
            return self;
        }
        Self { cause: LeakCause::Unknown, by: String::new(), cause_samples: 0, ..self }
    }

    /// Whether this many samples of the code say anything about its bytes.
    pub(super) fn is_firm(&self) -> bool {
        self.samples >= FIRM_SAMPLES
    }

    /// Whether the code spawns tasks and has at least half of the bytes: they are Tokio's cells.
    pub(super) fn is_of_cells(&self) -> bool {
        let innermost = self.code.split("` in `").next().unwrap_or_default();
        let is_most = self.code_bytes >= self.all_bytes / 2;
        is_most && SPAWNS.iter().any(|words| innermost.contains(words))
    }
}

/// The collection in one block that a stack has moved to more room: its kind, the function by which
/// it is known, the program's function, and its bytes.
fn table(stack: &StackProfile, interval: u64) -> Option<(LeakCause, String, Allocating, u64)> {
    let (cause, by) = of_frames(&stack.frames).filter(|_| stack.live_samples != 0)?;
    let StackProfile { live_bytes, live_samples, .. } = *stack;
    let is_block = is_in_large_blocks(live_bytes, live_samples, interval) && !is_sent(stack);
    Some((cause, by, Allocating::innermost_own(&stack.frames)?, live_bytes)).filter(|_| is_block)
}

/// Whether what looks like a list are items of something else.
pub(super) fn is_items(cause: LeakCause, bytes: u64, samples: u64, interval: u64) -> bool {
    cause == LeakCause::List && !is_in_large_blocks(bytes, samples, interval)
}

/// Whether each of these samples stands for this many bytes that it is of a block of its own.
fn is_in_large_blocks(bytes: u64, samples: u64, interval: u64) -> bool {
    bytes >= interval.saturating_mul(INTERVALS_OF_LIST).saturating_mul(samples)
}

/// Whether the function, by its short name, makes the table of a map: its entries, and nothing that
/// these point to.
fn is_table(by: &str) -> bool {
    by.starts_with("RawTable") || by.ends_with("::reserve_rehash") || by.ends_with("::resize")
}

#[cfg(test)]
mod tests {
    use super::{super::wording::allocated_at, *};
    use crate::model::{StackFrame, TrendPoint};

    fn stack(functions: &[&str], samples: u64) -> StackProfile {
        let frames = functions.iter().map(|function| StackFrame {
            function: (*function).to_owned().into(),
            ..StackFrame::default()
        });
        StackProfile {
            frames: frames.collect(),
            live_bytes: samples << 22,
            live_samples: samples,
            ..StackProfile::default()
        }
    }

    fn clue(stacks: &[StackProfile]) -> Option<Clue> {
        Clue::of(stacks.iter().map(|stack| Part::since(stack, None)), 2 << 20, 0)
    }

    #[test]
    fn what_has_come_since_then_names_the_cause_and_not_what_was_there() {
        let at = |at_ns: u64, mib: u64| TrendPoint {
            at_ns,
            live_bytes: mib << 20,
            allocated_bytes: mib << 20,
        };
        let cache = &["hashbrown::map::HashMap<K,V>::insert", "app::put"];
        let base =
            StackProfile { points: vec![at(0, 32), at(50, 160), at(100, 160)], ..stack(cache, 40) };
        let log = &["alloc::vec::Vec<T,A>::push", "app::log"];
        let leak = StackProfile { points: vec![at(0, 0), at(50, 8), at(100, 32)], ..stack(log, 8) };
        let stacks = [base, leak];
        let since = |since_ns: Option<u64>| {
            let parts = stacks.iter().map(|stack| Part::since(stack, since_ns));
            let clue = Clue::of(parts, 2 << 20, 0).expect("named");
            (clue.cause, clue.code_bytes >> 20, clue.all_bytes >> 20, clue.samples)
        };
        assert_eq!(since(None), (LeakCause::Map, 160, 192, 40));
        assert_eq!(since(Some(60)), (LeakCause::List, 24, 24, 6), "the last point before then");
        assert_eq!(since(Some(0)), (LeakCause::Map, 128, 160, 32));
    }

    #[test]
    fn code_with_a_fair_share_is_named_beside_the_largest() {
        let told = |page: u64, log: u64| {
            let clue = clue(&[stack(&["app::page"], page), stack(&["app::log"], log)]);
            allocated_at(&clue.expect("named")).expect("code")
        };
        assert_eq!(
            told(6, 4),
            "`app::page`, ≈ 60 % by 6 samples, and at `app::log`, ≈ 40 % by 4 samples"
        );
        assert_eq!(told(6, 3), "`app::page`, ≈ 66 % by 6 samples", "too few samples");
        assert_eq!(told(40, 10), "`app::page`, ≈ 80 % by 40 samples", "a small share");
        assert_eq!(told(3, 2), "`app::page`, by 3 samples");
        // Where stacks are missing, others may have more.
        let stacks = [stack(&["app::page"], 6), stack(&["app::log"], 4)];
        let parts = stacks.iter().map(|stack| Part::since(stack, None));
        assert_eq!(Clue::of(parts, 2 << 20, 10 << 22).expect("named").other, None);
    }

    #[test]
    fn where_stacks_are_missing_code_is_named_for_half_of_the_whole() {
        let stacks = [stack(&["app::page"], 3), stack(&["app::log"], 2)];
        let parts = || stacks.iter().map(|stack| Part::since(stack, None));
        let share =
            |whole: u64| Clue::of(parts(), 2 << 20, whole << 22).map(|it| it.all_bytes >> 22);
        assert_eq!([share(0), share(5), share(6), share(7)], [Some(5), Some(5), Some(6), None]);
    }

    const POLL: &str = "tokio::runtime::task::raw::poll";

    #[test]
    fn a_collection_that_the_same_function_moves_is_named_beside_what_it_allocates() {
        let item = || stack(&["app::remember", "app::serve"], 9);
        let beside = |function: &str, mib: u64| {
            let table = ["hashbrown::raw::RawTable<T,A>::reserve_rehash", function, "app::serve"];
            let table = StackProfile { live_bytes: mib << 20, ..stack(&table, 1) };
            clue(&[item(), table]).expect("named").beside.map(|(cause, _, code)| (cause, code))
        };
        let here = Some((LeakCause::Map, "`app::remember`".to_owned()));
        assert_eq!(beside("app::remember", 8), here);
        assert_eq!(beside("app::log", 8), None, "another function");
        assert_eq!(beside("app::remember", 2), None, "a small one");
    }

    #[test]
    fn small_tables_of_many_tasks_are_no_map_that_they_share() {
        let table = ["hashbrown::raw::RawTable<T,A>::reserve_rehash", "app::put"];
        let small = StackProfile { live_bytes: 18 << 20, ..stack(&table, 9) };
        let entry = ["std::collections::hash::map::Entry<K,V>::or_insert_with", "app::put"];
        let entries = StackProfile { live_bytes: 18 << 20, ..stack(&entry, 9) };
        let cause = |stack: StackProfile| {
            let clue = clue(&[stack]).expect("named");
            (clue.cause, clue.without_small_tables().cause)
        };
        assert_eq!(cause(small), (LeakCause::Map, LeakCause::Unknown));
        assert_eq!(cause(stack(&table, 9)), (LeakCause::Map, LeakCause::Map), "large ones");
        assert_eq!(cause(entries), (LeakCause::Map, LeakCause::Map), "what is put in");
    }

    #[test]
    fn one_sample_and_less_than_half_of_the_bytes_name_no_cause() {
        let push = |samples| stack(&["alloc::vec::Vec<T,A>::push", "app::log"], samples);
        let other = |samples| stack(&["app::page", POLL], samples);
        let cause = |stacks: &[StackProfile]| clue(stacks).map(|clue| clue.cause);
        assert_eq!(cause(&[push(1)]), Some(LeakCause::Unknown));
        let large = StackProfile { live_bytes: 8 << 20, ..push(1) };
        assert_eq!(cause(&[large]), Some(LeakCause::List), "one block that could not be missed");
        let items = StackProfile { live_bytes: 90 << 20, ..push(40) };
        assert_eq!(cause(&[items]), Some(LeakCause::Unknown), "many blocks are no list");
        assert_eq!(cause(&[push(2), other(3)]), Some(LeakCause::Unknown));
        assert_eq!(cause(&[push(3), other(2)]), Some(LeakCause::List));
        let map = stack(&["hashbrown::map::HashMap<K,V>::insert", "app::put"], 3);
        assert_eq!(cause(&[push(4), other(3), map]), Some(LeakCause::Unknown), "less than half");
        assert_eq!(cause(&[stack(&[""], 9)]), None, "no name");
        assert_eq!(cause(&[]), None);
    }
}
