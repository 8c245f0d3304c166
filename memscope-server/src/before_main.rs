//! The variable `MEMSCOPE_SERVE`: the server is registered before `main`, and starts with the first
//! task or with `init`.
#![expect(unsafe_code, reason = "a section that the loader reads")]

use memscope_runtime::__server::{Wanted, register, warn};

use crate::settings::builder;

/// Starts the server as the environment asks for it. What is wrong is said on stderr, and the
/// program goes on.
fn start(Wanted { address, token, is_remote }: Wanted<'_>) {
    let wanted = builder().token(token.unwrap_or_default()).remote(is_remote);
    match wanted.serve(address) {
        Ok(server) => {
            warn(format_args!("serving at http://{}/", server.local_address()));
            server.detach();
        }
        Err(error) => warn(format_args!("MEMSCOPE_SERVE={address} does nothing: {error}")),
    }
}

static START: fn(Wanted<'_>) = start;

extern "C" fn before_main() {
    register(&START);
}

// SAFETY: the loader calls each pointer in this section once, on the main thread, before `main`.
// `before_main` writes one atomic, and cannot panic.
#[used]
#[cfg_attr(
    any(
        target_os = "linux",
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
