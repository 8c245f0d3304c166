//! What waits in channels of several crates, and what these keep once they are drained.

use std::hint::black_box;

use memscope_rs::{
    Stacks,
    analysis::Backlog,
    async_memory::{MemorySnapshot, StacksState, get_memory_snapshot, track},
    builder,
};
use memscope_tests::block_on;

const MESSAGES: usize = 2_000;
const BYTES: usize = 1_024;
/// What a channel that frees its blocks may keep for the next messages.
const FEW: u64 = 4 << 10;

/// Sends from a task of this name, and drains the channel from another one. Returns what was said
/// of it when it was full, and once it was drained.
fn seen<S, R>(
    name: &str,
    mut send: impl FnMut(Vec<u8>) -> S,
    mut receive: impl FnMut() -> R,
) -> [Option<Backlog>; 2] {
    let sends = async {
        for _ in 0..MESSAGES {
            let _ = send(black_box(vec![1; BYTES]));
        }
    };
    block_on(track(sends).named(name));
    let full = backlog(name);
    let drain = async {
        for _ in 0..MESSAGES {
            drop(black_box(receive()));
        }
    };
    block_on(track(drain).named("drains"));
    [full, backlog(name)]
}

fn named() -> MemorySnapshot {
    let _ = get_memory_snapshot();
    while memscope_rs::__private::look_up_names() != 0 {}
    get_memory_snapshot()
}

fn backlog(name: &str) -> Option<Backlog> {
    let leaks = named().leaks();
    let is_its = |it: &&Backlog| it.from.as_ref().is_some_and(|from| from.name == name);
    leaks.backlogs().iter().find(is_its).cloned()
}

#[test]
fn what_waits_is_named_by_its_sender_and_the_room_that_stays_is_said() {
    let settings = builder().stacks(Stacks::EveryBytes(1));
    settings.init().expect("the settings are right");
    if get_memory_snapshot().stacks_measured() == StacksState::Unsupported {
        return;
    }
    let messages = (MESSAGES * BYTES) as u64;

    let (tokio_sender, mut tokio_receiver) = tokio::sync::mpsc::unbounded_channel();
    let (futures_sender, mut futures_receiver) = futures::channel::mpsc::unbounded();
    let (crossbeam_sender, crossbeam_receiver) = crossbeam_channel::unbounded();
    let (std_sender, std_receiver) = std::sync::mpsc::channel();
    let (flume_sender, flume_receiver) = flume::unbounded();
    let all = [
        ("of tokio", seen("of tokio", |it| tokio_sender.send(it), || tokio_receiver.try_recv())),
        (
            "of futures",
            seen(
                "of futures",
                |it| futures_sender.unbounded_send(it),
                || futures_receiver.try_recv(),
            ),
        ),
        (
            "of crossbeam",
            seen("of crossbeam", |it| crossbeam_sender.send(it), || crossbeam_receiver.try_recv()),
        ),
        ("of std", seen("of std", |it| std_sender.send(it), || std_receiver.try_recv())),
        ("of flume", seen("of flume", |it| flume_sender.send(it), || flume_receiver.try_recv())),
    ];
    for (name, [full, drained]) in all {
        let full = full.unwrap_or_else(|| panic!("{name} is full"));
        assert_eq!(full.channel_bytes, full.live_bytes - messages, "{name}: {full}");
        assert!(full.live_blocks > MESSAGES as u64, "{name}: {full}");
        let keeps_room = name == "of flume";
        assert_eq!(full.room_bytes, if keeps_room { full.channel_bytes } else { 0 }, "{full}");
        let Some(drained) = drained else {
            assert!(!keeps_room, "{name} has nothing left");
            continue;
        };
        assert_eq!(drained.channel_bytes, drained.live_bytes, "{name}: {drained}");
        if keeps_room {
            assert_eq!(drained.room_bytes, full.room_bytes, "{drained}");
            let said = drained.to_string();
            assert!(said.contains(" of it is room of the queue, which stays when"), "{said}");
        } else {
            assert!(drained.channel_bytes <= FEW && drained.room_bytes == 0, "{name}: {drained}");
        }
    }
}
