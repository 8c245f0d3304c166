//! The table of addresses that were looked up, with the names of the functions that they lie in.

use std::mem;

use memscope_layout::Frame;

use super::{
    Call, Detail, Lookup,
    detail::{self, Wanted},
    kept_bytes,
    libraries::{Libraries, Library},
    modules::{self, Loaded, Module},
};
use crate::{
    alloc::{current::exempt, own_work},
    primitives::{
        Guard, Lock, Renew, arena, fork, order, reserve,
        sync::{AtomicU8, AtomicU32, AtomicU64, Ordering},
    },
};

/// The most addresses that are kept, and the most bytes of names.
const MOST_ADDRESSES: usize = 8_192;
const MOST_NAME_BYTES: usize = 256 << 10;
/// From this many on, paths and inlined functions are not kept any more: each function has a name.
const MOST_DETAIL_BYTES: usize = 160 << 10;
/// The most addresses for which one round reads debug information, and the most bytes of it: some
/// tens of milliseconds.
const MOST_DETAILED: usize = 256;
const MOST_DEBUG_BYTES: u64 = 8 << 20;

/// A function that was looked up: an address in it, and what is known of it.
#[derive(Clone, Copy, Debug)]
struct Function {
    address: usize,
    name: Option<&'static str>,
    /// The library that it is in.
    library: Option<&'static Library>,
    /// What debug information may add.
    wanted: Wanted,
    /// What it adds; `None`: it was not read yet.
    detail: Option<&'static Detail>,
}

/// What was looked up, by address, in memscope's own memory.
///
/// NOTE: a thread that holds the lock takes no memory and gives none back, so readers never wait
/// for the allocator. A thread that a fork has left behind may have been writing: then the list is
/// made anew.
static FUNCTIONS: Lock<Vec<Function>> = Lock::new(Vec::new());

/// What the thread needs that looks up names: one at a time.
#[derive(Debug)]
struct Names {
    /// Each name once, sorted.
    kept: Vec<&'static str>,
    bytes: usize,
    libraries: Libraries,
    /// The libraries that were unloaded when the addresses were looked up.
    unloads: u64,
}

static NAMES: Lock<Names> = Lock::new(Names::NONE);

impl Renew for Names {
    fn renew(&mut self) {
        mem::forget(mem::replace(self, Self::NONE));
    }
}

/// The number of threads that look up names, 0 or 1: they may hold locks of the C library.
static LOOKUPS: AtomicU32 = AtomicU32::new(0);

/// Addresses and names for which there was no room.
static LEFT_OUT: AtomicU64 = AtomicU64::new(0);

/// 1 if no more addresses are looked up, because there is no room for them.
static IS_FULL: AtomicU8 = AtomicU8::new(0);

/// The function that contains the instruction at this address, and what else is known of it. A
/// return address is behind its call, so the caller subtracts one from it.
pub(crate) fn call_at(address: usize) -> Call {
    let nothing = Call {
        name: Lookup::NotLookedUp,
        library: None,
        detail: &detail::NOTHING,
        is_named: false,
        is_settled: false,
    };
    let Some(functions) = functions() else { return nothing };
    match position(&functions, address).ok().and_then(|at| functions.get(at)) {
        Some(function) => Call {
            name: function.name.map_or(Lookup::Unknown, Lookup::Known),
            library: function.library,
            detail: function.detail.unwrap_or(&detail::NOTHING),
            is_named: function.detail.is_some() || function.wanted != Wanted::Names,
            is_settled: function.detail.is_some(),
        },
        None if is_full() => {
            Call { name: Lookup::Unknown, is_named: true, is_settled: true, ..nothing }
        }
        None => nothing,
    }
}

/// `None` if a thread holds the lock and does not go on. A copy of the process that writes a report
/// has no thread that would release it. A reader waits for that once, not for each address.
fn functions() -> Option<Guard<'static, Vec<Function>>> {
    static IS_STUCK: AtomicU8 = AtomicU8::new(0);
    let was_stuck = IS_STUCK.load(Ordering::Relaxed) != 0;
    let functions = if was_stuck { FUNCTIONS.try_lock() } else { FUNCTIONS.lock_for_a_while() };
    IS_STUCK.store(u8::from(functions.is_none()), Ordering::Relaxed);
    functions
}

