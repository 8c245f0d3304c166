//! The variable `MEMSCOPE_SERVE`: the server is registered before `main`, and starts with the first
//! task, the second thread or `init`.

use memscope_runtime::__server::{Wanted, register, warn};

use crate::settings::builder;

/// Starts the server as the environment asks for it. A mistake is reported on stderr, and the
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

// The function writes one atomic.
memscope_runtime::__before_main!(".init_array", before_main);
