//! The loops without memscope: System allocator, Tokio's own spawn.

use memscope_benches::{
    ALLOCATIONS, FREES, PAIRS, POLLS, POLLS_BY_HAND, SPAWNS, in_task, pair_and_questions,
    pair_of_64, pending, per_free, per_poll, per_poll_by_hand, per_spawn, polls, show,
};

fn main() {
    // As with memscope: in a future that a runtime polls.
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        for (name, count, work) in ALLOCATIONS {
            show(name, count, work);
        }
        show("free of a block", FREES, |count| per_free(count, |_| ()));
    });
    show("64 B, in an unannotated task", PAIRS, |count| in_task(count, pair_of_64));
    show("64 B, and Tokio asked for the task at both", PAIRS, |count| {
        in_task(count, pair_and_questions)
    });
    show("poll, by hand", POLLS_BY_HAND, |count| per_poll_by_hand(count, pending()));
    show("poll, by Tokio", POLLS, |count| per_poll(count, |polled| tokio::spawn(polls(polled))));
    show("spawn and join", SPAWNS, |count| per_spawn(count, || tokio::spawn(async { 1 })));
}
