//! A contender's process: one case, one line.

use std::env;

use crate::{
    Case, Contender, Kind, Measurement, allocation, background_thread::SecondThread, footprint,
    processor::stay_on, resident, task,
};

/// More than any contender needs that does not keep everything.
const MOST_BYTES: u64 = 6 << 30;

/// The first word on the command line: how a contender that can be used in several ways is used.
pub fn variant() -> String {
    env::args().nth(1).unwrap_or_default()
}

/// Runs the case that is named on the command line (`variant case [--quick]`) and prints its
/// figure; nothing where the contender has no answer.
///
/// # Panics
///
/// When the case is unknown, or a loop fails.
pub fn run<C: Contender>() {
    let name = env::args().nth(2).expect("usage: variant case [--quick]");
    let case = Case::named(&name).expect("a known case");
    if !C::can(case) {
        return;
    }
    resident::limit(MOST_BYTES);
    if matches!(case.kind(), Kind::Blocks | Kind::Tasks) {
        resident::without_huge_pages();
    }
    let is_timed = matches!(case.kind(), Kind::Allocation | Kind::Task);
    let _second = is_timed.then(SecondThread::start);
    let session = C::start();
    if is_timed {
        // A contender's threads have been started by now, and may run on the other.
        stay_on(1);
    }
    let figure = measure::<C>(case);
    println!("{}", serde_json::to_string(&figure).expect("numbers"));
    drop(session);
}

fn measure<C: Contender>(case: Case) -> Measurement {
    match case {
        Case::Pair => allocation::pair::<C>(),
        Case::Mixed => allocation::mixed::<C>(),
        Case::Growth => allocation::growth::<C>(),
        Case::Zeroed64m => allocation::zeroed::<C>(64 << 20),
        Case::Zeroed1m => allocation::zeroed::<C>(1 << 20),
        Case::TwoThreads => allocation::two_threads::<C>(),
        Case::HandOver => allocation::hand_over::<C>(),
        Case::InTask => allocation::in_task::<C>(),
        Case::Poll => task::poll::<C>(),
        Case::PollByHand => task::poll_by_hand::<C>(),
        Case::Spawn => task::spawn::<C>(),
        Case::CurrentTask => task::current_task::<C>(),
        Case::Block24 => footprint::blocks::<C, 1>(24, 0),
        Case::Block100 => footprint::blocks::<C, 1>(100, 0),
        Case::BlockMean => footprint::blocks::<C, 505>(8, 1),
        Case::Buffer4k => footprint::blocks::<C, 1>(4 << 10, 0),
        Case::Buffer64k => footprint::blocks::<C, 1>(64 << 10, 0),
        Case::Buffer1m => footprint::blocks::<C, 1>(1 << 20, 0),
        Case::LiveTask => footprint::live_task::<C>(),
        Case::Thread => footprint::thread::<C>(),
        Case::MillionTasks => footprint::million_tasks::<C>(),
    }
}
