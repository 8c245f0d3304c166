//! Whether the program has rights that its caller lacks: by a set-user-id or set-group-id bit, or
//! by file capabilities.
//!
//! The caller sets the environment. A file named there would be written with the program's rights.
//! So memscope reads no variable in such a program.

/// Reads the auxiliary vector, which the kernel passed to the program at its start.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn is_privileged() -> bool {
    use std::ffi::c_ulong;

    // SAFETY: declared as in the C library; the function takes and returns a number.
    unsafe extern "C" {
        safe fn getauxval(kind: c_ulong) -> c_ulong;
    }
    const AT_SECURE: c_ulong = 23;
    getauxval(AT_SECURE) != 0
}

/// Whether the user or group ids changed when the program started.
#[cfg(any(
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    target_os = "dragonfly",
    target_os = "illumos",
    target_os = "solaris",
))]
pub(crate) fn is_privileged() -> bool {
    use std::ffi::c_int;

    // SAFETY: declared as in the C library; the function returns a number.
    unsafe extern "C" {
        safe fn issetugid() -> c_int;
    }
    issetugid() != 0
}

/// On other systems no program has more rights than its caller, or memscope cannot tell.
#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    target_os = "dragonfly",
    target_os = "illumos",
    target_os = "solaris",
)))]
pub(crate) fn is_privileged() -> bool {
    false
}
