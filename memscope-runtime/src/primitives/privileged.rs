//! Whether the program has rights that its caller lacks: a set-user-id or set-group-id bit, file
//! capabilities.
//!
//! The caller sets the environment. A file that is named there would be written with the program's
//! rights, so such a program reads no variable.

/// What the kernel told the program when it started, in its auxiliary vector.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn is_privileged() -> bool {
    use std::ffi::c_ulong;

    // SAFETY: as the C library declares it; it takes and returns a number.
    unsafe extern "C" {
        safe fn getauxval(kind: c_ulong) -> c_ulong;
    }
    const AT_SECURE: c_ulong = 23;
    getauxval(AT_SECURE) != 0
}

/// Whether the ids changed when the program started.
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

    // SAFETY: as the C library declares it; it returns a number.
    unsafe extern "C" {
        safe fn issetugid() -> c_int;
    }
    issetugid() != 0
}

/// Elsewhere no program runs with more rights than its caller, or memscope cannot tell.
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
