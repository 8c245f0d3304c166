//! How one task's live bytes change with time, and whether that is called growth.

use serde_json::json;

use super::rng::Dice;
use crate::analysis::fixture::{snapshot, task, trend};

/// Live bytes at a time from 0 to 1.
type Course = Box<dyn Fn(f64) -> f64>;
type Make = fn(&mut Dice) -> Course;

const MIB: f64 = 1_048_576.0;
const GROWING: &[(&str, Make)] = &[
    ("rises by the clock", |dice| {
        let (start, rise) = (dice.between(0.0, 1.0) * MIB, dice.scale(1.0, 50.0) * MIB);
        Box::new(move |time| start + rise * time)
    }),
    ("a vector that doubles", |dice| {
        let (least, rise) = (dice.scale(0.001, 0.05), dice.scale(1.0, 50.0) * MIB);
        Box::new(move |time| (time.max(least) * rise).log2().ceil().exp2())
    }),
    ("faster and faster", |dice| {
        let rise = dice.scale(1.0, 50.0) * MIB;
        Box::new(move |time| rise * time * time)
    }),
    ("rises above a large base", |dice| {
        let base = dice.scale(20.0, 2_000.0) * MIB;
        let rise = base * dice.between(0.06, 0.45);
        Box::new(move |time| base + rise * time)
    }),
];
const HEALTHY: &[(&str, Make)] = &[
    ("fills and stays", |dice| {
        let (speed, most) = (dice.between(3.0, 20.0), dice.scale(0.1, 50.0) * MIB);
        Box::new(move |time| most * (1.0 - (-speed * time).exp()))
    }),
    ("starts up, then stays", |dice| {
        let (start, most) = (dice.between(0.05, 0.6), dice.scale(0.1, 50.0) * MIB);
        Box::new(move |time| most * (time / start).min(1.0))
    }),
    ("a vector that doubles, then stays", |dice| {
        let (start, most) = (dice.between(0.05, 0.4), dice.scale(1.0, 50.0) * MIB);
        Box::new(move |time| (time.clamp(0.001, start) / start * most).log2().ceil().exp2())
    }),
    ("fills and empties", |dice| {
        let (times, most) = (dice.scale(1.0, 40.0), dice.scale(0.1, 50.0) * MIB);
        Box::new(move |time| most * (time * times).fract())
    }),
    ("as much as there is to do", |dice| {
        let (seed, most) = (dice.next(), dice.scale(0.1, 50.0) * MIB);
        Box::new(move |time| most * Dice(seed ^ time.to_bits()).share())
    }),
    ("stays as it is", |dice| {
        let most = dice.scale(0.1, 50.0) * MIB;
        Box::new(move |_| most)
    }),
];

fn is_found(dice: &mut Dice, course: &Course) -> bool {
    let samples = dice.whole(6.0, 30.0);
    // Snapshots come more or less regularly.
    let jitter = dice.between(0.0, 0.4) / samples as f64;
    let times: Vec<f64> = (1..=samples)
        .map(|sample| (sample as f64 / samples as f64 - jitter * dice.share()).max(0.0))
        .collect();
    let mut trend = trend(
        Some(1),
        "s",
        &times.iter().map(|&time| (course(time) as u64, 0)).collect::<Vec<_>>(),
    );
    for (point, time) in times.iter().enumerate() {
        trend["points"][point]["at_ns"] = json!((time * 1e12) as u64);
    }
    let last = times.last().copied().unwrap_or(0.0);
    let peak = (0..=1000).map(|step| course(last * f64::from(step) / 1000.0)).fold(0.0, f64::max);
    let live = course(last) as u64;
    let row = task(1, "s", &json!({ "live_bytes": live, "peak_bytes": live.max(peak as u64) }));
    !snapshot(&json!({ "tasks": [row], "trends": [trend] })).leaks().is_empty()
}

/// How many of 200 of each kind are found, all of them beside this many times the highest bytes of
/// it that stay.
fn found(kinds: &[(&str, Make)], base: f64, seed: u64) -> Vec<(String, u32)> {
    let mut dice = Dice(seed);
    let mut count = |make: &Make| {
        let is_found = |_: &u32| {
            let course = make(&mut dice);
            let highest = (0..=100).map(|step| course(f64::from(step) / 100.0)).fold(0.0, f64::max);
            let course: Course = Box::new(move |time| base * highest + course(time));
            is_found(&mut dice, &course)
        };
        (0..200).filter(is_found).count() as u32
    };
    kinds.iter().map(|(name, make)| ((*name).to_owned(), count(make))).collect()
}

#[test]
fn growth_is_told_from_filling_and_emptying() {
    let (growing, healthy) = (found(GROWING, 0.0, 1), found(HEALTHY, 0.0, 2));
    let above_base = found(HEALTHY, 8.0, 3);
    eprintln!("of 200 tasks each: {growing:#?} {healthy:#?} above a base: {above_base:#?}");
    for (name, found) in &growing {
        let least = match name.as_str() {
            // Six or seven samples, which some have, are too few.
            "a vector that doubles" => 170,
            "rises above a large base" => 150,
            _ => 190,
        };
        assert!(*found >= least, "{name}: {found}");
    }
    let alarms = healthy.iter().chain(&above_base);
    assert!(alarms.into_iter().all(|(_, found)| *found <= 2), "{healthy:?} {above_base:?}");
}
