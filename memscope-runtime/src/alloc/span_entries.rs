//! The spans that a thread has entered. It may leave them in any order.
//!
//! A guard ([`Entered`](super::current::Entered)) saves the tally that was current before it, and
//! restores that tally when it is dropped. Guards nest, because they are local variables. A span
//! may be left anywhere: inside a scope or a poll that began after it, or never. So each thread
//! keeps a list of its entries, newest first. Each entry stores the *depth* at which the span was
//! entered: the number of guards at that time. Three rules keep every saved pointer valid:
//!
//! 1. Leaving an entry removes it. Where its tally was saved (in later entries, or under a mode),
//!    the tally that the entry had saved replaces it.
//! 2. A guard that began after the entry may have saved its tally, and cannot be reached. Then the
//!    entry is *buried*: it stays in the list, marked as left, and its span keeps its place in
//!    memory. The guard finds the mark when it is dropped, restores what the entry had saved, and
//!    removes the entry.
//! 3. A guard that is dropped leaves all entries that began under it and are not left. So a span
//!    that was entered in a poll or a scope is not current after it.
//!
//! PERF: while no span is entered on the thread, a guard pays one test for all this.

use std::ptr;

use super::{
    current::{HERE, Here},
    discharge::known,
};
use crate::{
    accounting::{Role, Span, Tally},
    primitives::{
        HasLinks, Links, Magazine, Slab, StaticRef, Zeroed,
        sync::{AtomicU8, AtomicU32, AtomicU64, Ordering},
    },
};

/// One entry of a span by a thread. Only that thread accesses it.
#[derive(Debug)]
pub(super) struct Entry {
    span: StaticRef<Span>,
    /// What the entry made current.
    tally: StaticRef<Tally>,
    /// What was current before.
    previous: StaticRef<Tally>,
    /// The next older entry.
    below: StaticRef<Self>,
    /// The span's id. Another layer may use the same id for another span.
    id: AtomicU64,
    layer: AtomicU32,
    /// How many guards were alive when the span was entered.
    depth: AtomicU32,
    role: AtomicU8,
    /// 1 if the entry is buried: left, but perhaps saved by a guard.
    is_buried: AtomicU8,
    links: Links,
}

// SAFETY: atomics and `StaticRef`s, valid when zeroed, without destructors.
unsafe impl Zeroed for Entry {}

impl HasLinks for Entry {
    fn links(&self) -> &Links {
        &self.links
    }
}

static ENTRIES: Slab<Entry> = Slab::new();

thread_local! {
    static MAGAZINE: Magazine<Entry> = const { Magazine::new() };
}

/// Enters the span: this thread's allocations are charged to it from now on. Does nothing if the
/// span is closed, or there is no memory.
pub(crate) fn enter(span: &'static Span, layer: u32, id: u64) {
    let Some(entry) = MAGAZINE.with(Magazine::pop).or_else(|| ENTRIES.take()) else { return };
    let joined = span.join(|| HERE.with(|here| here.entries().any(|there| there.writes(span))));
    let Some((role, tally)) = joined.and_then(|(role, _)| Some((role, span.tally(role)?))) else {
        return entry.archive();
    };
    let previous = HERE.with(|here| {
        let previous = here.current.replace(tally);
        entry.span.set(span);
        entry.tally.set(tally);
        entry.previous.set(previous);
        set(&entry.below, here.top.replace(Some(entry)));
        entry.id.store(id, Ordering::Relaxed);
        entry.layer.store(layer, Ordering::Relaxed);
        entry.depth.store(here.depth.get(), Ordering::Relaxed);
        entry.role.store(role as u8, Ordering::Relaxed);
        entry.is_buried.store(0, Ordering::Relaxed);
        previous
    });
    if let Some(joined) = joined {
        span.begin(joined, known(previous).id());
    }
}

/// Leaves the newest entry of this span of a layer. Does nothing if this thread has not entered it.
pub(crate) fn exit(layer: u32, id: u64) {
    HERE.with(|here| {
        let mut above = None;
        for entry in here.entries() {
            if entry.is_of(layer, id) {
                return entry.leave(here, above);
            }
            above = Some(entry);
        }
    });
}

/// Leaves all entries of this thread, which ends.
pub(super) fn retire() {
    HERE.with(|here| {
        while let Some(top) = here.top.get() {
            top.remove(here);
        }
    });
    ENTRIES.empty(&MAGAZINE);
}

