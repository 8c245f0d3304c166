//! Binds a process to one processor.

/// Keeps this thread, and the threads that it starts, on one processor. Does nothing if there is no
/// such processor.
pub fn stay_on(cpu: usize) {
    // SAFETY: a set of processors is bits, and valid when zeroed.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is valid; a number that is too large is left out.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: `set` is valid and has the size that is given. If the call fails, the process stays
    // where it is.
    unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
}
