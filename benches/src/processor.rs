//! Binds a thread to one processor.

/// Keeps this thread, and the threads that it starts, on one processor until it is dropped. Does
/// nothing if the system refuses.
///
/// On a shared machine two processors differ in speed for seconds at a time. So loops that are
/// compared run on the same one.
#[derive(Debug)]
pub(crate) struct OnProcessor {
    #[cfg(target_os = "linux")]
    before: Option<libc::cpu_set_t>,
}

impl OnProcessor {
    #[cfg(target_os = "linux")]
    pub(crate) fn stay(processor: usize) -> Self {
        // SAFETY: a set of processors is bits, and valid when zeroed.
        let mut before: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        // SAFETY: `before` is valid and has the size that is given.
        let answer = unsafe { libc::sched_getaffinity(0, size_of_val(&before), &raw mut before) };
        if answer != 0 {
            return Self { before: None };
        }
        // SAFETY: the same as above.
        let mut one: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        // SAFETY: `one` is valid; a number that is too large is left out.
        unsafe { libc::CPU_SET(processor, &mut one) };
        run_on(&one);
        Self { before: Some(before) }
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn stay(_: usize) -> Self {
        Self {}
    }
}

impl Drop for OnProcessor {
    fn drop(&mut self) {
        #[cfg(target_os = "linux")]
        if let Some(before) = &self.before {
            run_on(before);
        }
    }
}

#[cfg(target_os = "linux")]
fn run_on(processors: &libc::cpu_set_t) {
    // SAFETY: the set is valid and has the size that is given. If the call fails, the thread stays
    // where it is.
    unsafe { libc::sched_setaffinity(0, size_of_val(processors), processors) };
}