/// Leaves the entries of threads that a fork has left behind. Must be called in the child, on its
/// only thread.
#[cfg(unix)]
pub(super) fn forked() {
    HERE.with(|here| {
        let is_own = |entry: &Entry| here.entries().any(|own| ptr::eq(own, entry));
        for entry in ENTRIES.iter().filter(|entry| !is_own(entry)) {
            if let Some(span) = entry.span.get() {
                span.abandon(entry.role(), entry.is_buried());
                entry.span.clear();
                ENTRIES.put(entry);
            }
        }
    });
}

/// Restores the tally that a guard has saved. The guard's depth is no longer counted.
#[cold]
#[inline(never)]
pub(super) fn restore(here: &Here, saved: &'static Tally) {
    let depth = here.depth.get();
    // Must come first: nothing may be charged to an entry that is removed below.
    here.current.set(resolve(here, saved, depth));
    while let Some(top) = here.top.get() {
        let is_under_the_guard = top.depth() > depth;
        let is_saved_no_more = top.depth() == depth && top.is_buried();
        if !(is_under_the_guard || is_saved_no_more) {
            return;
        }
        top.remove(here);
    }
}

/// Returns the tally to restore for one that was saved at this depth. It is the same, or the one
/// below it if its entry is buried.
pub(super) fn resolve(here: &Here, saved: &'static Tally, depth: u32) -> &'static Tally {
    let mut to = saved;
    if here.buried.get() == 0 {
        return to;
    }
    for entry in here.entries().filter(|entry| entry.depth() <= depth) {
        if let (Some(tally), Some(previous)) = (entry.tally.get(), entry.previous.get())
            && ptr::eq(tally, to)
        {
            if !entry.is_buried() {
                return to;
            }
            to = previous;
        }
    }
    to
}

fn set<T: Sync>(place: &StaticRef<T>, to: Option<&'static T>) {
    match to {
        Some(to) => place.set(to),
        None => place.clear(),
    }
}

impl Here {
    /// Iterates over this thread's entries, newest first.
    fn entries(&self) -> impl Iterator<Item = &'static Entry> {
        std::iter::successors(self.top.get(), |entry| entry.below.get())
    }
}

impl Entry {
    fn depth(&self) -> u32 {
        self.depth.load(Ordering::Relaxed)
    }

    fn is_buried(&self) -> bool {
        self.is_buried.load(Ordering::Relaxed) != 0
    }

    fn role(&self) -> Role {
        match self.role.load(Ordering::Relaxed) {
            role if role == Role::Writer as u8 => Role::Writer,
            role if role == Role::Again as u8 => Role::Again,
            _ => Role::Guest,
        }
    }

    /// Returns whether this entry holds the span's turn for its thread.
    fn writes(&self, span: &Span) -> bool {
        self.role() == Role::Writer
            && !self.is_buried()
            && self.span.get().is_some_and(|own| ptr::eq(own, span))
    }

    fn is_of(&self, layer: u32, id: u64) -> bool {
        self.id.load(Ordering::Relaxed) == id
            && self.layer.load(Ordering::Relaxed) == layer
            && !self.is_buried()
    }

    /// Leaves the span. `above` is the next newer entry.
    fn leave(&'static self, here: &Here, above: Option<&'static Self>) {
        let (Some(tally), Some(previous)) = (self.tally.get(), self.previous.get()) else { return };
        for place in [&here.current, &here.underlying] {
            if ptr::eq(place.get(), tally) {
                place.set(previous);
            }
        }
        for later in here.entries().take_while(|later| !ptr::eq(*later, self)) {
            if later.previous.get().is_some_and(|saved| ptr::eq(saved, tally)) {
                later.previous.set(previous);
            }
        }
        let inner_depth = above.map_or(here.depth.get(), Self::depth);
        if inner_depth > self.depth() {
            self.is_buried.store(1, Ordering::Relaxed);
            here.buried.set(here.buried.get() + 1);
            if let Some(span) = self.span.get() {
                span.leave(self.role(), true);
            }
        } else {
            match above {
                Some(above) => set(&above.below, self.below.get()),
                None => here.top.set(self.below.get()),
            }
            self.part();
        }
    }

    /// Removes the newest entry, whose tally is saved nowhere and will not be restored.
    fn remove(&'static self, here: &Here) {
        here.top.set(self.below.get());
        if self.is_buried() {
            here.buried.set(here.buried.get() - 1);
        }
        self.part();
    }

    /// Leaves the span, unless that was done before, and returns the entry to the slab.
    fn part(&'static self) {
        if let Some(span) = self.span.get() {
            if self.is_buried() { span.unbury() } else { span.leave(self.role(), false) }
        }
        self.archive();
    }

