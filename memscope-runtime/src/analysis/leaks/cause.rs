//! What keeps the bytes: a map, a list, a queue …, as far as variables and stacks tell.

use serde::{Deserialize, Serialize};

use super::code::{Code as Allocating, Codes, SPAWNS, Share};
use crate::model::{StackFrame, StackProfile, symbol::Code};

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

/// The largest stacks must have so many live samples together before they name a cause.
const LEAST_SAMPLES: u64 = 2;
/// … or be so many times as large as the bytes between two samples.
const SURELY_SAMPLED: u64 = 4;

/// A list is one block. Where samples stand for less than so many intervals each, the bytes are in
/// many blocks: items, such as texts that grow while they are built, and something else holds them.
const INTERVALS_OF_LIST: u64 = 2;

/// So many samples say something about the bytes of some code.
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
        let stacks = stacks.filter(|part| part.live_bytes != 0 && part.live_samples != 0);
        for Part { stack, live_bytes, live_samples } in stacks {
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
        let (cause, by, cause_samples) = most
            .filter(|(_, bytes, samples, _)| {
                // A block much larger than the interval is sampled for sure.
                let is_large = *bytes / SURELY_SAMPLED >= interval;
                *bytes >= all_bytes / 2 && (*samples >= LEAST_SAMPLES || is_large)
            })
            .filter(|(cause, bytes, samples, _)| !is_items(*cause, *bytes, *samples, interval))
            .map_or_else(Default::default, |(cause, _, samples, by)| (cause, by, samples));
        let sent = sent.largest_first().into_iter().max_by_key(|it| it.samples);
        let sends = sent.filter(|it| it.samples >= LEAST_SAMPLES).map(|it| it.to_string());
        Some(Self {
            cause,
            by,
            cause_samples,
            sends,
            code: largest.to_string(),
            code_bytes: largest.bytes,
            all_bytes,
            samples: largest.samples,
            other: other.map(|it| (it.to_string(), it.bytes, it.samples)),
        })
    }

    /// Whether so many samples of the code say anything about its bytes.
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

/// Whether what looks like a list are items of something else.
pub(super) fn is_items(cause: LeakCause, bytes: u64, samples: u64, interval: u64) -> bool {
    let of_list = interval.saturating_mul(INTERVALS_OF_LIST).saturating_mul(samples);
    cause == LeakCause::List && bytes < of_list
}

/// Whether the stack is that of code that sends into a channel.
pub(super) fn is_sent(stack: &StackProfile) -> bool {
    let is_channel = stack.frames.iter().any(|frame| is_channel(&frame.function));
    is_channel && of_frames(&stack.frames).is_some_and(|(cause, _)| cause == LeakCause::Queue)
}

/// Whether what a channel's stack has allocated is the room of its queue, which stays when the
/// messages are taken out: flume keeps them in a `VecDeque`. Other channels have a block
/// for some messages, and free it.
pub(super) fn is_room_of_queue(stack: &StackProfile) -> bool {
    let of_queue = |name: &str| name.contains("VecDeque") || name.contains("vec_deque");
    stack.frames.iter().any(|frame| of_queue(&frame.function))
}

/// The innermost call that tells what the block belongs to, and its short name. A list counts only
/// if there is nothing else: maps and queues are made of lists.
///
/// Calls from the executor outwards are those of the task that polls, and tell nothing.
pub(super) fn of_frames(frames: &[StackFrame]) -> Option<(LeakCause, String)> {
    let (mut is_in_program, mut list) = (false, None);
    for frame in frames {
        let code = Code::of_call(&frame.function, frame.file.as_deref());
        if is_in_program && code == Code::Runtime && !is_channel(&frame.function) {
            break;
        }
        match of_function(&frame.function) {
            // What only makes room is of a list of any kind, whose name an outer call may have.
            Some(LeakCause::List) if is_room(&frame.function) => {
                list.get_or_insert((LeakCause::List, String::new()));
            }
            Some(LeakCause::List) => list = Some((LeakCause::List, last_two(&frame.function))),
            Some(cause) => return Some((cause, last_two(&frame.function))),
            None => {}
        }
        is_in_program |= code == Code::Other;
    }
    list
}

