//! Types with a flag that says which of their fields they poll.

use super::variants::MemberEntry;

/// A value of a flag of one byte: its name, and the fields that the type polls then.
pub(super) type FlagValue = (&'static str, &'static [&'static str]);

/// Types with a flag that says which of their fields they poll: the path, the flag, and what its
/// values from 0 on say. Each was read in the source of the version named above it.
const FLAGS: [(&str, &str, &[FlagValue]); 4] = [
    // futures-util 0.3: a stream that is over, and two of which one is.
    (
        "futures_util::stream::select_with_strategy::SelectWithStrategy",
        "internal_state",
        &[
            ("Start", &["stream1", "stream2"]),
            ("LeftFinished", &["stream2"]),
            ("RightFinished", &["stream1"]),
            ("BothFinished", &[]),
        ],
    ),
    (
        "futures_util::stream::stream::flatten_unordered::FlattenUnorderedWithFlowController",
        "is_stream_done",
        &[("Asks", &["inner_streams", "stream"]), ("Lists", &["inner_streams"])],
    ),
    ("futures_util::stream::stream::fuse::Fuse", "done", &[("Open", &["stream"]), ("Done", &[])]),
    // tokio-stream 0.1: before its time is over it waits for its timer alone.
    (
        "tokio_stream::stream_ext::throttle::Throttle",
        "has_delayed",
        &[("Delays", &[]), ("Asks", &["stream"])],
    ),
];

/// The offset of such a flag, and what its values say.
pub(super) type Flag = (u64, &'static [FlagValue]);

pub(super) fn flag(name: &str, members: &[MemberEntry<'_>]) -> Option<Flag> {
    let path = name.split('<').next()?;
    let (_, flag, values) = FLAGS.iter().find(|it| it.0 == path)?;
    let flag = members.iter().find(|it| it.name == *flag && it.size == Some(1))?;
    Some((flag.offset, values))
}
