//! For programs that are tested without `/proc`.

/// Covers `/proc` in a mount namespace of this thread, in which the thread for names starts too.
/// Without that right, it says so and ends.
pub(crate) fn hide_proc() {
    // SAFETY: takes a number.
    let is_own = unsafe { libc::unshare(libc::CLONE_NEWNS) } == 0;
    let (none, there) = (c"tmpfs".as_ptr(), c"/proc".as_ptr());
    let flags = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: both texts end with a zero, and no data is passed.
    let is_private =
        is_own && unsafe { libc::mount(none, c"/".as_ptr(), none, flags, std::ptr::null()) } == 0;
    // SAFETY: as above.
    let is_hidden =
        is_private && unsafe { libc::mount(none, there, none, 0, std::ptr::null()) } == 0;
    if !is_hidden {
        println!("no right");
        std::process::exit(0);
    }
    assert!(!std::fs::exists("/proc/self/exe").expect("the folder is there"));
}