/// Whether no more addresses are looked up.
pub(super) fn is_full() -> bool {
    IS_FULL.load(Ordering::Relaxed) != 0
}

/// Addresses and names that were left out, because there was no room for them.
pub(crate) fn left_out() -> u64 {
    LEFT_OUT.load(Ordering::Relaxed)
}

/// Looks up the addresses that were not looked up yet, now and on this thread.
///
/// Does nothing in a forked child of a process with other threads: one of them may have held the
/// lock of the loader, which no thread releases any more. Does nothing if memory is short.
pub(crate) fn resolve(addresses: &[usize]) {
    with_names(|names| names.look_up(addresses));
}

/// Reads debug information of some of these addresses, which were looked up: first of those whose
/// symbol does not name the program's code. Returns whether it told something, and may tell more
/// the next time. Does nothing where [`resolve`] does nothing.
pub(crate) fn explain(addresses: &[usize]) -> bool {
    with_names(|names| names.add_details(addresses)).unwrap_or(false)
}

fn with_names<R>(work: impl FnOnce(&mut Names) -> Option<R>) -> Option<R> {
    if fork::may_have_foreign_locks() {
        return None;
    }
    exempt(|| {
        let _work = own_work::work();
        let mut names = NAMES.lock_for_a_while()?;
        LOOKUPS.fetch_add(1, Ordering::Relaxed);
        let result = if reserve::is_short() { None } else { work(&mut names) };
        LOOKUPS.fetch_sub(1, Ordering::Relaxed);
        result
    })
}

/// Called in a forked child: returns whether another thread of the parent was looking up names. It
/// does not exist in the child, and the locks that it held are never released.
#[cfg(unix)]
pub(crate) fn forked() -> bool {
    LOOKUPS.swap(0, Ordering::Relaxed) != 0
}

fn position(functions: &[Function], address: usize) -> Result<usize, usize> {
    functions.binary_search_by_key(&address, |it| it.address)
}

impl Names {
    const NONE: Self = Self { kept: Vec::new(), bytes: 0, libraries: Libraries::NONE, unloads: 0 };

    /// Returns without a result if memory is short: the next call tries again.
    fn look_up(&mut self, addresses: &[usize]) -> Option<()> {
        let mut new = reserve::list(addresses.len())?;
        let loaded = modules::loaded();
        self.forget_unloaded(&loaded);
        {
            let functions = FUNCTIONS.lock();
            new.extend(addresses.iter().copied().filter(|it| position(&functions, *it).is_err()));
        }
        order::by_key(&mut new, |address| *address);
        new.dedup();
        let mut next = with_room(new.len())?;
        let room = MOST_ADDRESSES.saturating_sub(next.len());
        if new.len() >= room {
            IS_FULL.store(1, Ordering::Relaxed);
            LEFT_OUT.fetch_add((new.len() - room) as u64, Ordering::Relaxed);
            new.truncate(room);
        }
        if new.is_empty() {
            return None;
        }
        let first = next.len();
        let unknown = |address: &usize| Function {
            address: *address,
            name: None,
            library: None,
            wanted: Wanted::Nothing,
            detail: None,
        };
        next.extend(new.iter().map(unknown));
        for module in &loaded.modules {
            self.name_module(module, next.get_mut(first..)?);
        }
        for function in next.get_mut(first..)? {
            let name = function.name.filter(|_| function.library.is_none());
            function.wanted = name.map_or(Wanted::Nothing, Wanted::of);
            if function.wanted == Wanted::Nothing {
                function.detail = Some(&detail::NOTHING);
            }
        }
        order::by_key(&mut next, |it| it.address);
        mem::swap(&mut *FUNCTIONS.lock(), &mut next);
        Some(())
    }

    /// Forgets what was in libraries that were unloaded: others may be in their place.
    fn forget_unloaded(&mut self, loaded: &Loaded) {
        if self.unloads != loaded.unloads {
            self.unloads = loaded.unloads;
            if self.libraries.note_gone(&loaded.modules) {
                let is_there = |it: &Function| it.library.is_none_or(|library| !library.is_gone());
                FUNCTIONS.lock().retain(is_there);
                IS_FULL.store(0, Ordering::Relaxed);
            }
        }
    }

