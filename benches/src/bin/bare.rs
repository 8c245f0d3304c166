//! The loops without memscope: System allocator, Tokio's own spawn.

use memscope_benches::{
    ALLOCATIONS, pending, per_free, per_poll, per_poll_by_hand, per_spawn, polls, show,
};

fn main() {
    for (name, work) in ALLOCATIONS {
        show(name, work);
    }
    show("free of a block", || per_free(|_| ()));
    show("poll, by hand", || per_poll_by_hand(pending()));
    show("poll, by Tokio", || per_poll(|| tokio::spawn(polls())));
    show("spawn and join", || per_spawn(|| tokio::spawn(async { 1 })));
}
