//! What the copy of the process does: it lists the tasks, and then reads what it is asked for.
//!
//! It takes no lock and uses no allocator. It has the memory of the process as it was when the copy
//! was made.

use crate::{
    accounting::{Account, Balance, Record, registry},
    alloc::{cells, unannotated::ends},
    picture::{ASKED_WORDS, END, Maps, START, Writer, answer},
};

/// What comes next in the list.
pub(super) const OPEN: u64 = 1;
pub(super) const OVER: u64 = 2;
pub(super) const BLOCK: u64 = 3;

/// The words of each.
pub(super) const OPEN_WORDS: usize = 10;
pub(super) const OVER_WORDS: usize = 3;
pub(super) const BLOCK_WORDS: usize = 5;

/// Asks for the record of the unannotated task with this id of Tokio's.
pub(super) const RECORD: u64 = 2;

/// Lists the tasks, and answers until nothing more is asked.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "as a picture passes what it is told")]
pub(super) fn run(_: &(), channel: libc::c_int) {
    let Some(maps) = Maps::read() else { return };
    let Some(mut writer) = Writer::new(channel) else { return };
    writer.words(&[START]);
    for account in registry::accounts().filter(|account| !account.is_free()) {
        tell_account(account, &maps, &mut writer);
    }
    // SAFETY: this is the only thread of the copy.
    unsafe {
        cells::for_each_still(|block| {
            let parent = ends::parent(block.owner);
            let words = [block.words.vtable, block.words.state];
            let place = [block.address as u64, block.bytes as u64];
            writer.words(&[BLOCK, place[0], place[1], parent, words[0], words[1]]);
        });
    }
    writer.words(&[END]);
    writer.flush();
    answer(channel, &maps, &mut writer, answer_one);
}

/// Tells of a task with an account: a living one, or one that has ended and has its cell still.
fn tell_account(account: &'static Account, maps: &Maps, writer: &mut Writer) {
    let id = account.id();
    if id == 0 {
        return;
    }
    match account.read() {
        Balance::Open { net_bytes, record, .. } => {
            let record = registry::record(record).filter(|record| record.tally().id() == id);
            let Some((record, reading)) = record.and_then(|it| Some((it, it.read(0)?))) else {
                return;
            };
            let live = record.read_tally().own_live_bytes.saturating_add(net_bytes);
            let (cell, [vtable, state]) = cell(account, record, maps);
            writer.words(&[
                OPEN,
                id,
                std::ptr::from_ref(record).addr() as u64,
                u64::try_from(live).unwrap_or(0),
                reading.state as u64,
                u64::from(reading.site.index()),
                std::ptr::from_ref(reading.future).expose_provenance() as u64,
                reading.parent,
                cell as u64,
                vtable,
                state,
            ]);
        }
        Balance::Closed { live_bytes, site, has_cell: true, .. } => {
            writer.words(&[OVER, id, live_bytes, u64::from(site)]);
        }
        Balance::Closed { .. } => {}
    }
}

/// The address of the cell that the task was spawned into as a task of its own, and the words of
/// its header; zeroes if they are not known.
fn cell(account: &'static Account, record: &'static Record, maps: &Maps) -> (usize, [u64; 2]) {
    /// The words of a header lie in it.
    const BYTES: usize = 128;
    let address = if record.is_spawned() { cells::spawned_cell(account) } else { 0 };
    // The spawner may have been about to note the address: then this is that of an earlier cell.
    let is_there = maps.at(address).is_some_and(|map| map.end - address >= BYTES);
    if !is_there {
        return (0, [0; 2]);
    }
    // SAFETY: this many bytes can be read there, and nothing changes in the copy.
    let words = unsafe { cells::HeaderWords::of(std::ptr::with_exposed_provenance(address)) };
    words.map_or((0, [0; 2]), |words| (address, [words.vtable, words.state]))
}

/// Answers what does not ask for memory.
fn answer_one([kind, id, _]: [u64; ASKED_WORDS], writer: &mut Writer) {
    if kind == RECORD {
        let task = ends::record_of(id).and_then(|record| record.tally().account());
        let is_lost = ends::has_lost_record(id);
        writer.words(&[16, task.map_or(0, Account::id), u64::from(is_lost)]);
    } else {
        writer.words(&[0]);
    }
}
