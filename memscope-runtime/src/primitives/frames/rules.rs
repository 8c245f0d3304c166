//! How to go from a frame of the stack to its caller's, for return addresses that were seen before.
//!
//! The compiler's tables (DWARF call frame information) describe it for each instruction, as a
//! program that runs from the start of the function. A rule is the result for one return address:
//! how far the caller's stack pointer is from a register, and where the frame pointer was saved.
//! Rules are learned by the collector and by snapshots (`tables.rs`). The allocator only reads
//! rules, and asks for missing ones.
//!
//! Only the program and the C library have rules. Any other file may be unloaded, and other code
//! may then be loaded at the same address.

use std::{
    ops::{ControlFlow, Range},
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use crate::primitives::{
    arena::{Zeroed, keep_pages},
    atomic_ref::StaticRef,
    loaded::{LoadedFile, each_loaded},
};

/// The register from which a rule computes the caller's stack pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    StackPointer,
    FramePointer,
}

/// The way from a frame to its caller's. The return address stands just below the caller's stack
/// pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// The frame is the outermost one.
    Outermost,
    /// The unwinder has to be asked.
    Unknown,
    Caller {
        /// The caller's stack pointer is this register plus `words` words.
        base: Base,
        words: u32,
        /// The caller's frame pointer was saved this many words below the caller's stack pointer; 0
        /// if it is still in its register.
        saved: u32,
    },
}

/// An entry: the place of the return address in its file (32 bits), the kind (2 bits), the words
/// (22 bits) and where the frame pointer was saved (8 bits).
const WORDS_BITS: u32 = 22;
const SAVED_BITS: u32 = 8;
const KIND_SHIFT: u32 = WORDS_BITS + SAVED_BITS;
const OUTERMOST: u32 = 0;
const UNKNOWN: u32 = 1;
const BY_STACK_POINTER: u32 = 2;
const BY_FRAME_POINTER: u32 = 3;

impl Rule {
    /// The rule in 32 bits. A rule that does not fit becomes [`Unknown`](Self::Unknown).
    fn bits(self) -> u32 {
        let (kind, words, saved) = match self {
            Self::Outermost => (OUTERMOST, 0, 0),
            Self::Caller { base, words, saved }
                if words >> WORDS_BITS == 0 && saved >> SAVED_BITS == 0 && words != 0 =>
            {
                let is_stack = base == Base::StackPointer;
                (if is_stack { BY_STACK_POINTER } else { BY_FRAME_POINTER }, words, saved)
            }
            Self::Unknown | Self::Caller { .. } => (UNKNOWN, 0, 0),
        };
        kind << KIND_SHIFT | words << SAVED_BITS | saved
    }

    fn of_bits(bits: u32) -> Self {
        let words = bits >> SAVED_BITS & ((1 << WORDS_BITS) - 1);
        let saved = bits & ((1 << SAVED_BITS) - 1);
        match bits >> KIND_SHIFT {
            OUTERMOST => Self::Outermost,
            UNKNOWN => Self::Unknown,
            BY_STACK_POINTER => Self::Caller { base: Base::StackPointer, words, saved },
            _ => Self::Caller { base: Base::FramePointer, words, saved },
        }
    }
}

/// A file that is never unloaded.
#[derive(Debug)]
struct File {
    start: AtomicUsize,
    end: AtomicUsize,
    /// The address of its table of functions, `.eh_frame_hdr`, and the segment that has it.
    table: AtomicUsize,
    segment_start: AtomicUsize,
    segment_end: AtomicUsize,
}

/// The program and the C library.
static FILES: [File; 2] = [const { File::none() }; 2];

/// The most addresses of a file, so that the offsets in both files together fit into 32 bits.
const MOST_OF_FILE: usize = 1 << 31;

