//! Where a process runs.

/// Keeps this thread, and those that it starts, on one processor; where there is no such processor,
/// on those that it has.
pub fn stay_on(cpu: usize) {
    // SAFETY: a set of processors is bits, and valid when zeroed.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is valid; a number that is too large is left out.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: `set` is valid and has the size that is given. Where it fails the process stays where
    // it is.
    unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
}
