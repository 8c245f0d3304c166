//! `MEMSCOPE_REPORT=report.html`: the page is registered before `main`.
#![expect(unsafe_code, reason = "a section that the loader reads")]

use memscope_runtime::__page::{WritePage, register};

use crate::html::write_html;

static WRITE: WritePage = write_html;

extern "C" fn before_main() {
    register(&WRITE);
}

// SAFETY: the loader calls each pointer in this section once, on the main thread, before `main`.
// `before_main` writes one atomic, and cannot panic. On Linux the number lets it come before
// memscope reads its settings, and warns of reports that it cannot write.
#[used]
#[cfg_attr(target_os = "linux", unsafe(link_section = ".init_array.00099"))]
#[cfg_attr(
    any(
        target_os = "android",
        target_os = "freebsd",
        target_os = "netbsd",
        target_os = "openbsd",
        target_os = "dragonfly",
        target_os = "illumos",
    ),
    unsafe(link_section = ".init_array")
)]
#[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__mod_init_func"))]
#[cfg_attr(windows, unsafe(link_section = ".CRT$XCU"))]
static BEFORE_MAIN: extern "C" fn() = before_main;