    /// Names the functions that lie in one module. `new` is sorted.
    fn name_module(&mut self, module: &Module, new: &mut [Function]) -> Option<()> {
        let mut there: Vec<(u64, usize)> = reserve::list(new.len())?;
        for (at, function) in new.iter().enumerate() {
            there.extend(module.file_address(function.address).map(|address| (address, at)));
        }
        if there.is_empty() {
            return None;
        }
        if !module.is_program() {
            let library = self.libraries.of(module)?;
            // A stack may be older than the library: its calls were in the one before.
            if self.libraries.replaces_another(library) {
                return None;
            }
            for (_, at) in &there {
                new.get_mut(*at)?.library = Some(library);
            }
        }
        let mut addresses = reserve::list(there.len())?;
        addresses.extend(there.iter().map(|(address, _)| *address));
        let named = |index: usize, name: &str| {
            let place = there.get(index).and_then(|(_, at)| new.get_mut(*at));
            if let Some(function) = place {
                function.name = self.keep(name, MOST_NAME_BYTES);
            }
        };
        // A damaged file yields no names.
        module.open()?.find(&addresses, named).ok()
    }

    /// Reads debug information of the program for the first addresses that it was not read for.
    /// Those whose units are too many wait for the next time. Returns whether some wait.
    fn add_details(&mut self, addresses: &[usize]) -> Option<bool> {
        let mut wanted: Vec<(u64, usize, &'static str)> = reserve::list(MOST_DETAILED)?;
        let mut is_more = false;
        let loaded = modules::loaded();
        let program = loaded.modules.first().filter(|it| it.is_program())?;
        {
            let functions = FUNCTIONS.lock();
            let found = |&address| functions.get(position(&functions, address).ok()?);
            let unread = addresses.iter().filter_map(found).filter(|it| it.detail.is_none());
            // Names first: the units that lines need would take the room of theirs.
            let lacks_names = unread.clone().any(|it| it.wanted == Wanted::Names);
            let first = if lacks_names { Wanted::Names } else { Wanted::Lines };
            for function in unread {
                let Some(name) = function.name else { continue };
                let Some(there) = program.file_address(function.address) else { continue };
                // Stacks have their outer calls in common.
                if wanted.iter().any(|it| it.0 == there) {
                    continue;
                }
                if function.wanted != first || wanted.len() == MOST_DETAILED {
                    is_more = true;
                    continue;
                }
                wanted.push((there, function.address, name));
            }
        }
        if wanted.is_empty() {
            return None;
        }
        order::by_key(&mut wanted, |it| it.0);
        let mut there: Vec<u64> = reserve::list(wanted.len())?;
        there.extend(wanted.iter().map(|it| it.0));
        let mut found: Vec<(usize, &'static Detail)> = reserve::list(wanted.len())?;
        let add = |index: usize, frames: &[Frame]| {
            if let Some((_, address, name)) = wanted.get(index) {
                found.push((
                    *address,
                    Detail::of(name, frames, |text| self.keep(text, MOST_DETAIL_BYTES)),
                ));
            }
        };
        let read = program.open().map(|file| file.find_frames(&there, MOST_DEBUG_BYTES, add));
        if found.is_empty() || !matches!(read, Some(Ok(()))) {
            // A damaged file adds nothing, nor does what no round has room for.
            found.clear();
            found.extend(wanted.iter().map(|it| (it.1, &detail::NOTHING)));
        }
        is_more |= found.len() < wanted.len();
        let mut functions = FUNCTIONS.lock();
        // NOTE: by reference. The list is given back when the lock is not held any more.
        for (address, detail) in &found {
            if let Ok(at) = position(&functions, *address)
                && let Some(function) = functions.get_mut(at)
            {
                function.detail = Some(detail);
            }
        }
        Some(is_more && !found.is_empty())
    }

    /// Keeps a name or a path, each once. Returns `None` if there is no room for it.
    fn keep(&mut self, name: &str, most_bytes: usize) -> Option<&'static str> {
        let at = match self.kept.binary_search(&name) {
            Ok(at) => return self.kept.get(at).copied(),
            Err(at) => at,
        };
        let has_room = self.bytes + name.len() <= most_bytes && reserve::grow(&mut self.kept);
        let kept = if has_room { arena::keep_str(name) } else { None };
        match kept {
            Some(kept) => {
                self.bytes += kept.len();
                kept_bytes::note(kept);
                self.kept.insert(at, kept);
            }
            None => {
                LEFT_OUT.fetch_add(1, Ordering::Relaxed);
            }
        }
        kept
    }
}

/// A copy of the list, with room for more; `None` if there is no memory for it. Only the thread
/// that holds `NAMES` changes the list.
fn with_room(more: usize) -> Option<Vec<Function>> {
    let length = FUNCTIONS.lock().len();
    // As much as is needed, because it is kept.
    let mut copy = reserve::list(length + more)?;
    copy.extend_from_slice(&FUNCTIONS.lock());
    Some(copy)
}

#[cfg(all(test, target_os = "linux", not(miri)))]
mod tests {
    use super::*;

