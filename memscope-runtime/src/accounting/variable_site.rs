//! Variable sites: the place of a `track_var!` and the type of its variable.
//!
//! Each site is one row, which counts all variables that were registered there with that type.

use std::ptr;

use crate::{
    config,
    model::Extent,
    primitives::{
        Hash, InternTable, Read, SeqLock, StaticRef, arena,
        sync::{AtomicU8, AtomicU64, Ordering, add, raise},
    },
};

/// A place in the code where `track_var!` stands; the macro makes it.
#[derive(Debug)]
pub struct VariableCallsite {
    key: Key,
    /// The row that was used last. Inside a generic function there is one row for each type.
    last: StaticRef<VariableSite>,
}

/// What distinguishes one row from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) type_name: &'static str,
    pub(crate) file: &'static str,
    pub(crate) line: u32,
    pub(crate) column: u32,
}

impl VariableCallsite {
    /// A callsite for a variable with this name, as written in the code, at this place.
    pub const fn new(name: &'static str, file: &'static str, line: u32, column: u32) -> Self {
        let key = Key { name, type_name: "", file, line, column };
        Self { key, last: StaticRef::none() }
    }

    #[inline]
    pub(crate) fn site(&self, type_name: &'static str) -> &'static VariableSite {
        match self.last.get() {
            Some(site) if ptr::eq(site.key.type_name, type_name) => site,
            _ => {
                let site = VariableSite::of(Key { type_name, ..self.key });
                self.last.set(site);
                site
            }
        }
    }
}

/// One row: the counts of all variables that one `track_var!` registered with one type.
#[derive(Debug)]
pub(crate) struct VariableSite {
    pub(crate) key: Key,
    hash: u64,
    stack_bytes: AtomicU64,
    registered: AtomicU64,
    ended: AtomicU64,
    repeated: AtomicU64,
    unfollowed: AtomicU64,
    largest_bytes: AtomicU64,
    lifetime_sum_ns: AtomicU64,
    longest_lifetime_ns: AtomicU64,
    last: Last,
}

/// The last variable that ended or could not be followed, protected by a seqlock.
#[derive(Debug)]
struct Last {
    version: SeqLock,
    extent: AtomicU8,
    task: AtomicU64,
    freed_by: AtomicU64,
    heap_bytes: AtomicU64,
    lifetime_ns: AtomicU64,
}

/// A variable whose end was seen, or cannot be seen. Task ids are 0 outside every task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Past {
    pub(crate) extent: Extent,
    pub(crate) task: u64,
    pub(crate) freed_by: u64,
    pub(crate) heap_bytes: u64,
    pub(crate) lifetime_ns: u64,
}

/// One reading of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VariableSiteReading {
    /// The address of the row, which distinguishes it from all others.
    pub(crate) id: *const (),
    pub(crate) key: Key,
    pub(crate) stack_bytes: u64,
    pub(crate) registered: u64,
    pub(crate) ended: u64,
    pub(crate) repeated: u64,
    pub(crate) unfollowed: u64,
    pub(crate) largest_bytes: u64,
    pub(crate) lifetime_sum_ns: u64,
    pub(crate) longest_lifetime_ns: u64,
    pub(crate) last: Option<Past>,
}

static SITES: InternTable<VariableSite> = InternTable::new();

static OTHER: VariableSite =
    VariableSite::new(Key { name: "(other)", type_name: "", file: "", line: 0, column: 0 }, 0);

impl VariableSite {
    const fn new(key: Key, hash: u64) -> Self {
        Self {
            key,
            hash,
            stack_bytes: AtomicU64::new(0),
            registered: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            repeated: AtomicU64::new(0),
            unfollowed: AtomicU64::new(0),
            largest_bytes: AtomicU64::new(0),
            lifetime_sum_ns: AtomicU64::new(0),
            longest_lifetime_ns: AtomicU64::new(0),
            last: Last {
                version: SeqLock::of(AtomicU64::new(0)),
                extent: AtomicU8::new(0),
                task: AtomicU64::new(0),
                freed_by: AtomicU64::new(0),
                heap_bytes: AtomicU64::new(0),
                lifetime_ns: AtomicU64::new(0),
            },
        }
    }

