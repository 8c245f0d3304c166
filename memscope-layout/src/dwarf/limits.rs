//! Types that poll their stream only while they have room for one more future.

use super::{types::Types, units::EntryRef, variants::MemberEntry};
use crate::shape::{Count, Limit, ListPlaces};

/// Such types, each by its path, with the field of the limit and that of the list. Each was read in
/// the source of the version named above it.
const LIMITED: [(&str, &str, &str); 7] = [
    // futures-util 0.3. A limit of 0 is none.
    ("futures_util::stream::stream::buffer_unordered::BufferUnordered", "max", "in_progress_queue"),
    ("futures_util::stream::stream::buffered::Buffered", "max", "in_progress_queue"),
    (
        "futures_util::stream::stream::flatten_unordered::FlattenUnorderedWithFlowController",
        "limit",
        "inner_streams",
    ),
    ("futures_util::stream::stream::for_each_concurrent::ForEachConcurrent", "limit", "futures"),
    (
        "futures_util::stream::try_stream::try_buffer_unordered::TryBufferUnordered",
        "max",
        "in_progress_queue",
    ),
    ("futures_util::stream::try_stream::try_buffered::TryBuffered", "max", "in_progress_queue"),
    (
        "futures_util::stream::try_stream::try_for_each_concurrent::TryForEachConcurrent",
        "limit",
        "futures",
    ),
];

impl<'d> Types<'_, 'd> {
    /// Returns the limit of a type of this name.
    pub(crate) fn limit(&self, at: EntryRef, name: &str) -> Option<Limit> {
        let path = name.split('<').next()?;
        let (_, most, list) = LIMITED.iter().find(|it| it.0 == path)?;
        let word = self.units.pointer_size(at.unit);
        let most = self.part(at, most).filter(|it| it.size == Some(word))?;
        let list = self.part(at, list)?;
        Some(Limit { most_offset: most.offset, count: self.count_of(list.type_?, list.offset)? })
    }

    /// How many futures this list has, which begins at `start`.
    fn count_of(&self, list: EntryRef, start: u64) -> Option<Count> {
        if let Some(places) = self.list(list, &self.name(list)) {
            let ListPlaces::Nodes { first_offset, length_offset, .. } = places.places else {
                return None;
            };
            return Some(Count::InFirst {
                first_offset: start.checked_add(first_offset)?,
                length_offset,
            });
        }
        // A `FuturesOrdered` also counts the outputs whose turn has not come.
        let of = |name| start.checked_add(self.part(list, name)?.offset);
        let (first_offset, end_offset) = (of("next_outgoing_index")?, of("next_incoming_index")?);
        Some(Count::Between { first_offset, end_offset })
    }

    fn part(&self, at: EntryRef, name: &str) -> Option<MemberEntry<'d>> {
        self.members(at).into_iter().find(|it| it.name == name)
    }
}
