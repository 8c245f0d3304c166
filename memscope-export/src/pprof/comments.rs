//! The comments of a profile: which figures are exact, which are estimates, and what is missing.

use memscope_runtime::async_memory::{HumanBytes, MemorySnapshot, StacksState};

use super::tables::file_name;
use crate::{
    attribution::{Parts, PprofKind},
    calls::NO_STACK,
};

pub(super) fn of(snapshot: &MemorySnapshot, kind: PprofKind, parts: &Parts<'_>) -> Vec<String> {
    let [(bytes, _), (blocks, _)] = kind.values();
    let program = snapshot.program().map_or("a program", file_name);
    let mut comments = vec![format!(
        "memscope: {bytes} and {blocks} of {program}, {:.1} s after the start",
        snapshot.observed_seconds()
    )];
    let mut say = |text: String| comments.push(text);
    if !snapshot.measured().is_yes() {
        say(format!("not measured: {}", snapshot.measured().reason()));
        return comments;
    }
    say(format!("exact: the sums of {bytes} and of {blocks}, in all and for each site"));
    let interval = HumanBytes(snapshot.stack_interval_bytes());
    match snapshot.stacks_measured() {
        StacksState::On => say(format!(
            "estimates: samples with the label figure=estimate; one allocation in about {interval} has its stack sampled, and the label samples says how many there are"
        )),
        StacksState::Off => say("stacks are switched off".to_owned()),
        StacksState::Unsupported => say("stacks cannot be sampled on this system".to_owned()),
        StacksState::Disabled => {}
    }
    say(format!(
        "{NO_STACK}: the exact figure of a site, less the estimates of its stacks; estimates that exceed it are scaled down to it"
    ));
    say(format!("{blocks}: known by site and task, and 0 in samples with a stack"));
    let untracked = snapshot.process().untracked_allocation_count;
    if kind == PprofKind::Allocated && untracked.is_none() {
        say(format!("{blocks} outside every task are not known, and 0 here"));
    }
    if !snapshot.is_still() {
        say("tasks ended while the snapshot was read: their totals may be missing".to_owned());
    }
    let (pending, tool) = (snapshot.stack_names_pending(), snapshot.tool());
    if pending != 0 {
        say(format!(
            "calls whose names or lines are being looked up: {pending}; a later profile has them"
        ));
    }
    if tool.stacks_left_out != 0 {
        let live = HumanBytes(tool.stacks_left_out_bytes);
        say(format!(
            "stacks left out as they are small: {}, with ≈ {live} live; they are in {NO_STACK}",
            tool.stacks_left_out
        ));
    }
    if tool.stacks_dropped != 0 {
        say(format!("samples of stacks that were dropped: {}", tool.stacks_dropped));
    }
    if parts.is_cut {
        say("figures above 2^63 - 1 are cut".to_owned());
    }
    comments
}
