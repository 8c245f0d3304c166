//! Locks that survive `fork`: the child takes over a lock that another thread of the parent held.
//!
//! `fork` copies the memory, but only the calling thread. A lock that another thread held stays
//! held in the child, where no thread can release it. So the word of a [`Lock`] names the process
//! in which it was taken (see [`fork::generation`]). A thread that finds a lock held since before
//! the fork takes it over. The guarded value, which may be half written, is then renewed.

use std::{
    cell::{Cell, UnsafeCell},
    fmt,
    marker::PhantomData,
    mem::{self, ManuallyDrop, MaybeUninit},
    ops::{Deref, DerefMut},
    panic::{RefUnwindSafe, UnwindSafe},
    thread,
    time::Duration,
};

use super::{
    fork,
    sync::{AtomicU8, AtomicU32, Ordering},
};

/// A mutual exclusion lock. A panic releases it and does not poison it.
///
/// A waiting thread yields or sleeps shortly, because locks are held briefly. It does not wait in
/// the system, so a child inherits no list of waiting threads.
// PERF: a lock of a value that is all zeroes is all zeroes. So a static one takes no room in the
// program's file, and no page of memory before it is used.
pub(crate) struct Lock<T: 'static> {
    /// The [`generation`](fork::generation) of the process that took the lock, + 1; 0 if it is
    /// free.
    holder: AtomicU32,
    value: UnsafeCell<ManuallyDrop<T>>,
}

/// A value that a thread may leave half written when the process forks.
pub(crate) trait Renew {
    /// Replaces the value by a new one. An implementation must neither read nor drop the old value.
    /// It may do nothing if the value is never half written.
    fn renew(&mut self);
}

impl Renew for () {
    fn renew(&mut self) {}
}

impl<T> Renew for Vec<T> {
    fn renew(&mut self) {
        mem::forget(mem::take(self));
    }
}

// SAFETY: only a guard gives access to the value, and there is one guard at a time. `holder` goes
// by compare-and-swap from 0 to this process, or from a process whose threads are gone to this one.
unsafe impl<T: Send> Sync for Lock<T> {}

/// Exclusive access to the value until the guard is dropped.
#[derive(Debug)]
pub(crate) struct Guard<'a, T: 'static> {
    lock: &'a Lock<T>,
    /// Counted in the thread-local [`HELD`], so the guard must not move to another thread.
    not_send: PhantomData<*const ()>,
}

thread_local! {
    /// The number of locks that this thread holds, and the flag [`SURVIVES`].
    static HELD: Cell<u32> = const { Cell::new(0) };
}

/// A flag in `HELD`: the thread has held a lock across the last fork.
const SURVIVES: u32 = 1 << 31;

/// Whether the only thread of a child holds a lock. That happens only if a signal handler forks, or
/// an allocator below memscope's does.
pub(crate) fn survives_holding() -> bool {
    let held = HELD.get() & !SURVIVES;
    HELD.set(if held == 0 { 0 } else { held | SURVIVES });
    held != 0
}

impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self { holder: AtomicU32::new(0), value: UnsafeCell::new(ManuallyDrop::new(value)) }
    }
}

impl<T: Renew> Lock<T> {
    /// Takes the lock. Waits as long as another thread of this process holds it.
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

    /// Like `lock`, but gives up after about a second.
    pub(crate) fn lock_for_a_while(&self) -> Option<Guard<'_, T>> {
        (0..1_000).find_map(|attempt| {
            let guard = self.try_lock();
            if guard.is_none() {
                pause(attempt);
            }
            guard
        })
    }

    /// Takes the lock without waiting. Returns `None` if another thread of this process holds it.
    pub(crate) fn try_lock(&self) -> Option<Guard<'_, T>> {
        // Acquire; pairs with the Release in `drop`.
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

    /// Takes the lock from a thread that a fork has left behind.
    #[cold]
    #[inline(never)]
    fn take_over(&self, holder: u32) -> Option<Guard<'_, T>> {
        if !fork::has_left_behind(holder.wrapping_sub(1)) || self.take(holder).is_err() {
            return None;
        }
        let mut guard = self.guard();
        guard.renew();
        Some(guard)
    }
}

/// Lets other threads run, for longer after many attempts.
pub(crate) fn pause(attempt: u32) {
    if attempt < 100 {
        thread::yield_now();
    } else {
        thread::sleep(Duration::from_millis(1));
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this is the only guard (see `Lock`), and the borrow of the value lasts no longer
        // than the borrow of the guard.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this is the only guard (see `Lock`), and it is borrowed mutably as long as the
        // value.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        // Release; pairs with the Acquire in `take`.
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
        // A lock that is dropped while held was held by a thread that a fork has left behind. Its
        // value may be half written, so it is leaked.
        if *self.holder.get_mut() == 0 {
            // SAFETY: the value is dropped here alone and is not used any more.
            unsafe { ManuallyDrop::drop(self.value.get_mut()) };
        }
    }
}

impl<T> fmt::Debug for Lock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock").finish_non_exhaustive()
    }
}

// A panic releases the lock and leaves the value as it was at that moment.
impl<T> UnwindSafe for Lock<T> {}
impl<T> RefUnwindSafe for Lock<T> {}

/// A cell that is initialised once, by the first thread that needs the value.
///
/// If a process forks while another thread initialises the cell, the child initialises it again.
pub(crate) struct Once<T: 'static> {
    is_made: AtomicU8,
    making: Lock<()>,
    value: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: the holder of `making` writes the value before `is_made`; from then on it is only read.
unsafe impl<T: Send + Sync> Sync for Once<T> {}

impl<T> Once<T> {
    pub(crate) const fn new() -> Self {
        Self {
            is_made: AtomicU8::new(0),
            making: Lock::new(()),
            value: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    #[inline]
    pub(crate) fn get(&self) -> Option<&T> {
        // Acquire; pairs with the Release in `make`.
        if self.is_made.load(Ordering::Acquire) == 0 {
            return None;
        }
        // SAFETY: no thread writes the value after `is_made` was set, so it may be shared.
        let value = unsafe { &*self.value.get() };
        // SAFETY: the value was written before `is_made` was set.
        Some(unsafe { value.assume_init_ref() })
    }

    /// The value, made by this call if it is the first. If `make` panics, the next call tries
    /// again.
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
        // Release; pairs with the Acquire in `get`.
        self.is_made.store(1, Ordering::Release);
        place
    }
}

impl<T> Drop for Once<T> {
    fn drop(&mut self) {
        if *self.is_made.get_mut() != 0 {
            // SAFETY: `is_made` is set, so the value was written, and `&mut self` excludes other
            // threads.
            unsafe { self.value.get_mut().assume_init_drop() };
        }
    }
}

impl<T> fmt::Debug for Once<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").finish_non_exhaustive()
    }
}

// A value that was made is never half written.
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

    struct Anew(u32);

    impl Renew for Anew {
        fn renew(&mut self) {
            self.0 = 0;
        }
    }

    #[test]
    fn a_panic_releases_the_lock_and_leaves_it_of_use() {
        static LOCK: Lock<Anew> = Lock::new(Anew(1));
        let panicked = catch_unwind(|| {
            let mut guard = LOCK.lock();
            guard.0 = 2;
            assert!(LOCK.try_lock().is_none(), "held");
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(panicked.is_err());
        assert_eq!(LOCK.try_lock().map(|guard| guard.0), Some(2), "released, and not made anew");
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
