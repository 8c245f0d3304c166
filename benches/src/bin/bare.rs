//! The loops without memscope: the system's allocator and Tokio's own spawn. Other loops do one
//! part of memscope's work by hand, to show what that part takes by itself.
#![expect(clippy::print_stdout, reason = "the figures are its output")]

use memscope_benches::{
    ALLOCATIONS, FREES, HANDED_OVER, PAIRS, POLLS, POLLS_BY_HAND, SPAWNS, TASKS, Timed,
    add_to_counters, allocates, freed_there_and_counted, in_task, is_wanted, median, names_ms,
    pair_and_counting, pair_and_questions, pair_of_64, pending, per_allocation,
    per_allocation_below_the_peak, per_call, per_free, per_free_for_another, per_poll,
    per_poll_by_hand, per_spawn, polls, show,
};

fn main() {
    // As with memscope: in a future that a runtime polls.
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        for (name, count, work) in ALLOCATIONS {
            show(name, count, work);
        }
        show(
            "64 B, allocate and free, a word written and read, five counters",
            PAIRS,
            pair_and_counting,
        );
        show(
            "allocated here, freed there, a word read and two counters added to",
            HANDED_OVER,
            freed_there_and_counted,
        );
        show("allocation of a block, each a new peak", FREES, per_allocation);
        show("allocation of a block, below the peak", FREES, per_allocation_below_the_peak);
        show("free of a block", FREES, |count| per_free(count, |_| ()));
        show("free of another task's block", FREES, |count| {
            per_free_for_another(count, |make| make())
        });
    });
    show("64 B, in an unannotated task", PAIRS, |count| in_task(count, pair_of_64));
    show("64 B, in an unannotated task, one thread", PAIRS, |count| in_task(count, pair_of_64));
    show("64 B, in an unannotated task, and Tokio asked at both", PAIRS, |count| {
        in_task(count, pair_and_questions)
    });
    show("poll, by hand", POLLS_BY_HAND, |count| per_poll_by_hand(count, pending()));
    show("poll, by hand, with a budget", POLLS_BY_HAND, |count| per_poll_by_hand(count, pending()));
    show("call, one poll", POLLS_BY_HAND, |count| per_call(count, || async { 1 }));
    show("poll, by Tokio", POLLS, |count| per_poll(count, |polled| tokio::spawn(polls(polled))));
    show("poll, by Tokio, and the clock read twice", POLLS, |count| {
        per_poll(count, |polled| tokio::spawn(Timed(Box::pin(polls(polled)))))
    });
    show("spawn and join", SPAWNS, |count| per_spawn(count, || tokio::spawn(async { 1 })));
    show("spawn and join, unannotated", SPAWNS, |count| {
        per_spawn(count, || tokio::spawn(async { 1 }))
    });
    show("spawn and join, unannotated with a block", SPAWNS, |count| {
        per_spawn(count, || tokio::spawn(allocates()))
    });
    show("spawn and join, and seven counters added to", SPAWNS, |count| {
        per_spawn(count, || {
            add_to_counters();
            tokio::spawn(async { 1 })
        })
    });
    names();
}

/// The names of the tasks in a snapshot.
fn names() {
    const NAMES: &str = "100,000 names, to copy, ms";
    if is_wanted(NAMES) {
        let times: Vec<[f64; 2]> = (0..11).map(|_| names_ms(TASKS)).collect();
        let of = |part: usize| median(&times.iter().map(|times| times[part]).collect::<Vec<_>>());
        println!("{NAMES}\t{}", of(0));
        println!("the same names dropped, ms\t{}", of(1));
    }
}
