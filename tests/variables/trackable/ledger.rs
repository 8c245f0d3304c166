//! The truth about blocks: an allocator around memscope's that records every live one.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use memscope_rs::{
    __private::{Found, blocks_of},
    Blocks, TrackingAllocator,
};

/// Address, size, alignment.
pub(crate) type Place = (usize, usize, usize);

pub(crate) struct Ledger(pub(crate) TrackingAllocator);

#[derive(Debug)]
struct Entries {
    live: BTreeMap<usize, Entry>,
    next: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    layout: Layout,
    number: u64,
    thread: usize,
}

static ENTRIES: Mutex<Entries> = Mutex::new(Entries { live: BTreeMap::new(), next: 0 });

thread_local! {
    /// The ledger's own memory is not in it, and memscope does not see it.
    static IS_WRITING: Cell<bool> = const { Cell::new(false) };
}

fn entries() -> MutexGuard<'static, Entries> {
    ENTRIES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn this_thread() -> usize {
    IS_WRITING.with(|place| std::ptr::from_ref(place).addr())
}

fn write(change: impl FnOnce(&mut Entries)) {
    if !IS_WRITING.replace(true) {
        change(&mut entries());
        IS_WRITING.set(false);
    }
}

impl Entries {
    fn add(&mut self, block: *mut u8, layout: Layout) {
        self.next += 1;
        let entry = Entry { layout, number: self.next, thread: this_thread() };
        self.live.insert(block.addr(), entry);
    }

    fn remove(&mut self, block: *mut u8) {
        self.live.remove(&block.addr());
    }
}

// SAFETY: every request goes to memscope's allocator as it came, and the ledger's own to the
// system's.
unsafe impl GlobalAlloc for Ledger {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if IS_WRITING.get() {
            // SAFETY: the caller's contract, passed on.
            return unsafe { System.alloc(layout) };
        }
        // SAFETY: the caller's contract, passed on.
        let block = unsafe { self.0.alloc(layout) };
        write(|entries| entries.add(block, layout));
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if IS_WRITING.get() {
            // SAFETY: the caller's contract, passed on; the ledger's memory is taken and given
            // back while it is written.
            return unsafe { System.dealloc(block, layout) };
        }
        write(|entries| entries.remove(block));
        // SAFETY: the caller's contract, passed on.
        unsafe { self.0.dealloc(block, layout) };
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        write(|entries| entries.remove(block));
        // SAFETY: the caller's contract, passed on.
        let grown = unsafe { self.0.realloc(block, layout, new_size) };
        let layout = Layout::from_size_align(new_size, layout.align()).expect("a valid request");
        write(|entries| entries.add(grown, layout));
        grown
    }
}

/// Makes a value; also tells the blocks that were allocated for it and live.
pub(crate) fn made<T>(make: impl FnOnce() -> T) -> (T, Vec<Place>) {
    let mut start = 0;
    // NOTE: large enough: while the ledger is read, it must not grow.
    let mut places = Vec::with_capacity(8_192);
    write(|entries| start = entries.next);
    let value = make();
    write(|entries| {
        let is_own = |entry: &Entry| entry.number > start && entry.thread == this_thread();
        let own = entries.live.iter().filter(|(_, entry)| is_own(entry));
        let own = own.map(|(at, entry)| (*at, entry.layout.size(), entry.layout.align()));
        places.extend(own.take(8_192));
    });
    (value, places)
}

/// What is found of a value: every block of it must be a live one with this very layout.
#[track_caller]
pub(crate) fn found(show: impl FnOnce(&mut Blocks<'_>)) -> (Vec<Place>, Found) {
    let found = blocks_of(show);
    let mut places: Vec<Place> = found.blocks.iter().map(|&(a, s, l, _)| (a, s, l)).collect();
    for &(address, size, align) in &places {
        let mut live = None;
        write(|entries| live = entries.live.get(&address).map(|entry| entry.layout));
        let layout = Layout::from_size_align(size, align).expect("a layout");
        assert_eq!(live, Some(layout), "a live block with this layout");
    }
    places.sort_unstable();
    (places, found)
}
