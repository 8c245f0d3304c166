//! What waits in channels: found by the code that sent it, and the site that frees it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    cause::{Clue, Part},
    evidence::{Evidence, place_of, place_of_task},
    kind::{is_room_of_queue, is_sent},
    wording::{at, places, several},
};
use crate::{
    model::{
        HumanBytes, Place, StackProfile,
        human::{cell, count},
    },
    snapshot::MemorySnapshot,
};

/// How many channels are shown.
const MOST: usize = 16;

/// What the tasks of one site have sent into channels and nothing has received yet.
///
/// A channel is known by the stack that sends into it, so that only sampled blocks show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backlog {
    /// The site that sends; `None`: code outside every task.
    pub from: Option<Place>,
    /// The other site that frees most of what these tasks allocate; `None` if there is none yet.
    pub to: Option<Place>,
    /// Live bytes that the channel itself has allocated, by estimate from `samples`: its blocks
    /// with the messages in them.
    pub channel_bytes: u64,
    /// Of these, the room of a queue that stays when the channel is drained, as with flume.
    /// What waits in it and what is free in it is not told apart.
    #[serde(default)]
    pub room_bytes: u64,
    /// The number of samples.
    pub samples: u64,
    /// All live bytes of the site that sends, exact: what its messages point to is in them.
    pub live_bytes: u64,
    /// The number of these blocks.
    pub live_blocks: u64,
    /// The code that sends.
    pub sent_at: String,
    /// Where most of the tasks wait that free it. `None` where that is not known.
    pub received_at: Option<String>,
}

/// Finds the channels that hold sampled blocks, the largest first.
pub(super) fn find(snapshot: &MemorySnapshot) -> Vec<Backlog> {
    let is_sent = |stack: &&StackProfile| stack.live_samples != 0 && is_sent(stack);
    let sent: Vec<&StackProfile> = snapshot.stacks().iter().filter(is_sent).collect();
    if sent.is_empty() {
        return Vec::new();
    }
    let evidence = Evidence::of(snapshot);
    let mut sites: Vec<Option<usize>> = sent.iter().map(|stack| stack.site).collect();
    sites.sort_unstable();
    sites.dedup();
    let backlog_of = |site: Option<usize>| {
        let stacks = || sent.iter().filter(|stack| stack.site == site).copied();
        let parts = stacks().map(|stack| Part::since(stack, None));
        let clue = Clue::of(parts, snapshot.stack_interval_bytes(), 0)?;
        let samples = stacks().map(|stack| stack.live_samples).fold(0, u64::saturating_add);
        let rooms = stacks().filter(|stack| is_room_of_queue(stack)).map(|stack| stack.live_bytes);
        let room_bytes = rooms.fold(0, u64::saturating_add);
        let row = site.and_then(|site| snapshot.sites().get(site));
        let from = row.map(place_of);
        let (live_bytes, live_blocks) = row.map_or_else(
            || (snapshot.process().untracked_bytes, snapshot.process().untracked_blocks),
            |row| (row.live_bytes, row.live_blocks),
        );
        let to = from.as_ref().and_then(|from| evidence.freed_by(from, 0)).map(|it| it.who.clone());
        let receivers = |to: &Place| -> Vec<_> {
            let tasks = snapshot.tasks().iter().filter(|task| !task.state.is_ended());
            tasks.filter(|task| place_of_task(task) == *to).collect()
        };
        let waits = to.as_ref().and_then(|to| evidence.await_point_of(receivers(to)));
        Some(Backlog {
            received_at: waits.map(|(point, _)| places(point)),
            from,
            to,
            channel_bytes: clue.all_bytes.min(live_bytes),
            room_bytes: room_bytes.min(live_bytes),
            samples,
            live_bytes,
            live_blocks,
            sent_at: clue.code,
        })
    };
    let mut found: Vec<Backlog> = sites.into_iter().filter_map(backlog_of).collect();
    found.sort_by_key(|backlog| std::cmp::Reverse(backlog.channel_bytes));
    found.truncate(MOST);
    found
}

impl fmt::Display for Backlog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let samples = several(self.samples, "sample", "samples");
        let name = |place: &Option<Place>, none: &str| place.as_ref().map_or(none.to_owned(), at);
        write!(
            f,
            "{}: ≈ {} in channels ({samples}), sent at {}; {}",
            name(&self.from, "(outside every task)"),
            HumanBytes(self.channel_bytes),
            cell(&self.sent_at, 300),
            match &self.to {
                Some(to) => format!("received by {}", at(to)),
                None => "no other site has freed any of it yet".to_owned(),
            },
        )?;
        if let Some(place) = &self.received_at {
            write!(f, ", which waits at {}", cell(place, 100))?;
        }
        if self.room_bytes != 0 {
            let room = HumanBytes(self.room_bytes);
            write!(f, "; ≈ {room} of it is room of the queue, which stays when it is drained")?;
        }
        write!(
            f,
            "; with all that it points to at most {} in {}",
            HumanBytes(self.live_bytes),
            match self.live_blocks {
                1 => "1 block".to_owned(),
                blocks => format!("{} blocks", count(blocks)),
            }
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::analysis::fixture::{hand_over, site, snapshot};

    #[test]
    fn what_waits_in_a_channel_is_listed_by_its_sender_and_receiver() {
        let of = |functions: [&str; 2]| {
            let frames = functions.map(|function| json!({ "function": function }));
            let stack =
                json!({ "frames": frames, "site": 0, "live_bytes": 6 << 20, "live_samples": 3 });
            let orders = json!({ "live_bytes": 10 << 20, "live_blocks": 2948 });
            let snapshot = snapshot(&json!({
                "sites": [site("create_order", &orders), site("worker", &json!({ "active": 1 }))],
                "stacks": [stack], "stack_interval_bytes": 2 << 20,
                "hand_overs": [hand_over(Some("create_order"), Some("worker"), 100, 1 << 20)],
            }));
            find(&snapshot).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let sent = of(["tokio::sync::mpsc::list::Tx<T>::find_block", "app::create_order"]);
        let [line] = &*sent else { panic!("{sent:?}") };
        let begin =
            "create_order (src/create_order.rs:7): ≈ 6.0 MiB in channels (3 samples), sent at ";
        assert!(line.starts_with(begin), "{line}");
        assert!(line.contains("; received by worker (src/worker.rs:7); "), "{line}");
        assert!(line.ends_with("at most 10.0 MiB in 2,948 blocks"), "{line}");
        assert!(of(["alloc::vec::from_elem", "app::create_order"]).is_empty());
        assert!(!line.contains("room"), "{line}");
        let kept = of(["alloc::collections::VecDeque<T>::grow", "flume::Shared<T>::send"]);
        let room = "; ≈ 6.0 MiB of it is room of the queue, which stays when it is drained; with";
        assert!(kept[0].contains(room), "{kept:?}");
        let queue = of(["alloc::collections::VecDeque<T>::push_back", "app::create_order"]);
        assert!(queue.is_empty(), "a queue of its own is no channel: {queue:?}");
    }
}
