//! How much memory the process has.

use std::fs;

/// Bytes of anonymous memory that are resident: the heap with everything that allocators keep,
/// without the program's code.
///
/// # Panics
///
/// Where the kernel does not say.
pub fn anonymous_bytes() -> i64 {
    let rollup = fs::read_to_string("/proc/self/smaps_rollup").expect("Linux since 4.14");
    let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kilobytes.and_then(|number| number.parse::<i64>().ok()).expect("a number of kilobytes") * 1024
}

/// Gives back to the kernel what glibc keeps for later.
pub(crate) fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it may be called at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Leaves huge pages out, which would round everything up by chance.
pub(crate) fn without_huge_pages() {
    // SAFETY: only sets a flag of this process; where it is unknown it does nothing.
    unsafe {
        libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0);
    }
}

/// Ends the process rather than the machine.
pub(crate) fn limit(bytes: u64) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: `limit` is a valid struct for the whole call.
    unsafe {
        libc::setrlimit(libc::RLIMIT_DATA, &raw const limit);
    }
}
