//! Memory that is kept for the end of memory: memscope's own work ends where there is no more, and
//! the program does not end with it.
//!
//! A list that grows with the program (rows, cells, text) asks before it grows, and what it has no
//! room for is left out and counted. What is small and cannot ask (a name, a path, a line, what the
//! standard library needs for a file) has *room* made for it beforehand: a block is taken and given
//! back at once, so that the allocator has what comes next; where that was too little, the
//! allocator asks here before it says no. Where there is none, a piece of the *reserve* is given
//! back to the system: address space that is held from the first work on and not touched. From then
//! on [`is_short`] has the lists stop, so that the rest of the reserve is enough to say so.
//!
//! NOTE: another thread of the program may take what was given back. Then the next piece is.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    collections::HashMap,
    hash::Hash,
    marker::PhantomData,
    mem::needs_drop,
    ptr,
    sync::atomic::{AtomicPtr, AtomicUsize, Ordering},
};

/// PERF: above the size from which the C library maps each block by itself, so that a piece is
/// address space alone.
const PIECE: usize = 256 << 10;
const PIECES: usize = 8;
/// Room that is made at one time, and of which that much is left when it is made anew.
const ROOM: usize = 64 << 10;
const LEAST_ROOM: usize = 16 << 10;
/// What a row takes that has memory of its own and says nothing else.
const ROW: usize = 256;

static HELD: [AtomicPtr<u8>; PIECES] = [const { AtomicPtr::new(ptr::null_mut()) }; PIECES];
/// Pieces that are not held.
static MISSING: AtomicUsize = AtomicUsize::new(PIECES);

/// Takes this many bytes the way the program does and gives them back. False: there is no memory.
type MakeRoom = fn(Layout) -> bool;

thread_local! {
    /// The reserve is for what this thread does: how room is made for it.
    static WORKS: Cell<Option<MakeRoom>> = const { Cell::new(None) };
    /// What is left of the room that was made.
    static LEFT: Cell<usize> = const { Cell::new(0) };
    /// Rows that the work of this thread has left out.
    static LEFT_OUT: Cell<u64> = const { Cell::new(0) };
}

const fn piece() -> Layout {
    Layout::new::<[u8; PIECE]>()
}

/// Takes what is missing of the reserve, if there is memory for it.
pub(crate) fn hold() {
    if MISSING.load(Ordering::Relaxed) == 0 {
        return;
    }
    for place in &HELD {
        if !place.load(Ordering::Relaxed).is_null() {
            continue;
        }
        // SAFETY: the size is not zero.
        let new = unsafe { System.alloc(piece()) };
        if new.is_null() {
            return;
        }
        let kept =
            place.compare_exchange(ptr::null_mut(), new, Ordering::Relaxed, Ordering::Relaxed);
        if kept.is_ok() {
            MISSING.fetch_sub(1, Ordering::Relaxed);
        } else {
            // SAFETY: just allocated with this layout, and not kept.
            unsafe { System.dealloc(new, piece()) };
        }
    }
}

/// Gives a piece back to the system, so that this many bytes can be had. False: this is not
/// memscope's own work, or there is no piece. Called in the allocator, when it got nothing.
#[cold]
pub(crate) fn give_way(bytes: usize) -> bool {
    // Larger requests are those of lists, which can do without.
    bytes < LEAST_ROOM && WORKS.with(Cell::get).is_some() && give_back()
}

/// Gives a piece back to the system. False: there is none.
#[cold]
pub(crate) fn give_back() -> bool {
    for place in &HELD {
        let held = place.swap(ptr::null_mut(), Ordering::Relaxed);
        if !held.is_null() {
            MISSING.fetch_add(1, Ordering::Relaxed);
            // SAFETY: allocated with this layout, and no other thread has it any more.
            unsafe { System.dealloc(held, piece()) };
            return true;
        }
    }
    false
}

/// Makes room for what is small, if need be from the reserve.
#[cold]
fn make_room() {
    let Some(make_room) = WORKS.with(Cell::get) else { return };
    loop {
        let has_room = make_room(Layout::new::<[u8; ROOM]>());
        if has_room || !give_back() {
            LEFT.with(|left| left.set(if has_room { ROOM } else { 0 }));
            return;
        }
    }
}

/// Whether there is no memory for more rows: the reserve is in use, or was never there. Room is
/// made for what has to be said all the same.
pub(crate) fn is_short() -> bool {
    if LEFT.with(Cell::get) < LEAST_ROOM {
        make_room();
    }
    MISSING.load(Ordering::Relaxed) != 0
}

