//! What the copy of the process does when it has told all: it answers questions.
//!
//! It takes no lock and uses no allocator.

use super::{
    copy::MOST_ASKED,
    mapped::List,
    memory::Maps,
    stream::{Writer, words_in},
};

/// A question is its kind and two numbers.
pub(crate) const ASKED_WORDS: usize = 3;

/// Asks for memory: its address, and how many bytes.
pub(crate) const READ: u64 = 1;

/// The most bytes of memory in one answer.
pub(crate) const MOST_READ: u64 = 1 << 16;

/// Answers until nothing more is asked, or the process is gone. `other` answers what does not ask
/// for memory; it writes the length of its answer first, in bytes.
pub(crate) fn answer(
    channel: libc::c_int,
    maps: &Maps,
    writer: &mut Writer,
    mut other: impl FnMut([u64; ASKED_WORDS], &mut Writer),
) {
    let Some(mut asked) = List::<u8>::zeroed(MOST_ASKED) else { return };
    let mut have = 0;
    loop {
        let room = &mut asked[have..];
        // SAFETY: room for this many bytes.
        let count = unsafe { libc::read(channel, room.as_mut_ptr().cast(), room.len()) };
        let Some(count) = usize::try_from(count).ok().filter(|count| *count != 0) else { return };
        have += count;
        let whole = have - have % (ASKED_WORDS * size_of::<u64>());
        for words in asked[..whole].chunks_exact(ASKED_WORDS * size_of::<u64>()) {
            let mut words = words_in(words);
            match [(); ASKED_WORDS].map(|()| words.next().unwrap_or(0)) {
                [READ, address, bytes] => read(address, bytes, maps, writer),
                question => other(question, writer),
            }
        }
        writer.flush();
        asked.copy_within(whole..have, 0);
        have -= whole;
    }
}

fn read(address: u64, bytes: u64, maps: &Maps, writer: &mut Writer) {
    let address = usize::try_from(address).unwrap_or(usize::MAX);
    let end = maps.at(address).map_or(address, |map| maps.end_of_run(map));
    let bytes = bytes.min(MOST_READ).min((end - address) as u64);
    writer.words(&[bytes]);
    // SAFETY: mapped, readable, and nothing changes in the copy.
    unsafe { writer.memory(address, usize::try_from(bytes).unwrap_or(0)) };
}
