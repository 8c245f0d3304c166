//! A memory reserve, for the moment when memory runs out: memscope's own work stops, and the
//! program goes on.
//!
//! A list that grows with the program (rows, cells, text) asks before it grows. What does not fit
//! is left out and counted. Small allocations cannot ask: a name, a path, a line, what the standard
//! library needs for a file. So *room* is made for them beforehand: a block is allocated and freed
//! at once, so the allocator can serve what comes next. If that was too little, the allocator asks
//! here before it fails.
//!
//! If there is no memory for room, a piece of the *reserve* is given back to the system. The
//! reserve is address space that is held from the first work on and never touched. From then on
//! [`is_short`] stops the lists, so that the rest of the reserve is enough to report the shortage.
//!
//! NOTE: another thread of the program may take what was given back. Then the next piece is given
//! back.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    collections::HashMap,
    hash::{BuildHasher, Hash},
    marker::PhantomData,
    mem::needs_drop,
    ptr,
    sync::atomic::{AtomicPtr, AtomicUsize, Ordering},
};

/// PERF: larger than the size from which the C library maps each block by itself, so that a piece
/// is address space alone.
const PIECE: usize = 256 << 10;
const PIECES: usize = 8;
/// Bytes of room that are made at one time. Room is made anew when less than `LEAST_ROOM` is left.
const ROOM: usize = 64 << 10;
const LEAST_ROOM: usize = 16 << 10;
/// Assumed bytes of a row that owns memory and does not call [`spend`] for it.
const ROW: usize = 256;

static HELD: [AtomicPtr<u8>; PIECES] = [const { AtomicPtr::new(ptr::null_mut()) }; PIECES];
/// The number of pieces that are not held.
static MISSING: AtomicUsize = AtomicUsize::new(PIECES);

/// Allocates this many bytes as the program does, and frees them. Returns `false` if there is no
/// memory.
type MakeRoom = fn(Layout) -> bool;

thread_local! {
    /// How this thread makes room, while it does memscope's own work; `None` otherwise.
    static WORKS: Cell<Option<MakeRoom>> = const { Cell::new(None) };
    /// Bytes that are left of the room that was made.
    static LEFT: Cell<usize> = const { Cell::new(0) };
    /// Bytes that the work of this thread may still take for lists and text.
    static BOUND: Cell<usize> = const { Cell::new(usize::MAX) };
    /// What `BOUND` was at the beginning.
    static MOST: Cell<usize> = const { Cell::new(usize::MAX) };
    /// Rows that the work of this thread has left out.
    static LEFT_OUT: Cell<u64> = const { Cell::new(0) };
}

const fn piece() -> Layout {
    Layout::new::<[u8; PIECE]>()
}

/// Allocates the missing pieces of the reserve, as far as there is memory for them.
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
            // SAFETY: the piece was just allocated with this layout and was not published.
            unsafe { System.dealloc(new, piece()) };
        }
    }
}

/// Gives a piece back to the system, so that this many bytes can be allocated. Returns `false` if
/// the thread does none of memscope's own work, or if no piece is left. The allocator calls it when
/// it got no memory.
#[cold]
pub(crate) fn give_way(bytes: usize) -> bool {
    // Larger requests come from lists, which can do without.
    bytes < LEAST_ROOM && WORKS.with(Cell::get).is_some() && give_back()
}

/// Gives a piece back to the system. Returns `false` if no piece is left.
#[cold]
pub(crate) fn give_back() -> bool {
    for place in &HELD {
        let held = place.swap(ptr::null_mut(), Ordering::Relaxed);
        if !held.is_null() {
            MISSING.fetch_add(1, Ordering::Relaxed);
            // SAFETY: the piece was allocated with this layout, and the swap gave it to this thread
            // alone.
            unsafe { System.dealloc(held, piece()) };
            return true;
        }
    }
    false
}

/// Makes room for small allocations, if necessary from the reserve.
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

/// The bound of the work of this thread, until dropped.
#[cfg_attr(not(feature = "report-file"), allow(dead_code, reason = "reports near the limit"))]
#[derive(Debug)]
pub(crate) struct Bound {
    outer: (usize, usize),
    /// The guard's state is thread-local, so it must not move to another thread.
    not_send: PhantomData<*const ()>,
}

/// Lets the work of this thread take at most about this many bytes for its lists and texts, as if
/// there was no more memory. Memory that they give back still counts.
#[cfg_attr(not(feature = "report-file"), allow(dead_code, reason = "reports near the limit"))]
pub(crate) fn bound(bytes: usize) -> Bound {
    let outer = (BOUND.with(|left| left.replace(bytes)), MOST.with(|most| most.replace(bytes)));
    Bound { outer, not_send: PhantomData }
}

impl Drop for Bound {
    fn drop(&mut self) {
        BOUND.with(|left| left.set(self.outer.0));
        MOST.with(|most| most.set(self.outer.1));
    }
}

/// A part of the bound that is put aside, until dropped.
#[derive(Debug)]
pub(crate) struct Aside {
    bytes: usize,
    /// The guard's state is thread-local, so it must not move to another thread.
    not_send: PhantomData<*const ()>,
}

/// Puts three quarters of what the work may still take aside, for what comes later.
pub(crate) fn put_aside() -> Aside {
    let bytes = BOUND.with(|left| {
        let bytes = left.get() / 4 * 3;
        left.set(left.get() - bytes);
        bytes
    });
    Aside { bytes, not_send: PhantomData }
}

impl Drop for Aside {
    fn drop(&mut self) {
        BOUND.with(|left| left.set(left.get().saturating_add(self.bytes)));
    }
}