/// So much of the room is used.
pub(crate) fn spend(bytes: usize) {
    LEFT.with(|left| left.set(left.get().saturating_sub(bytes)));
}

/// Whether not even a line can be made.
pub(crate) fn is_empty() -> bool {
    MISSING.load(Ordering::Relaxed) >= PIECES
}

/// Work of memscope's own on this thread, as long as it lives.
#[derive(Debug)]
pub(crate) struct Work {
    outer: Option<MakeRoom>,
    left_out: u64,
    /// Thread-local: the guard must not travel.
    not_send: PhantomData<*const ()>,
}

/// Begins such work; the thread makes room by `how`.
pub(crate) fn begin(how: MakeRoom) -> Work {
    hold();
    let work = Work {
        outer: WORKS.with(|works| works.replace(Some(how))),
        left_out: LEFT_OUT.with(|left_out| left_out.replace(0)),
        not_send: PhantomData,
    };
    make_room();
    work
}

impl Work {
    /// Rows left out since it began.
    #[expect(clippy::unused_self, reason = "only while it lives")]
    pub(crate) fn left_out(&self) -> u64 {
        left_out()
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        WORKS.with(|works| works.set(self.outer));
        LEFT_OUT.with(|left_out| left_out.set(self.left_out));
    }
}

/// Rows that the work of this thread has left out so far.
pub(crate) fn left_out() -> u64 {
    LEFT_OUT.with(Cell::get)
}

/// Begins the work again: what was left out before does not count.
pub(crate) fn count_anew() {
    LEFT_OUT.with(|left_out| left_out.set(0));
}

/// Counts rows that are left out.
pub(crate) fn leave_out(rows: u64) {
    LEFT_OUT.with(|left_out| left_out.set(left_out.get().saturating_add(rows)));
}

/// Makes room for one more. False: there is no memory for it.
#[inline]
pub(crate) fn grow<T>(list: &mut Vec<T>) -> bool {
    list.len() < list.capacity() || grow_more(list)
}

#[cold]
fn grow_more<T>(list: &mut Vec<T>) -> bool {
    // It may take the room that was made.
    spend(list.len().saturating_mul(size_of::<T>()));
    // By a little where it cannot be by as much as there is.
    list.try_reserve(1).is_ok() || (!is_short() && list.try_reserve_exact(64).is_ok())
}

/// Makes room for one more row, and for what is in it.
#[inline]
pub(crate) fn has_room<T>(rows: &mut Vec<T>) -> bool {
    grow(rows) && !is_short()
}

/// Adds a row if there is memory for it, else counts it.
#[inline]
pub(crate) fn push<T>(list: &mut Vec<T>, row: T) -> bool {
    let has_room = grow(list);
    if has_room {
        list.push(row);
    } else {
        leave_out(1);
    }
    has_room
}

/// All rows, or as many as there is memory for; the others are counted, and not made.
pub(crate) fn rows<S, T>(
    sources: impl IntoIterator<Item = S>,
    mut row: impl FnMut(S) -> Option<T>,
) -> Vec<T> {
    let sources = sources.into_iter();
    let mut rows = Vec::new();
    spend(sources.size_hint().0.saturating_mul(size_of::<T>()));
    // PERF: where the length is known, rows are made where they stay. Where there is no memory for
    // all of them, there may be for some.
    let _ = rows.try_reserve_exact(sources.size_hint().0);
    for source in sources {
        if has_room(&mut rows) {
            rows.extend(row(source));
            if needs_drop::<T>() {
                spend(ROW);
            }
        } else {
            leave_out(1);
        }
    }
    rows
}

/// Makes room for one more. False: there is no memory for it.
pub(crate) fn room<K: Eq + Hash, V>(map: &mut HashMap<K, V>) -> bool {
    if map.len() < map.capacity() {
        return true;
    }
    spend(map.len().saturating_mul(2 * size_of::<(K, V)>()));
    map.try_reserve(1).is_ok()
}

/// Whether work of which nothing can be left out has room: this much memory can be had now.
pub(crate) fn has_room_for(bytes: u64) -> bool {
    !is_short() && usize::try_from(bytes).is_ok_and(|bytes| list::<u8>(bytes).is_some())
}

/// A list of this length, if there is memory for it.
pub(crate) fn list<T>(length: usize) -> Option<Vec<T>> {
    let mut list = Vec::new();
    spend(length.saturating_mul(size_of::<T>()));
    list.try_reserve_exact(length).ok()?;
    Some(list)
}
