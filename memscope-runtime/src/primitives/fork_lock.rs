//! Locks that a forked child gets through: what another thread of the parent held is given up and
//! made anew.
//!
//! `fork` copies the memory and only the thread that calls it. A lock that another thread held
//! stays held in the child, and no thread is there to release it. So the word of a [`Lock`] says in
//! which process it was taken (see [`fork::generation`]): a thread that finds it held since before
//! the fork takes it over, and what it guards, which may be half written, starts anew.

use std::{
    cell::{Cell, UnsafeCell},
    fmt,
    marker::PhantomData,
    mem::{ManuallyDrop, MaybeUninit},
    ops::{Deref, DerefMut},
    panic::{RefUnwindSafe, UnwindSafe},
    thread,
    time::Duration,
};

use super::{
    fork,
    sync::{AtomicU8, AtomicU32, Ordering},
};

/// A mutual exclusion lock. It is not poisoned: a panic releases it.
///
/// Waiting is yielding and short sleeps, and not a wait in the system: what it guards is needed
/// seldom and held briefly, and a child inherits no list of waiting threads.
pub(crate) struct Lock<T: 'static> {
    /// Of the process that it was taken in, the [`generation`](fork::generation) + 1; 0: it is
    /// free.
    holder: AtomicU32,
    /// Makes anew what was half written. It must neither read nor drop what is there.
    renew: fn(&mut T),
    value: UnsafeCell<ManuallyDrop<T>>,
}

// SAFETY: a guard gives out the value, and there is one guard at a time: `holder` goes from 0 to a
// process, or from a process whose threads are gone to this one, by compare-and-swap.
unsafe impl<T: Send> Sync for Lock<T> {}

/// The value is this thread's, until this is dropped.
#[derive(Debug)]
pub(crate) struct Guard<'a, T: 'static> {
    lock: &'a Lock<T>,
    /// It counts for its thread (see [`HELD`]), and so must not travel.
    not_send: PhantomData<*const ()>,
}

thread_local! {
    /// Locks that this thread holds, and [`SURVIVES`].
    static HELD: Cell<u32> = const { Cell::new(0) };
}

/// The thread has held a lock across the last fork.
const SURVIVES: u32 = 1 << 31;

/// Called in a child, on its only thread: whether that holds a lock. So it is only where a signal
/// handler forks, or an allocator below memscope's.
pub(crate) fn survives_holding() -> bool {
    let held = HELD.get() & !SURVIVES;
    HELD.set(if held == 0 { 0 } else { held | SURVIVES });
    held != 0
}

impl<T> Lock<T> {
    pub(crate) const fn new(value: T, renew: fn(&mut T)) -> Self {
        Self { holder: AtomicU32::new(0), renew, value: UnsafeCell::new(ManuallyDrop::new(value)) }
    }

    /// Waits as long as another thread of this process holds it.
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        let mut attempt = 0;
        loop {
            if let Some(guard) = self.try_lock() {
                return guard;
            }
            pause(attempt);
            attempt += 1;
        }
    }

    /// Waits for about a second at the most.
    pub(crate) fn lock_for_a_while(&self) -> Option<Guard<'_, T>> {
        (0..1_000).find_map(|attempt| {
            let guard = self.try_lock();
            if guard.is_none() {
                pause(attempt);
            }
            guard
        })
    }

    /// `None`: another thread of this process holds it.
    pub(crate) fn try_lock(&self) -> Option<Guard<'_, T>> {
        // Acquire pairs with the Release in `drop`.
        match self.take(0) {
            Ok(()) => Some(self.guard()),
            Err(holder) => self.take_over(holder),
        }
    }

    fn take(&self, from: u32) -> Result<(), u32> {
        let own = fork::generation().wrapping_add(1).max(1);
        self.holder.compare_exchange(from, own, Ordering::Acquire, Ordering::Relaxed).map(drop)
    }

    fn guard(&self) -> Guard<'_, T> {
        HELD.set(HELD.get() + 1);
        Guard { lock: self, not_send: PhantomData }
    }

    /// Takes it from a thread that the fork has left behind.
    #[cold]
    #[inline(never)]
    fn take_over(&self, holder: u32) -> Option<Guard<'_, T>> {
        if !fork::has_left_behind(holder.wrapping_sub(1)) || self.take(holder).is_err() {
            return None;
        }
        let mut guard = self.guard();
        (self.renew)(&mut guard);
        Some(guard)
    }
}