/// What a function puts its bytes into, by its name.
fn of_function(name: &str) -> Option<LeakCause> {
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    if has(&SPAWNS) {
        return None;
    }
    if is_channel(name) && has(&["send", "push", "find_block", "grow", "write"]) {
        return Some(LeakCause::Queue);
    }
    if has(&["VecDeque", "vec_deque", "SegQueue", "BinaryHeap", "LinkedList"])
        && has(&["push", "grow", "extend", "append"])
    {
        return Some(LeakCause::Queue);
    }
    let is_map = has(&[
        "hashbrown",
        "HashMap",
        "HashSet",
        "hash_map",
        "hash::map",
        "hash::set",
        "BTreeMap",
        "BTreeSet",
        "::btree::",
        "indexmap",
        "dashmap",
        "moka::",
        "lru::",
        "slab::Slab",
    ]);
    if is_map && has(&["insert", "entry", "Entry", "rehash", "reserve", "extend", "put", "grow"]) {
        return Some(LeakCause::Map);
    }
    if has(&["bytes::bytes_mut", "bytes::BytesMut", "BytesMut>"]) {
        return Some(LeakCause::Buffer);
    }
    let is_list = has(&["vec::Vec", "raw_vec", "RawVec", "string::String"]);
    (is_list && has(&["push", "grow", "extend", "append", "do_reserve_and_handle"]))
        .then_some(LeakCause::List)
}

/// Whether a function makes room in a list, and belongs to no kind of list.
fn is_room(name: &str) -> bool {
    name.contains("raw_vec") || name.contains("RawVec")
}

fn is_channel(name: &str) -> bool {
    const CHANNELS: [&str; 8] = [
        "mpsc",
        "mpmc",
        "flume",
        "crossbeam_channel",
        "async_channel",
        "futures_channel",
        "kanal",
        "::broadcast::",
    ];
    CHANNELS.iter().any(|channel| name.contains(channel))
}

/// What the type of a variable puts its bytes into.
pub(super) fn of_type(name: &str) -> LeakCause {
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    if has(&["HashMap", "HashSet", "BTreeMap", "BTreeSet", "IndexMap", "DashMap", "Cache<"]) {
        LeakCause::Map
    } else if has(&["VecDeque", "BinaryHeap", "LinkedList"]) {
        LeakCause::Queue
    } else if has(&["bytes::Bytes", "BytesMut"]) {
        LeakCause::Buffer
    } else {
        LeakCause::Unknown
    }
}

/// `HashMap<K, V>::insert` from a function's full name.
fn last_two(name: &str) -> String {
    let short = crate::model::symbol::short(name);
    let mut parts = short.rsplit("::");
    match (parts.next(), parts.next()) {
        (Some(function), Some(of)) => format!("{of}::{function}"),
        _ => short,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::wording::allocated_at, *};
    use crate::model::TrendPoint;

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
    fn the_innermost_call_tells_a_map_from_a_list_and_a_channel() {
        for (functions, cause, by) in [
            (
                &["hashbrown::raw::RawTable<T,A>::reserve_rehash", "app::serve::{{closure}}"][..],
                LeakCause::Map,
                "RawTable::reserve_rehash",
            ),
            (
                &["app::page", "std::collections::hash::map::Entry<K,V>::or_insert_with"],
                LeakCause::Map,
                "Entry::or_insert_with",
            ),
            (
                &["tokio::sync::mpsc::list::Tx<T>::find_block", "app::send", POLL],
                LeakCause::Queue,
                "Tx::find_block",
            ),
            (&["flume::Chan<T>::send", "app::send", POLL], LeakCause::Queue, "Chan::send"),
            (&["alloc::vec::Vec<T,A>::push", "app::log"], LeakCause::List, "Vec::push"),
            (
                &[
                    "alloc::raw_vec::RawVec<T,A>::grow_one",
                    "alloc::vec::Vec<T,A>::push",
                    "app::log",
                ],
                LeakCause::List,
                "Vec::push",
            ),
            (
                &["alloc::raw_vec::RawVecInner<A>::reserve::do_reserve_and_handle", "app::log"],
                LeakCause::List,
                "",
            ),
            (
                &[
                    "alloc::raw_vec::RawVec<T,A>::grow_one",
                    "alloc::collections::VecDeque<T>::push_back",
                    "app::plan",
                ],
                LeakCause::Queue,
                "VecDeque::push_back",
            ),
            (&["alloc::vec::from_elem", "app::page", POLL], LeakCause::Unknown, ""),
            (&["app::page", POLL, "alloc::vec::Vec<T>::push"], LeakCause::Unknown, ""),
        ] {
            let stack = stack(functions, 2);
            let clue = clue(&[stack]).expect("named");
            assert_eq!((clue.cause, &*clue.by), (cause, by), "{functions:?}");
        }
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
