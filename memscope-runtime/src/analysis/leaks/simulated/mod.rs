//! Simulated services and tasks with and without a leak, and how many are judged right.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "numbers of tasks and ticks are small"
)]

use std::fmt::Write;

mod rng;
mod service;
mod workloads;
mod trends;
mod months;
mod doubling;

use rng::Dice;
use service::Service;
use workloads::{HEALTHY, LATE, LEAKS, Make};

/// How many services of each kind are simulated.
const SERVICES: u32 = 200;

fn found(kinds: &[(&str, Make)], samples: u32, seed: u64) -> (u32, String) {
    let mut dice = Dice(seed);
    let (mut all, mut table) = (0, String::new());
    for (name, make) in kinds {
        let found = (0..SERVICES)
            .filter(|_| {
                let freed = make(&mut dice);
                Service::of(&mut dice, freed).is_found(samples)
            })
            .count() as u32;
        all += found;
        writeln!(table, "{name:32} {found:3} of {SERVICES}, {samples} snapshots")
            .expect("a string");
    }
    (all, table)
}

fn judged(samples: u32, with_late: bool) {
    let (mut leaks, mut table) = found(LEAKS, samples, 1);
    let mut all = SERVICES * LEAKS.len() as u32;
    if with_late {
        let (late, rows) = found(LATE, samples, 2);
        (leaks, all, table) = (leaks + late, all + SERVICES * LATE.len() as u32, table + &rows);
    }
    let (alarms, rows) = found(HEALTHY, samples, 3);
    let recall = f64::from(leaks) / f64::from(all);
    let precision = f64::from(leaks) / f64::from(leaks + alarms);
    let false_alarms = f64::from(alarms) / f64::from(SERVICES * HEALTHY.len() as u32);
    let table = format!(
        "{table}{rows}recall {recall:.3}, precision {precision:.3}, alarms in {false_alarms:.4} of the healthy\n"
    );
    eprintln!("{table}");
    assert!(recall >= 0.93 && precision >= 0.98 && false_alarms <= 0.01, "{table}");
}

#[test]
fn one_snapshot_tells_leaks_from_caches() {
    judged(1, false);
}

#[test]
fn several_snapshots_also_tell_when_a_leak_began() {
    judged(12, true);
}
