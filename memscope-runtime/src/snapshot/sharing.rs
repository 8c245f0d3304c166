//! One reading at a time: callers that come while one is taken share the next one.
//!
//! A caller may only get what was read after its call began. So it never joins a reading that has
//! begun already. It waits for the end of that reading. Then one of the waiting callers reads for
//! all of them.

use std::{cell::Cell, mem::ManuallyDrop};

use crate::primitives::{Lock, Renew, fork, fork_lock};

/// Gives each caller a value that was read after its call.
pub(crate) struct Sharing<T: 'static> {
    state: Lock<State<T>>,
    /// How often a waiting caller looks before it reads alone.
    looks: u32,
}

struct State<T> {
    /// The number of forks before the process in which this was written.
    generation: u32,
    /// Readings begun so far.
    begun: u64,
    is_reading: bool,
    /// Callers that wait for a reading which has not begun.
    waiting: u32,
    /// Callers that wait for a reading which has begun, or have not taken its value yet.
    sharers: u32,
    /// The number of the last reading that is shared, and its value, until all have taken it.
    shared: ManuallyDrop<Option<(u64, T)>>,
}

thread_local! {
    /// Whether this thread is reading.
    static IS_READING: Cell<bool> = const { Cell::new(false) };
}

/// Looks of about a second.
const LOOKS: u32 = 1_000;

impl<T: Clone> Sharing<T> {
    pub(crate) const fn new() -> Self {
        Self::patient(LOOKS)
    }

    /// For readings that take longer: a waiting caller looks `looks` times.
    pub(crate) const fn patient(looks: u32) -> Self {
        Self { state: Lock::new(State::new(0)), looks }
    }

    /// Returns the value of a reading that began after this call: its own, or that of another
    /// caller.
    pub(crate) fn get(&self, read: impl FnOnce() -> T) -> T {
        // The allocator of the program, or its code for printing, may ask for a value meanwhile.
        if IS_READING.get() {
            return read();
        }
        match self.wait() {
            Turn::Shared(value) => value,
            Turn::Alone => read(),
            Turn::Own(number) => {
                let reading = Reading { of: self, number };
                IS_READING.set(true);
                let value = read();
                reading.share(&value);
                value
            }
        }
    }

    /// Waits until this caller may read, or until another caller has read for it.
    fn wait(&self) -> Turn<T> {
        let mut first = None;
        for look in 0..self.looks {
            let Some(mut state) = self.state.lock_for_a_while() else { break };
            state.begin_after_fork();
            // A fork forgets all waiting callers. None of them is in the child.
            let number = *first.get_or_insert(state.begun + 1);
            let is_first = look == 0;
            if let Some(turn) = state.turn(number, is_first) {
                return turn;
            }
            if is_first {
                state.waiting += 1;
            }
            drop(state);
            fork_lock::pause(look);
        }
        if let (Some(number), Some(mut state)) = (first, self.state.lock_for_a_while()) {
            state.leave(number);
            let last = state.unshare();
            drop(state);
            drop(last);
        }
        Turn::Alone
    }
}

/// What a caller is to do.
enum Turn<T> {
    /// It has its value.
    Shared(T),
    /// It reads, and others may wait for this reading, which has this number.
    Own(u64),
    /// It reads for itself, because another caller takes too long.
    Alone,
}

impl<T> Renew for State<T> {
    /// Starts anew, without reading what a thread that is gone may have left half written.
    fn renew(&mut self) {
        self.generation = fork::generation();
        (self.begun, self.is_reading, self.waiting, self.sharers) = (0, false, 0, 0);
        self.shared = ManuallyDrop::new(None);
    }
}

impl<T> State<T> {
    const fn new(generation: u32) -> Self {
        Self {
            generation,
            begun: 0,
            is_reading: false,
            waiting: 0,
            sharers: 0,
            shared: ManuallyDrop::new(None),
        }
    }

    /// Starts anew in a forked child, which has none of the threads that read or waited.
    fn begin_after_fork(&mut self) {
        if self.generation != fork::generation() {
            self.renew();
        }
    }

    /// Removes a caller from its count. `number` is the first reading that the caller may share.
    fn leave(&mut self, number: u64) {
        let count = if self.begun < number { &mut self.waiting } else { &mut self.sharers };
        *count = count.saturating_sub(1);
    }

    /// Takes the shared value out if no caller is left that may want it.
    fn unshare(&mut self) -> Option<T> {
        if self.sharers != 0 {
            return None;
        }
        self.shared.take().map(|(_, value)| value)
    }
}

