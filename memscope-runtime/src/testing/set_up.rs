//! Settings for a process that tests measure tasks in.

use crate::{
    accounting::stacks,
    alloc::countdown,
    config::{self, ENABLED},
    output::start,
    primitives::Once,
};

/// Applies them, once. Must be called on the thread whose stacks a test wants, before it allocates:
/// the thread's next sample comes after as many bytes as the settings say now.
pub(super) fn for_tests() {
    static DONE: Once<()> = Once::new();
    if !ENABLED {
        return;
    }
    DONE.get_or_init(|| {
        start::start();
        config::suit_tests();
        stacks::start();
    });
    countdown::forget();
}