    fn archive(&'static self) {
        // A forked child takes an entry without a span for unused.
        self.span.clear();
        ENTRIES.put_local(&MAGAZINE, self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounting::span;
    use crate::alloc::{
        current::{EXEMPT, Entered, ModeGuard, SPAWNING, owner_id, tally, underlying},
        spawn_charge,
    };

    static FIRST: Tally = Tally::new();
    static SECOND: Tally = Tally::new();

    fn open() -> (&'static Span, u64) {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let span = span::open("a span of a test", "entries.rs", 1, owner_id()).expect("memory");
        (span, NEXT.fetch_add(1, Ordering::Relaxed))
    }

    fn is(tally: &'static Tally, other: &'static Tally) -> bool {
        ptr::eq(tally, other)
    }

    #[test]
    fn spans_are_left_in_any_order() {
        let [a, b] = [open(), open()];
        let base = tally();
        enter(a.0, 7, a.1);
        let of_a = tally();
        enter(b.0, 7, b.1);
        let of_b = tally();
        enter(a.0, 7, a.1);
        assert!(is(tally(), of_a) && !is(of_a, of_b), "entered twice, it is one record");
        exit(7, b.1);
        exit(7, u64::MAX);
        exit(8, a.1);
        assert!(is(tally(), of_a));
        exit(7, a.1);
        assert!(is(tally(), of_a), "it was entered twice");
        exit(7, a.1);
        assert!(is(tally(), base));
        a.0.close();
        b.0.close();
        assert_eq!(HERE.with(|here| here.entries().count()), 0);
    }

    #[test]
    fn a_span_that_is_closed_while_it_is_entered_is_charged_until_it_is_left() {
        let (span, id) = open();
        enter(span, 7, id);
        let task = owner_id();
        span.close();
        enter(span, 7, id);
        assert_eq!(HERE.with(|here| here.entries().count()), 1, "it is not entered again");
        assert!(task != 0 && owner_id() == task);
        exit(7, id);
        assert_eq!(owner_id(), 0);
    }

    #[test]
    fn a_record_stays_the_spans_as_long_as_a_guard_saves_it() {
        let (span, id) = open();
        let base = tally();
        enter(span, 7, id);
        let of_span = tally();
        let task = owner_id();
        let outer = Entered::new(&FIRST);
        let inner = Entered::new(&SECOND);
        exit(7, id);
        span.close();
        assert!(of_span.id() != task, "it is written down at once");
        for _ in 0..100 {
            let other = span::open("another", "entries.rs", 2, owner_id()).expect("memory");
            assert!(!other.tally(Role::Writer).is_some_and(|other| is(other, of_span)));
            other.close();
        }
        assert!(is(tally(), &SECOND));
        drop(inner);
        assert!(is(tally(), &FIRST), "it saved no span");
        drop(outer);
        assert!(is(tally(), base));
        assert_eq!(HERE.with(|here| (here.buried.get(), here.depth.get())), (0, 0));
    }

    #[test]
    fn what_stands_behind_signposts_is_replaced_when_it_is_left() {
        let (span, id) = open();
        let base = tally();
        enter(span, 7, id);
        let spawning = ModeGuard::put(&SPAWNING);
        let own = ModeGuard::put(&EXEMPT);
        exit(7, id);
        span.close();
        assert!(is(underlying(tally()), base), "behind the inner one");
        drop(own);
        assert!(is(tally(), &SPAWNING) && is(underlying(tally()), base), "behind the outer one");
        drop(spawning);
        assert!(is(tally(), base));
        assert_eq!(HERE.with(|here| here.entries().count()), 0);
    }

    #[test]
    fn a_span_that_is_left_after_the_signpost_before_it_was_taken_away_is_current_no_more() {
        let (span, id) = open();
        let base = tally();
        enter(span, 7, id);
        let of_span = tally();
        let mode = ModeGuard::put(&SPAWNING);
        assert!(is(spawn_charge::leave_spawning(), of_span));
        assert!(is(tally(), of_span), "as after the cell of a task");
        let (other, other_id) = open();
        enter(other, 7, other_id);
        exit(7, id);
        span.close();
        exit(7, other_id);
        other.close();
        assert!(is(tally(), base), "what the other one had saved is replaced too");
        let guard = Entered::new(&FIRST);
        drop(guard);
        assert!(is(tally(), base));
        drop(mode);
        assert!(is(tally(), base));
        assert_eq!(HERE.with(|here| (here.entries().count(), here.buried.get())), (0, 0));
    }
}
