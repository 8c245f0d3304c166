//! What a thread has entered by two calls, and so may leave in any order: spans.
//!
//! A guard ([`Entered`](super::current::Entered)) saves what was current before it and restores it when it
//! is dropped; guards nest, as they are variables of functions. A span may be left anywhere: inside
//! a scope or a poll that began after it, or not at all. So each thread keeps a list of its
//! entries, newest first, each with the *depth* (how many guards there were) that it was entered
//! at. Three rules keep every saved pointer valid:
//!
//! 1. Leaving an entry removes it. Where it was saved (in later entries, behind a signpost), it is
//!    replaced by what it had saved itself.
//! 2. A guard that began after the entry may have saved it, and cannot be reached. Then the entry
//!    is *buried*: it stays in the list, marked as left, and its span keeps its place in memory.
//!    The guard, when it is dropped, finds the mark, restores what the entry had saved, and removes
//!    it.
//! 3. A guard that is dropped leaves all that was entered under it and not left: nothing that was
//!    entered in a poll or a scope stays current when that is over.
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

/// One time that a thread entered a span. Only that thread looks at it.
#[derive(Debug)]
pub(super) struct Entry {
    span: StaticRef<Span>,
    /// What the entry made current.
    tally: StaticRef<Tally>,
    /// What was current before.
    previous: StaticRef<Tally>,
    /// The entry before.
    below: StaticRef<Self>,
    /// The span's id, which is the same for another span of another layer.
    id: AtomicU64,
    layer: AtomicU32,
    /// How many guards there were.
    depth: AtomicU32,
    role: AtomicU8,
    /// It is buried: left, and maybe saved by a guard.
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

/// Charges the span from now on with what this thread allocates; nothing where it is closed, or
/// there is no memory.
pub(crate) fn enter(span: &'static Span, layer: u32, id: u64) {
    let Some(entry) = MAGAZINE.with(Magazine::pop).or_else(|| ENTRIES.take()) else { return };
    let joined = span.join(|| HERE.with(|here| here.entries().any(|there| there.writes(span))));
    let Some((role, tally)) = joined.and_then(|(role, _)| Some((role, span.tally(role)?))) else {
        return entry.put_away();
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

/// Leaves the span of a layer, the last time that this thread has entered it; nothing where it has
/// not.
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

/// Leaves all that this thread has entered: it ends.
pub(super) fn retire() {
    HERE.with(|here| {
        while let Some(top) = here.top.get() {
            top.remove(here);
        }
    });
    ENTRIES.empty(&MAGAZINE);
}

/// In a forked child, on its only thread: the threads that are not there have left their spans.
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

/// Restores what a guard has saved, whose depth has just been taken back.
#[cold]
#[inline(never)]
pub(super) fn restore(here: &Here, saved: &'static Tally) {
    let depth = here.depth.get();
    // First, so that nothing is charged to what is removed.
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

/// What to restore where this was saved at a depth: the same, or what is below it where it is
/// buried.
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
    /// What this thread has entered, the last first.
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

    /// Whether by this entry its thread holds the span's turn.
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

    /// Leaves the span; `above`: the next entry.
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

    /// Removes the newest entry; nothing is saved in its place, or will be restored.
    fn remove(&'static self, here: &Here) {
        here.top.set(self.below.get());
        if self.is_buried() {
            here.buried.set(here.buried.get() - 1);
        }
        self.part();
    }

    /// Leaves the span, unless that was done before, and goes back to the pool.
    fn part(&'static self) {
        if let Some(span) = self.span.get() {
            if self.is_buried() { span.unbury() } else { span.leave(self.role(), false) }
        }
        self.put_away();
    }

    fn put_away(&'static self) {
        // What a fork finds without a span is not in use.
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