    #[inline(never)]
    fn a_function_of_the_test() -> u32 {
        std::hint::black_box(7)
    }

    fn function_at(address: usize) -> Lookup {
        call_at(address).name
    }

    fn library_of(address: usize) -> Option<&'static Library> {
        call_at(address).library
    }

    #[test]
    fn a_function_is_looked_up_once_and_kept() {
        let here = a_function_of_the_test as *const () as usize;
        let abort = libc::abort as *const () as usize;
        assert_eq!(function_at(here), Lookup::NotLookedUp);
        let on_heap = Box::new(a_function_of_the_test());
        let heap = std::ptr::from_ref(&*on_heap).addr();
        resolve(&[here + 1, here, abort, heap, here]);
        let Lookup::Known(name) = function_at(here) else { panic!("not found") };
        assert_eq!(name, "memscope_runtime::symbols::names::tests::a_function_of_the_test");
        assert_eq!(function_at(here + 1), Lookup::Known(name));
        assert_eq!(function_at(heap), Lookup::Unknown);
        assert_eq!(function_at(here + 2), Lookup::NotLookedUp, "it was not asked for");
        // The C library may be stripped, but it exports it.
        assert_eq!(function_at(abort), Lookup::Known("abort"));
        if !cfg!(target_feature = "crt-static") {
            let library = library_of(abort).expect("the C library");
            assert!(library.path.starts_with('/'), "{library:?}");
            assert!((1..8 << 20).contains(&library.offset_of(abort)), "{library:?}");
        }
        assert!(library_of(here).is_none() && library_of(heap).is_none());
        assert_eq!(FUNCTIONS.lock().iter().filter(|it| it.address == here).count(), 1);
        let mut names = NAMES.lock();
        let bytes = names.bytes;
        assert_eq!(names.keep(name, MOST_NAME_BYTES), Some(name), "each name is kept once");
        assert_eq!(names.bytes, bytes);
    }

    #[test]
    fn a_function_has_its_name_before_its_line() {
        // Memscope's own functions have no lines.
        let of_a_library: fn(&'static str) -> serde_json::Result<u8> = serde_json::from_str;
        assert_eq!(of_a_library("7").expect("a number"), 7);
        let here = of_a_library as *const () as usize;
        resolve(&[here]);
        let named = call_at(here);
        assert!(named.name.text().starts_with("serde_json::de::from_str"), "{named:?}");
        assert!(named.is_named && !named.is_settled && named.detail.line.is_none(), "{named:?}");
        // The program's code may be inlined in this one, so its names come first.
        let of_std = std::thread::sleep as fn(std::time::Duration) as *const () as usize;
        resolve(&[of_std]);
        assert!(!call_at(of_std).is_named);
        assert!(explain(&[here, of_std]), "the line is to be told");
        assert!(call_at(of_std).is_settled && !call_at(here).is_settled);
        assert!(!explain(&[here, here, of_std]), "nothing more is to be told");
        let settled = call_at(here);
        let line = settled.detail.line.expect("this build has line tables");
        assert!(settled.is_settled && line.number > 1_000, "{line:?}");
        assert!(line.file.ends_with("/src/de.rs") && line.file.contains("serde_json"), "{line:?}");
    }

    #[test]
    fn names_beyond_the_limit_are_counted() {
        let mut names = Names::NONE;
        assert_eq!(
            names.keep(&"a".repeat(MOST_NAME_BYTES), MOST_NAME_BYTES).map(str::len),
            Some(MOST_NAME_BYTES)
        );
        let before = left_out();
        assert_eq!(names.keep("b", MOST_NAME_BYTES), None);
        assert!(left_out() > before);
    }
}
