//! console-subscriber: tasks as they are, in a Tokio built with `--cfg tokio_unstable` and its
//! feature `tracing`; no console is connected.

use comparison_loops::{Case, Contender, INNER, Inner, Kind, run};

#[global_allocator]
static ALLOCATOR: Inner = INNER;

struct Console;

impl Contender for Console {
    /// It sees only what Tokio polls.
    fn can(case: Case) -> bool {
        matches!(case, Case::Poll | Case::Spawn)
            || (case.kind() == Kind::Tasks && case != Case::Thread)
    }

    fn start() -> impl Sized {
        // Any free port, as another program may have the usual one.
        console_subscriber::ConsoleLayer::builder().server_addr(([127, 0, 0, 1], 0)).init();
    }
}

fn main() {
    run::<Console>();
}