    /// Returns the row with this key, and makes it if it does not exist. Returns `(other)` if there
    /// is no room.
    fn of(key: Key) -> &'static Self {
        let place = u64::from(key.line) << 32 | u64::from(key.column);
        let hash = Hash::new().number(place).text(key.name).text(key.type_name).get();
        let is_same = |site: &Self| site.hash == hash && site.key == key;
        let has_room = || SITES.made() < config::site_rows();
        let make = |_| arena::keep(Self::new(key, hash));
        SITES.get_or_insert(hash, is_same, has_room, make).unwrap_or(&OTHER)
    }

    /// All rows that have had a variable, `(other)` last.
    pub(crate) fn all() -> impl Iterator<Item = &'static Self> {
        SITES.iter().chain([&OTHER]).filter(|site| site.registered.load(Ordering::Relaxed) != 0)
    }

    pub(crate) fn stack_bytes(&self) -> u64 {
        self.stack_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn note_registered(&self, stack_bytes: usize) {
        raise(&self.stack_bytes, stack_bytes as u64);
        add(&self.registered, 1);
    }

    pub(crate) fn note_repeated(&self) {
        add(&self.repeated, 1);
    }

    pub(crate) fn note_bytes(&self, heap_bytes: u64) {
        raise(&self.largest_bytes, heap_bytes);
    }

    pub(crate) fn note_unfollowed(&self, extent: Extent, task: u64) {
        self.last.write(&Past { extent, task, freed_by: 0, heap_bytes: 0, lifetime_ns: 0 });
        // Release; pairs with the Acquire in `read`, as in `note_ended`.
        self.unfollowed.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn note_ended(&self, past: &Past) {
        self.last.write(past);
        add(&self.lifetime_sum_ns, past.lifetime_ns);
        raise(&self.longest_lifetime_ns, past.lifetime_ns);
        // Release; pairs with the Acquire in `read`: a reader that counts the end sees the
        // registration.
        self.ended.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn read(&self) -> VariableSiteReading {
        let get = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        // Must be read before `registered`, so that no more variables seem to be over than were
        // registered.
        let (ended, repeated, unfollowed) =
            (get(&self.ended), get(&self.repeated), get(&self.unfollowed));
        VariableSiteReading {
            id: ptr::from_ref(self).cast(),
            key: self.key,
            stack_bytes: get(&self.stack_bytes),
            registered: get(&self.registered),
            ended,
            repeated,
            unfollowed,
            largest_bytes: get(&self.largest_bytes),
            lifetime_sum_ns: get(&self.lifetime_sum_ns),
            longest_lifetime_ns: get(&self.longest_lifetime_ns),
            last: self.last.read(),
        }
    }
}

/// Discards what was being written by a thread that a fork has left behind. Must be called in the
/// child, on its only thread.
pub(crate) fn forked() {
    for site in SITES.iter().chain([&OTHER]) {
        if site.last.version.is_odd() {
            site.last.version.abandon(false);
        }
    }
}

const EXTENTS: [Extent; 6] = [
    Extent::Whole,
    Extent::Partial,
    Extent::Nothing,
    Extent::Opaque,
    Extent::NotMeasured,
    Extent::NotFollowed,
];

impl Last {
    /// Writes nothing if another thread is writing: then that thread's variable is the last one.
    fn write(&self, past: &Past) {
        let Some(_writing) = self.version.write() else { return };
        let extent = EXTENTS.iter().position(|extent| *extent == past.extent).unwrap_or(0);
        // Release on every field, as `SeqLock` demands.
        self.extent.store(u8::try_from(extent).unwrap_or(0), Ordering::Release);
        self.task.store(past.task, Ordering::Release);
        self.freed_by.store(past.freed_by, Ordering::Release);
        self.heap_bytes.store(past.heap_bytes, Ordering::Release);
        self.lifetime_ns.store(past.lifetime_ns, Ordering::Release);
    }

    /// Returns `None` if nothing is over yet, or if writers have torn every attempt to read.
    fn read(&self) -> Option<Past> {
        for _ in 0..64 {
            match self.version.read(|| self.words()) {
                Read::Consistent(past) => return Some(past),
                Read::Empty => return None,
                Read::Torn => std::hint::spin_loop(),
            }
        }
        None
    }

    fn words(&self) -> Past {
        let extent = EXTENTS.get(usize::from(self.extent.load(Ordering::Acquire)));
        Past {
            extent: extent.copied().unwrap_or(Extent::NotMeasured),
            task: self.task.load(Ordering::Acquire),
            freed_by: self.freed_by.load(Ordering::Acquire),
            heap_bytes: self.heap_bytes.load(Ordering::Acquire),
            lifetime_ns: self.lifetime_ns.load(Ordering::Acquire),
        }
    }
}