impl<T: Clone> State<T> {
    /// Returns what the caller may do now, or `None` if it has to wait.
    fn turn(&mut self, number: u64, is_first: bool) -> Option<Turn<T>> {
        let shared = self.shared.as_ref().filter(|(read, _)| *read >= number);
        if let Some(value) = shared.map(|(_, value)| value.clone()) {
            self.leave(number);
            // The caller has a copy, so this is not the last one.
            drop(self.unshare());
            return Some(Turn::Shared(value));
        }
        if self.is_reading {
            return None;
        }
        if !is_first {
            self.leave(number);
        }
        self.is_reading = true;
        self.begun += 1;
        self.sharers += self.waiting;
        self.waiting = 0;
        Some(Turn::Own(self.begun))
    }
}

/// The guard of a reading. If it ends by a panic, the waiting callers read for themselves.
struct Reading<'a, T: Clone + 'static> {
    of: &'a Sharing<T>,
    number: u64,
}

impl<T: Clone> Reading<'_, T> {
    /// Keeps a copy for the waiting callers.
    fn share(&self, value: &T) {
        let Some(mut state) = self.of.state.lock_for_a_while() else { return };
        let is_ours = state.generation == fork::generation() && state.begun >= self.number;
        let old = if is_ours && state.sharers != 0 {
            state.shared.replace((self.number, value.clone()))
        } else {
            None
        };
        drop(state);
        drop(old);
    }
}

impl<T: Clone> Drop for Reading<'_, T> {
    fn drop(&mut self) {
        IS_READING.set(false);
        self.of.state.lock().is_reading = false;
    }
}

#[cfg(test)]
mod tests {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::{
            Barrier, Mutex,
            atomic::{AtomicU64, Ordering},
        },
        thread,
        time::Duration,
    };

    use super::*;

    fn wait_until(is_so: impl Fn() -> bool) {
        while !is_so() {
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn callers_that_wait_share_one_reading_that_begins_after_their_calls() {
        let sharing: &'static Sharing<u64> = Box::leak(Box::new(Sharing::new()));
        let readings = AtomicU64::new(0);
        let goes_on = Barrier::new(2);
        let got = Mutex::new(Vec::new());
        thread::scope(|scope| {
            scope.spawn(|| {
                let value = sharing.get(|| {
                    let number = readings.fetch_add(1, Ordering::Relaxed) + 1;
                    goes_on.wait();
                    number
                });
                assert_eq!(value, 1, "the first caller has its own");
            });
            wait_until(|| readings.load(Ordering::Relaxed) == 1);
            for _ in 0..3 {
                scope.spawn(|| {
                    let value = sharing.get(|| readings.fetch_add(1, Ordering::Relaxed) + 1);
                    got.lock().expect("a list").push(value);
                });
            }
            wait_until(|| sharing.state.lock().waiting == 3);
            goes_on.wait();
        });
        assert_eq!(*got.lock().expect("a list"), [2, 2, 2]);
        let state = sharing.state.lock();
        assert!(state.shared.is_none(), "nothing is kept once all have it");
        assert_eq!((state.waiting, state.sharers, state.is_reading), (0, 0, false));
    }

    #[test]
    fn one_caller_after_another_reads_anew() {
        let sharing: &'static Sharing<u64> = Box::leak(Box::new(Sharing::new()));
        assert_eq!([1, 2, 3].map(|number| sharing.get(|| number)), [1, 2, 3]);
        assert_eq!(sharing.get(|| sharing.get(|| 4) + 1), 5, "a reading may ask for another");
    }

    #[test]
    fn a_reading_that_panics_holds_up_no_caller() {
        let sharing: &'static Sharing<u64> = Box::leak(Box::new(Sharing::new()));
        let panicked = catch_unwind(AssertUnwindSafe(|| sharing.get(|| panic!("it fails"))));
        assert!(panicked.is_err());
        assert_eq!(sharing.get(|| 7), 7);
    }

    #[test]
    fn no_value_is_older_than_the_call() {
        let sharing: &'static Sharing<u64> = Box::leak(Box::new(Sharing::new()));
        let clock = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let called = clock.fetch_add(1, Ordering::SeqCst);
                        let read = sharing.get(|| clock.fetch_add(1, Ordering::SeqCst));
                        assert!(read > called, "{read} was read before the call at {called}");
                    }
                });
            }
        });
        assert!(sharing.state.lock().shared.is_none());
    }
}