/// Notes where the program and the C library lie. Must not be called in the allocator, because it
/// asks the loader.
pub(crate) fn note_files() {
    // SAFETY: the function takes no arguments, and its result is a constant of the library.
    let library = unsafe { libc::gnu_get_libc_version() }.addr();
    let [program_file, library_file] = &FILES;
    let mut is_program = true;
    each_loaded(|file| {
        let code = code(&file);
        if is_program {
            program_file.note(&file, &code);
        } else if code.contains(&library) {
            library_file.note(&file, &code);
        }
        is_program = false;
        if code.contains(&library) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
}

/// The addresses from a file's first segment to its last one.
fn code(file: &LoadedFile<'_>) -> Range<usize> {
    let all = file.segments().reduce(|all, it| all.start.min(it.start)..all.end.max(it.end));
    all.unwrap_or_default()
}

/// The table of functions of the file that has this return address, and the segment in which the
/// table lies.
pub(crate) fn table_of(address: usize) -> Option<(usize, Range<usize>)> {
    let file = FILES.iter().find(|file| file.place(address).is_some())?;
    let at = |place: &AtomicUsize| place.load(Ordering::Relaxed);
    Some((at(&file.table), at(&file.segment_start)..at(&file.segment_end)))
}

impl File {
    const fn none() -> Self {
        Self {
            start: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
            table: AtomicUsize::new(0),
            segment_start: AtomicUsize::new(0),
            segment_end: AtomicUsize::new(0),
        }
    }

    fn note(&self, file: &LoadedFile<'_>, code: &Range<usize>) {
        let table = file.headers.iter().find(|it| it.p_type == libc::PT_GNU_EH_FRAME);
        let Some(table) = table.filter(|_| code.len() < MOST_OF_FILE) else { return };
        let table = file.range(table).start;
        let Some(segment) = file.segments().find(|it| it.contains(&table)) else { return };
        self.table.store(table, Ordering::Relaxed);
        self.segment_start.store(segment.start, Ordering::Relaxed);
        self.segment_end.store(segment.end, Ordering::Relaxed);
        self.start.store(code.start, Ordering::Relaxed);
        // Release; pairs with the Acquire in `place`: a reader that sees the end sees the other
        // fields.
        self.end.store(code.end, Ordering::Release);
    }

    /// The distance of an address from the file's start.
    #[inline]
    fn place(&self, address: usize) -> Option<usize> {
        let is_before_end = address < self.end.load(Ordering::Acquire);
        let place = address.wrapping_sub(self.start.load(Ordering::Relaxed));
        (is_before_end && place < MOST_OF_FILE).then_some(place)
    }
}

/// The 32 bits that stand for a return address; `None` if its file may be unloaded. Never 0, which
/// is the start of the program's file.
#[inline]
fn key(address: usize) -> Option<u32> {
    let [program, library] = &FILES;
    let place = match program.place(address) {
        Some(place) => place,
        None => library.place(address)? + MOST_OF_FILE,
    };
    u32::try_from(place).ok().filter(|place| *place != 0)
}

/// A table of rules. A slot that is taken keeps its entry, so an entry is found at its first free
/// slot or before.
#[derive(Debug)]
struct Table<const SLOTS: usize>([AtomicU64; SLOTS]);

// SAFETY: atomics, which are valid when zeroed and need no drop.
unsafe impl<const SLOTS: usize> Zeroed for Table<SLOTS> {}

/// The most slots that a search looks at.
const MOST_LOOKS: usize = 32;

impl<const SLOTS: usize> Table<SLOTS> {
    /// The slots that may have the entry of a key.
    #[inline]
    fn slots(&self, key: u32) -> impl Iterator<Item = &AtomicU64> {
        const { assert!(SLOTS.is_power_of_two()) };
        let first = key.wrapping_mul(0x9e37_79b9) as usize >> (32 - SLOTS.trailing_zeros());
        (first..first + MOST_LOOKS).filter_map(|at| self.0.get(at % SLOTS))
    }

    #[inline]
    fn find(&self, key: u32) -> Option<Rule> {
        for slot in self.slots(key) {
            let entry = slot.load(Ordering::Relaxed);
            // If the entry has this key, the rule is left, which is below 2^32.
            if let Ok(rule) = u32::try_from(entry ^ u64::from(key) << 32) {
                return Some(Rule::of_bits(rule));
            }
            if entry == 0 {
                break;
            }
        }
        None
    }

    /// Adds an entry. Returns `false` if there is no room for it.
    fn put(&self, key: u32, rule: Rule) -> bool {
        let entry = u64::from(key) << 32 | u64::from(rule.bits());
        self.slots(key).any(|slot| {
            // Relaxed: an entry is one word, so nothing has to be ordered with it.
            let seen = slot.compare_exchange(0, entry, Ordering::Relaxed, Ordering::Relaxed);
            seen.is_ok() || seen.is_err_and(|there| there >> 32 == u64::from(key))
        })
    }
}

/// The first table, of 8 KiB. Most programs need no other one.
static SMALL: StaticRef<Table<1_024>> = StaticRef::none();
static LARGE: StaticRef<Table<16_384>> = StaticRef::none();
/// The number of rules in each table.
static IN_SMALL: AtomicUsize = AtomicUsize::new(0);
static IN_LARGE: AtomicUsize = AtomicUsize::new(0);
/// The most rules of each table: half of its slots, so that a search looks at few of them.
const MOST_IN_SMALL: usize = 512;
const MOST_IN_LARGE: usize = 8_192;

/// Bytes that the tables have taken from the system.
static BYTES: AtomicU64 = AtomicU64::new(0);

/// Bytes that the rules have taken from the system.
pub(crate) fn held_bytes() -> u64 {
    BYTES.load(Ordering::Relaxed)
}

/// Returns the table in `place`, and makes it if there is none. Returns `None` if the system has no
/// memory.
fn get_or_make<const SLOTS: usize>(
    place: &StaticRef<Table<SLOTS>>,
) -> Option<&'static Table<SLOTS>> {
    if let Some(there) = place.get() {
        return Some(there);
    }
    let new = keep_pages::<Table<SLOTS>>()?;
    BYTES.fetch_add(size_of::<Table<SLOTS>>() as u64, Ordering::Relaxed);
    // If another thread was faster, the new table stays unused.
    Some(place.set_if_none(new).err().unwrap_or(new))
}

/// The rule of a return address, if it was learned.
#[inline]
pub(crate) fn find(address: usize) -> Option<Rule> {
    let key = key(address)?;
    let small = SMALL.get()?;
    small.find(key).or_else(|| LARGE.get()?.find(key))
}

/// Keeps a rule. Does nothing if there is no room for it.
pub(crate) fn keep(address: usize, rule: Rule) {
    let Some(key) = key(address).filter(|_| find(address).is_none()) else { return };
    if IN_SMALL.load(Ordering::Relaxed) < MOST_IN_SMALL {
        let Some(table) = get_or_make(&SMALL) else { return };
        IN_SMALL.fetch_add(1, Ordering::Relaxed);
        if table.put(key, rule) {
            return;
        }
    }
    let is_full = IN_LARGE.fetch_add(1, Ordering::Relaxed) >= MOST_IN_LARGE;
    if is_full || !get_or_make(&LARGE).is_some_and(|table| table.put(key, rule)) {
        IS_FULL.store(true, Ordering::Relaxed);
    }
}

/// Return addresses whose rules are missing. A new one may overwrite another one.
static WANTED: [AtomicUsize; 256] = [const { AtomicUsize::new(0) }; 256];
static IS_ANY_WANTED: AtomicBool = AtomicBool::new(false);
/// Whether a thread has asked for wanted addresses, so that it may learn their rules.
static IS_ASKED_FOR: AtomicBool = AtomicBool::new(false);
/// Whether the tables are full, so that no further rule is kept.
static IS_FULL: AtomicBool = AtomicBool::new(false);

/// Asks for the rule of a return address, if there is none.
pub(crate) fn want(address: usize) {
    if key(address).is_none() || find(address).is_some() {
        return;
    }
    if let Some(place) = WANTED.get(address.wrapping_mul(0x9e37_79b9) >> 24 & 0xff) {
        place.store(address, Ordering::Relaxed);
        IS_ANY_WANTED.store(true, Ordering::Relaxed);
    }
}

/// Whether wanted rules are learned: the tables have room, and a thread asks for addresses.
pub(crate) fn may_be_wanted() -> bool {
    IS_ASKED_FOR.load(Ordering::Relaxed) && !IS_FULL.load(Ordering::Relaxed)
}

/// Calls `each` with the return addresses whose rules are wanted, and forgets them. From the first
/// call on, samples ask for rules.
pub(crate) fn each_wanted(mut each: impl FnMut(usize)) {
    IS_ASKED_FOR.store(true, Ordering::Relaxed);
    if !IS_ANY_WANTED.swap(false, Ordering::Relaxed) {
        return;
    }
    for place in &WANTED {
        let address = place.swap(0, Ordering::Relaxed);
        if address != 0 {
            each(address);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rules() -> impl Strategy<Value = Rule> {
        let base = prop_oneof![Just(Base::StackPointer), Just(Base::FramePointer)];
        let caller = (base, 1..1_u32 << WORDS_BITS, 0..1_u32 << SAVED_BITS)
            .prop_map(|(base, words, saved)| Rule::Caller { base, words, saved });
        prop_oneof![Just(Rule::Outermost), Just(Rule::Unknown), caller]
    }

    proptest! {
        #[test]
        fn a_rule_is_the_same_behind_its_bits(rule in rules()) {
            prop_assert_eq!(Rule::of_bits(rule.bits()), rule);
        }

        #[test]
        fn a_table_gives_back_what_was_put_into_it(
            entries in prop::collection::hash_map(1..u32::MAX, rules(), 0..200),
        ) {
            let table = Table::<512>([const { AtomicU64::new(0) }; 512]);
            let kept: Vec<_> =
                entries.iter().filter(|(key, rule)| table.put(**key, **rule)).collect();
            prop_assert!(kept.len() * 10 >= entries.len() * 9);
            for (key, rule) in kept {
                prop_assert_eq!(table.find(*key), Some(*rule));
            }
        }
    }

    #[test]
    fn a_frame_that_has_no_room_in_an_entry_is_left_to_the_unwinder() {
        for (words, saved) in [(1 << WORDS_BITS, 0), (1, 1 << SAVED_BITS), (0, 0)] {
            let rule = Rule::Caller { base: Base::StackPointer, words, saved };
            assert_eq!(Rule::of_bits(rule.bits()), Rule::Unknown);
        }
    }

    #[test]
    fn a_full_table_takes_nothing_more_and_keeps_what_it_has() {
        let table = Table::<64>([const { AtomicU64::new(0) }; 64]);
        let kept: Vec<u32> = (1..1_000).filter(|key| table.put(*key, Rule::Outermost)).collect();
        assert!(kept.len() <= 64 && kept.len() > 32, "{}", kept.len());
        assert!(kept.iter().all(|key| table.find(*key) == Some(Rule::Outermost)));
        assert_eq!(table.find(1_000), None);
    }
}
