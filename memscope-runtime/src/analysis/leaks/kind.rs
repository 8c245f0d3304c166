//! Kinds of collections, by the names of functions and types: a map, a list, a queue …

use super::{cause::LeakCause, code::SPAWNS};
use crate::model::{StackFrame, StackProfile, symbol::Code};

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
        "quick_cache::",
        "hashlink::",
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
    use super::*;

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
            let frames = functions.iter().map(|function| StackFrame {
                function: (*function).to_owned().into(),
                ..StackFrame::default()
            });
            let (found, name) = of_frames(&frames.collect::<Vec<_>>()).unwrap_or_default();
            assert_eq!((found, &*name), (cause, by), "{functions:?}");
        }
    }
}
