//! The details of a site.

use std::collections::HashMap;

use memscope_runtime::async_memory::{Bucket, SiteProfile};

use super::{
    Line,
    frames::{FEW, more, stacks, variables},
};
use crate::top::{
    context::{Context, left_bytes, place_key, site_key, site_of_task},
    number::{UNKNOWN, bytes, count, duration},
    report::{name, place},
    tables::own_place,
};

pub(super) fn lines(context: &Context<'_>, key: &str) -> Option<(&'static str, String, Vec<Line>)> {
    let snapshot = &context.report.snapshot;
    let (at, site) = snapshot.sites().iter().enumerate().find(|it| site_key(it.1) == key)?;
    let mut lines = figures(context, site, key);
    lines.extend(ends(site));
    lines.extend(waits(context, key));
    let of_site = |it: &&memscope_runtime::async_memory::VariableProfile| {
        it.live && it.task_site.as_ref().is_some_and(|it| place_key(it) == key)
    };
    lines.extend(variables(snapshot.variables().iter().filter(of_site)));
    lines.extend(frees(context, key));
    lines.extend(histogram("Peak of each ended task", &site.peak_histogram, bytes));
    lines.extend(histogram("Time of a poll, of timed polls", &site.poll_histogram, duration));
    lines.extend(stacks(snapshot.stacks().iter().filter(|it| it.site == Some(at))));
    lines.extend(machine(site));
    Some(("Site", place(&site.file, Some(site.line)), lines))
}

fn figures(context: &Context<'_>, site: &SiteProfile, key: &str) -> Vec<Line> {
    let known = |size: Option<u64>| size.map_or_else(|| UNKNOWN.to_owned(), bytes);
    let measured = |size: u64| known(site.measured.then_some(size));
    let mut pairs = vec![
        ("Live", measured(site.live_bytes)),
        ("of it left by ended tasks", known(left_bytes(site))),
        ("Peak of one task", measured(site.peak_bytes)),
        ("Allocated since the start", measured(site.allocated_bytes)),
        ("Allocations", count(site.allocation_count)),
    ];
    if let Some(rate) = context.rates.get(key) {
        pairs.push(("Allocated now", format!("{}/s", bytes(*rate))));
    }
    if let Some(mean) = site.peak_sum_bytes.checked_div(site.spawned).filter(|_| site.measured) {
        pairs.push(("Mean peak", bytes(mean)));
    }
    if site.unjoined_bytes > 0 {
        pairs.push(("of it waits for a JoinHandle", bytes(site.unjoined_bytes)));
    }
    if site.future_size_bytes > 0 {
        pairs.push(("State machine", bytes(site.future_size_bytes)));
    }
    if let Some(items) = &site.items {
        pairs.push(("Items yielded", count(items.count)));
    }
    pairs.into_iter().map(|(title, shown)| Line::Pair(title.to_owned(), shown)).collect()
}

fn ends(site: &SiteProfile) -> Vec<Line> {
    let ends = [
        ("spawned", site.spawned),
        ("living", site.active),
        ("completed", site.completed),
        ("cancelled", site.cancelled),
        ("panicked", site.panicked),
        ("ended, not known how", site.ended_unknown),
        ("not known whether they live", site.unknown.saturating_add(site.given_up)),
    ];
    let some = ends.into_iter().filter(|it| it.1 > 0);
    let lines = some.map(|(title, number)| Line::Pair(title.to_owned(), count(number)));
    std::iter::once(Line::Section("Tasks".to_owned(), "")).chain(lines).collect()
}

/// Returns the places where its tasks wait, by the bytes that they hold there.
fn waits(context: &Context<'_>, key: &str) -> Vec<Line> {
    let snapshot = &context.report.snapshot;
    let mut places: HashMap<String, (u64, u64)> = HashMap::new();
    for task in snapshot.tasks().iter().filter(|it| !it.state.is_ended()) {
        if site_of_task(task) != key {
            continue;
        }
        let at = snapshot.await_point_of(task).map(own_place).unwrap_or_default();
        if !at.is_empty() {
            let sum = places.entry(at).or_default();
            *sum = (sum.0 + 1, sum.1.saturating_add(task.live_bytes));
        }
    }
    if places.is_empty() {
        return Vec::new();
    }
    let mut places: Vec<_> = places.into_iter().collect();
    places.sort_by(|a, b| (b.1.1, &a.0).cmp(&(a.1.1, &b.0)));
    let mut lines = vec![Line::Section("Where they wait".to_owned(), "tasks, bytes")];
    lines.extend(places.iter().take(FEW).map(|(at, (tasks, size))| {
        Line::Pair(at.clone(), format!("{}  {}", count(*tasks), bytes(*size)))
    }));
    lines.extend(more(places.len()));
    lines
}

fn frees(context: &Context<'_>, key: &str) -> Vec<Line> {
    let all = context.report.snapshot.hand_overs();
    let is_giver = |it: &&memscope_runtime::async_memory::HandOver| {
        it.from.as_ref().is_some_and(|place| place_key(place) == key)
    };
    let given: Vec<_> = all.iter().filter(is_giver).collect();
    if given.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![Line::Section("Freed by others".to_owned(), "bytes so far")];
    lines.extend(given.iter().take(FEW).map(|it| {
        let title = match &it.to {
            None => "(outside every task)".to_owned(),
            to if *to == it.from => "another of its tasks".to_owned(),
            Some(place) => name(&place.name),
        };
        Line::Pair(title, bytes(it.bytes))
    }));
    lines.extend(more(given.len()));
    lines
}

fn histogram(title: &str, buckets: &[Bucket], shown: fn(u64) -> String) -> Vec<Line> {
    let some: Vec<_> = buckets.iter().filter(|it| it.count > 0).collect();
    if some.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![Line::Section(title.to_owned(), "how many")];
    lines.extend(
        some.iter().map(|it| Line::Pair(format!("up to {}", shown(it.up_to)), count(it.count))),
    );
    lines
}

fn machine(site: &SiteProfile) -> Vec<Line> {
    let Some(machine) = &site.state_machine else {
        let why = site.state_machine_unknown.as_ref();
        return why.map_or_else(Vec::new, |why| {
            vec![Line::Section("State machine".to_owned(), ""), Line::Dim(name(why))]
        });
    };
    let mut lines = vec![
        Line::Section("State machine".to_owned(), ""),
        Line::Pair(name(&machine.path), bytes(machine.size_bytes)),
    ];
    if let Some(widest) = &machine.widest {
        let at = place(&widest.file, Some(widest.line));
        lines.push(Line::Dim(format!("largest while it waits at {at}")));
        lines.extend(widest.locals.iter().map(|it| {
            let text = format!("    {}: {}", name(&it.name), name(&it.type_name));
            Line::Pair(text, bytes(it.bytes))
        }));
    }
    lines
}
