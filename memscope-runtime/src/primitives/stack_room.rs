//! How much of its stack a thread has left, so that a sample never overflows it.
//!
//! A thread asks the C library for the bounds of its stack once, before its first sample. The main
//! thread's are computed at the start of the program, because glibc would read `/proc` for them. A
//! thread on an unknown stack, such as that of a coroutine, counts as having no room.

/// The bounds of a thread's stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StackBounds {
    /// The lowest byte that may be used.
    low: usize,
    /// The byte behind the stack.
    end: usize,
}

impl StackBounds {
    /// The bounds of a thread that has not asked.
    pub(crate) const NOT_ASKED: Self = Self { low: 0, end: 0 };
    /// The bounds of an unknown stack, which contain no address.
    #[cfg_attr(
        not(all(target_os = "linux", feature = "enabled")),
        allow(dead_code, reason = "no bounds are asked for")
    )]
    const UNKNOWN: Self = Self { low: 1, end: 1 };

    /// Returns the bounds of this thread. They are unknown on the main thread.
    #[cold]
    #[inline(never)]
    pub(crate) fn of_this_thread() -> Self {
        imp::of_this_thread().unwrap_or(Self::UNKNOWN)
    }

    /// Returns the bounds of the main thread, or `None` on any other thread.
    pub(crate) fn of_main_thread() -> Option<Self> {
        imp::of_main_thread()
    }

    /// Returns how many bytes are left below this call, or 0 on an unknown stack. `self` must be
    /// the bounds of this thread.
    #[inline(never)]
    pub(crate) fn left(self) -> usize {
        let marker = std::hint::black_box(0_u8);
        let here = (&raw const marker).addr();
        // A handler's stack may lie within the thread's.
        match imp::alternate().filter(|stack| stack.contains(here)) {
            Some(stack) => here - stack.low,
            None if self.contains(here) => here - self.low,
            None => 0,
        }
    }

    fn contains(self, address: usize) -> bool {
        (self.low..self.end).contains(&address)
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu", not(miri), feature = "enabled"))]
mod imp {
    use std::mem::MaybeUninit;

    use super::StackBounds;

    /// The most bytes that the main thread's stack is assumed to have.
    const MOST_OF_MAIN: usize = 1 << 30;
    /// The bytes that the main thread's frames are assumed to have above the call that computes its
    /// bounds.
    const BEGUN_BEFORE: usize = 1 << 20;

    fn is_main_thread() -> bool {
        // SAFETY: no arguments.
        let process = unsafe { libc::getpid() };
        // `gettid` itself came with glibc 2.30. SAFETY: no arguments.
        let thread = unsafe { libc::syscall(libc::SYS_gettid) };
        thread == libc::c_long::from(process)
    }

    pub(super) fn of_this_thread() -> Option<StackBounds> {
        if is_main_thread() {
            return None;
        }
        // SAFETY: no arguments.
        let own = unsafe { libc::pthread_self() };
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: a thread that runs, and room for its attributes.
        if unsafe { libc::pthread_getattr_np(own, attributes.as_mut_ptr()) } != 0 {
            return None;
        }
        let (mut low, mut size) = (std::ptr::null_mut(), 0);
        // SAFETY: the attributes were just written, and there is room for both values.
        let result = unsafe {
            libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut low, &raw mut size)
        };
        // SAFETY: as above. They are not used again.
        unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
        let low = low.addr();
        (result == 0).then(|| StackBounds { low, end: low.saturating_add(size) })
    }

    pub(super) fn of_main_thread() -> Option<StackBounds> {
        if !is_main_thread() {
            return None;
        }
        let mut limit = MaybeUninit::<libc::rlimit>::uninit();
        // SAFETY: room for the limit.
        if unsafe { libc::getrlimit(libc::RLIMIT_STACK, limit.as_mut_ptr()) } != 0 {
            return None;
        }
        // SAFETY: just written.
        let limit = unsafe { limit.assume_init() }.rlim_cur;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(MOST_OF_MAIN);
        let marker = std::hint::black_box(0_u8);
        let here = (&raw const marker).addr();
        // Arguments and environment lie above, and count too: at most a quarter of the limit.
        let low = here.checked_sub(limit - limit / 4)?;
        Some(StackBounds { low, end: here.saturating_add(BEGUN_BEFORE) })
    }

    /// The stack that signal handlers of this thread use, if there is one of their own.
    pub(super) fn alternate() -> Option<StackBounds> {
        let mut stack = MaybeUninit::<libc::stack_t>::uninit();
        // SAFETY: only reads the setting, for which there is room.
        if unsafe { libc::sigaltstack(std::ptr::null(), stack.as_mut_ptr()) } != 0 {
            return None;
        }
        // SAFETY: just written.
        let stack = unsafe { stack.assume_init() };
        let low = stack.ss_sp.addr();
        (stack.ss_flags & libc::SS_DISABLE == 0)
            .then(|| StackBounds { low, end: low.saturating_add(stack.ss_size) })
    }
}

/// Stacks are sampled on Linux with glibc alone.
#[cfg(not(all(target_os = "linux", target_env = "gnu", not(miri), feature = "enabled")))]
mod imp {
    use super::StackBounds;

    pub(super) fn of_this_thread() -> Option<StackBounds> {
        None
    }

    pub(super) fn of_main_thread() -> Option<StackBounds> {
        None
    }

    pub(super) fn alternate() -> Option<StackBounds> {
        None
    }
}

#[cfg(all(test, target_os = "linux", target_env = "gnu", not(miri), feature = "enabled"))]
mod tests {
    use std::thread;

    use super::*;

    /// How much is left below a frame of this many bytes or more.
    #[inline(never)]
    fn left_below<const BYTES: usize>(bounds: StackBounds) -> usize {
        let frame = std::hint::black_box([0_u8; BYTES]);
        let left = bounds.left();
        std::hint::black_box(frame);
        left
    }

    #[test]
    fn a_thread_has_the_stack_that_it_was_given_less_what_it_uses() {
        let thread = thread::Builder::new().stack_size(1 << 20).spawn(|| {
            assert_eq!(StackBounds::of_main_thread(), None);
            let bounds = StackBounds::of_this_thread();
            let (left, deeper) = (left_below::<8>(bounds), left_below::<{ 64 << 10 }>(bounds));
            // The C library may hand out the larger stack of a thread that has ended.
            assert!((900 << 10..=64 << 20).contains(&left), "{left}");
            assert!((64 << 10..260 << 10).contains(&(left - deeper)), "{left}, {deeper}");
        });
        thread.expect("a thread").join().expect("no panic");
    }

    #[test]
    fn a_stack_that_is_not_known_has_no_room() {
        assert_eq!(StackBounds::NOT_ASKED.left(), 0);
        assert_eq!(StackBounds::UNKNOWN.left(), 0);
        let elsewhere = thread::spawn(StackBounds::of_this_thread).join().expect("no panic");
        assert_eq!(elsewhere.left(), 0);
    }
}