/// Resets the bound to what it was at the beginning.
#[cfg_attr(not(feature = "report-file"), allow(dead_code, reason = "reports near the limit"))]
pub(crate) fn renew_bound() {
    set_left(MOST.with(Cell::get));
}

/// What the work of this thread may still take for its lists and texts.
pub(crate) fn left() -> usize {
    BOUND.with(Cell::get)
}

/// Sets what the work may still take, after it has freed what it took since it read [`left`].
pub(crate) fn set_left(bytes: usize) {
    BOUND.with(|left| left.set(bytes));
}

/// Subtracts `bytes` from what the work of this thread may still take.
pub(crate) fn take(bytes: usize) {
    BOUND.with(|left| left.set(left.get().saturating_sub(bytes)));
}

/// How many elements fit into half of what is left. The other half is for memory that elements own.
fn most<T>() -> usize {
    room_for(size_of::<T>())
}

/// How many rows of about `bytes` bytes fit into half of what is left.
pub(crate) fn room_for(bytes: usize) -> usize {
    left() / 2 / bytes.max(1)
}

/// Makes room for this many more elements, if the work of this thread may take as much.
pub(crate) fn expect<T>(list: &mut Vec<T>, more: usize) {
    if more <= most::<T>() && list.try_reserve_exact(more).is_ok() {
        take(more.saturating_mul(size_of::<T>()));
    }
}

/// Whether there is no memory for more rows: a part of the reserve is in use, or could never be
/// held, or the bound is reached. Makes room for what must be reported all the same.
pub(crate) fn is_short() -> bool {
    if LEFT.with(Cell::get) < LEAST_ROOM {
        make_room();
    }
    MISSING.load(Ordering::Relaxed) != 0 || BOUND.with(Cell::get) == 0
}

/// Records that this many bytes of the room are used.
pub(crate) fn spend(bytes: usize) {
    LEFT.with(|left| left.set(left.get().saturating_sub(bytes)));
}

/// Whether there is no memory even for one line.
pub(crate) fn is_empty() -> bool {
    MISSING.load(Ordering::Relaxed) >= PIECES
}

/// A guard for memscope's own work on this thread.
#[derive(Debug)]
pub(crate) struct Work {
    outer: Option<MakeRoom>,
    left_out: u64,
    /// The guard's state is thread-local, so it must not move to another thread.
    not_send: PhantomData<*const ()>,
}

/// Begins memscope's own work on this thread. `how` makes room for it.
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
    /// Rows left out since the work began.
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

/// Resets the count of rows left out, when the work begins again.
pub(crate) fn count_anew() {
    LEFT_OUT.with(|left_out| left_out.set(0));
}

/// Counts rows that are left out.
pub(crate) fn leave_out(rows: u64) {
    LEFT_OUT.with(|left_out| left_out.set(left_out.get().saturating_add(rows)));
}

/// Makes room for one more element. Returns `false` if there is no memory for it.
#[inline]
pub(crate) fn grow<T>(list: &mut Vec<T>) -> bool {
    list.len() < list.capacity() || grow_more(list)
}

#[cold]
fn grow_more<T>(list: &mut Vec<T>) -> bool {
    // The list may take the room that was made.
    let bytes = list.len().saturating_mul(size_of::<T>());
    spend(bytes);
    take(bytes);
    if BOUND.with(Cell::get) == 0 {
        return false;
    }
    // Grows by a little if it cannot double.
    list.try_reserve(1).is_ok() || (!is_short() && list.try_reserve_exact(64).is_ok())
}

/// Makes room for one more row and for what it owns. Returns `false` if there is no memory for it.
#[inline]
pub(crate) fn has_room<T>(rows: &mut Vec<T>) -> bool {
    grow(rows) && !is_short()
}

/// Appends a row. If there is no memory for it, counts it as left out and returns `false`.
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

/// Makes all rows, or as many as there is memory for. The others are not made but counted as left
/// out.
pub(crate) fn rows<S, T>(
    sources: impl IntoIterator<Item = S>,
    mut row: impl FnMut(S) -> Option<T>,
) -> Vec<T> {
    let sources = sources.into_iter();
    let mut rows = Vec::new();
    let expected = sources.size_hint().0.min(most::<T>());
    let bytes = expected.saturating_mul(size_of::<T>());
    spend(bytes);
    take(bytes);
    // PERF: if the length is known, rows are made where they stay. If there is no memory for all of
    // them, there may be for some.
    let _ = rows.try_reserve_exact(expected);
    for source in sources {
        if has_room(&mut rows) {
            rows.extend(row(source));
            if needs_drop::<T>() {
                spend(ROW);
                take(ROW);
            }
        } else {
            leave_out(1);
        }
    }
    rows
}

/// Makes room for one more entry. Returns `false` if there is no memory for it.
pub(crate) fn room<K: Eq + Hash, V>(map: &mut HashMap<K, V, impl BuildHasher>) -> bool {
    if map.len() < map.capacity() {
        return true;
    }
    let bytes = map.len().saturating_mul(2 * size_of::<(K, V)>());
    spend(bytes);
    take(bytes);
    BOUND.with(Cell::get) != 0 && map.try_reserve(1).is_ok()
}

/// Whether this much memory can be allocated now, for work of which nothing can be left out.
pub(crate) fn has_room_for(bytes: u64) -> bool {
    !is_short() && usize::try_from(bytes).is_ok_and(|bytes| list::<u8>(bytes).is_some())
}

/// An empty list of this capacity, if there is memory for it.
pub(crate) fn list<T>(length: usize) -> Option<Vec<T>> {
    let mut list = Vec::new();
    let bytes = length.saturating_mul(size_of::<T>());
    spend(bytes);
    if bytes > BOUND.with(Cell::get) {
        return None;
    }
    take(bytes);
    list.try_reserve_exact(length).ok()?;
    Some(list)
}