fn pause(attempt: u32) {
    if attempt < 100 {
        thread::yield_now();
    } else {
        thread::sleep(Duration::from_millis(1));
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the guard is the only one (see `Lock`), and lends it out for as long as it is
        // borrowed itself.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`; the guard is borrowed mutably.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        // Release pairs with the Acquire in `take`.
        self.lock.holder.store(0, Ordering::Release);
        match HELD.get() - 1 {
            SURVIVES => {
                HELD.set(0);
                fork::survivor_is_out();
            }
            held => HELD.set(held),
        }
    }
}

impl<T> Drop for Lock<T> {
    fn drop(&mut self) {
        // Else it is half written: no thread holds what is dropped but one that a fork has left
        // behind.
        if *self.holder.get_mut() == 0 {
            // SAFETY: dropped here alone, and not used any more.
            unsafe { ManuallyDrop::drop(self.value.get_mut()) };
        }
    }
}

impl<T> fmt::Debug for Lock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock").finish_non_exhaustive()
    }
}

// A panic leaves it released, and what it guards as it then was.
impl<T> UnwindSafe for Lock<T> {}
impl<T> RefUnwindSafe for Lock<T> {}

/// For what is never half written, or not read again if it was.
pub(crate) fn as_it_is<T>(_: &mut T) {}

/// A value that is made once, by whichever thread needs it first. In a child that was forked
/// meanwhile it is made again.
pub(crate) struct Once<T: 'static> {
    is_made: AtomicU8,
    making: Lock<()>,
    value: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: the value is written before `is_made`, by the holder of `making`, and only read from then
// on.
unsafe impl<T: Send + Sync> Sync for Once<T> {}

impl<T> Once<T> {
    pub(crate) const fn new() -> Self {
        Self {
            is_made: AtomicU8::new(0),
            making: Lock::new((), as_it_is),
            value: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    #[inline]
    pub(crate) fn get(&self) -> Option<&T> {
        // Acquire pairs with the Release in `make`.
        if self.is_made.load(Ordering::Acquire) == 0 {
            return None;
        }
        // SAFETY: only shared since `is_made` was set.
        let value = unsafe { &*self.value.get() };
        // SAFETY: written before that.
        Some(unsafe { value.assume_init_ref() })
    }

    /// The value, made by this call if it is the first. Where making it panics, the next call makes
    /// it.
    #[inline]
    pub(crate) fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        match self.get() {
            Some(value) => value,
            None => self.make(make),
        }
    }

    #[cold]
    fn make(&self, make: impl FnOnce() -> T) -> &T {
        let _making = self.making.lock();
        if let Some(value) = self.get() {
            return value;
        }
        let value = make();
        // SAFETY: this thread holds `making`, and no thread reads the value before `is_made` is
        // set.
        let place = unsafe { &mut *self.value.get() };
        let place = place.write(value);
        // Release pairs with the Acquire in `get`.
        self.is_made.store(1, Ordering::Release);
        place
    }
}

impl<T> Drop for Once<T> {
    fn drop(&mut self) {
        if *self.is_made.get_mut() != 0 {
            // SAFETY: it was made, and no other thread shares it any more.
            unsafe { self.value.get_mut().assume_init_drop() };
        }
    }
}

impl<T> fmt::Debug for Once<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").finish_non_exhaustive()
    }
}

// What is made is whole.
impl<T: UnwindSafe> UnwindSafe for Once<T> {}
impl<T: UnwindSafe + RefUnwindSafe> RefUnwindSafe for Once<T> {}

impl<T> From<T> for Once<T> {
    fn from(value: T) -> Self {
        let made = Self::new();
        made.get_or_init(|| value);
        made
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    #[test]
    fn a_panic_releases_the_lock_and_leaves_it_of_use() {
        static LOCK: Lock<u32> = Lock::new(1, |value| *value = 0);
        let panicked = catch_unwind(|| {
            let mut guard = LOCK.lock();
            *guard = 2;
            assert!(LOCK.try_lock().is_none(), "held");
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(panicked.is_err());
        assert_eq!(LOCK.try_lock().map(|guard| *guard), Some(2), "released, and not made anew");
        assert_eq!(HELD.get(), 0);
    }

    #[test]
    fn what_panics_while_it_is_made_is_made_by_the_next_call() {
        static ONCE: Once<u32> = Once::new();
        let panicked = catch_unwind(|| {
            ONCE.get_or_init(|| std::panic::resume_unwind(Box::new(())));
        });
        assert!(panicked.is_err() && ONCE.get().is_none());
        assert_eq!((*ONCE.get_or_init(|| 7), *ONCE.get_or_init(|| 8)), (7, 7));
    }
}
