//! A month of a service's live bytes, sampled as the collector does, and judged every few hours.

use super::rng::Dice;
use crate::{
    analysis::leaks::{LeakOptions, finding::Severity, growth::Growth},
    model::TrendPoint,
};

const HOUR_NS: u64 = 3_600_000_000_000;
const MIB: f64 = 1_048_576.0;
/// How many services of each kind are simulated.
const SERVICES: u32 = 12;

/// Live bytes, and bytes allocated until then, at an hour since the start.
type Service = Box<dyn FnMut(f64) -> (f64, f64)>;
type Make = fn(&mut Dice) -> Service;

/// How much the load of a day is at an hour: from 0 to 1, less on two days a week.
fn load(hour: f64) -> f64 {
    let of_day = 0.5 - 0.5 * (std::f64::consts::TAU * (hour - 4.0) / 24.0).cos();
    let is_weekend = (hour / 24.0) as u64 % 7 >= 5;
    if is_weekend { 0.4 * of_day } else { of_day }
}

/// A service of requests: its live bytes follow the load, and all is freed soon.
fn requests(dice: &mut Dice) -> Service {
    let (base, swing) = (dice.between(5.0, 50.0) * MIB, dice.between(5.0, 200.0) * MIB);
    let (start, turnover) = (dice.between(0.0, 24.0), dice.scale(10.0, 1_000.0));
    let mut dice = Dice(dice.next());
    Box::new(move |hour| {
        let noise = dice.between(0.9, 1.1);
        (base + swing * load(start + hour) * noise, turnover * swing * hour)
    })
}

const HEALTHY: &[(&str, Make)] = &[
    ("requests by day", requests),
    ("a step by a new release", |dice| {
        let (mut requests, at) = (requests(dice), dice.between(50.0, 600.0));
        Box::new(move |hour| {
            let (live, allocated) = requests(hour);
            (if hour > at { live + 80.0 * MIB } else { live }, allocated)
        })
    }),
    ("a cache that fills within minutes", |dice| {
        let (mut requests, speed) = (requests(dice), dice.between(30.0, 120.0));
        Box::new(move |hour| {
            let (live, allocated) = requests(hour);
            (live + 100.0 * MIB * (1.0 - (-speed * hour).exp()), allocated)
        })
    }),
    ("requests beside a large base", |dice| {
        let requests = requests(dice);
        above_base(dice, requests)
    }),
    ("more clients than yesterday beside a large base", |dice| {
        let (mut requests, clients) = (requests(dice), dice.between(0.005, 0.02));
        let grown = Box::new(move |hour: f64| {
            let (live, allocated) = requests(hour);
            let week = (hour / 168.0).floor();
            (live * (1.0 + clients * week), allocated)
        });
        above_base(dice, grown)
    }),
    ("a log that is flushed", |dice| {
        let (mut requests, every) = (requests(dice), dice.between(0.5, 30.0));
        Box::new(move |hour| {
            let (live, allocated) = requests(hour);
            (live + 60.0 * MIB * (hour / every).fract(), allocated)
        })
    }),
];

/// A large part that stays, and a service beside it.
fn above_base(dice: &mut Dice, mut service: Service) -> Service {
    let base = dice.between(400.0, 2_000.0) * MIB;
    Box::new(move |hour| {
        let (live, allocated) = service(hour);
        (base + live, base + allocated)
    })
}

const SICK: &[(&str, Make)] = &[
    ("a leak alone", |dice| {
        let (rate, start) = (dice.scale(0.5, 50.0) * MIB, dice.between(5.0, 50.0) * MIB);
        Box::new(move |hour| (start + rate * hour, 2.0 * rate * hour))
    }),
    ("a leak below requests", |dice| {
        let (mut requests, rate) = (requests(dice), dice.between(2.0, 20.0) * MIB);
        Box::new(move |hour| {
            let (live, allocated) = requests(hour);
            (live + rate * hour, allocated)
        })
    }),
    ("a leak above a large base", |dice| {
        let rate = dice.between(2.0, 20.0) * MIB;
        above_base(dice, Box::new(move |hour| (rate * hour, 5.0 * rate * hour)))
    }),
    ("a leak since a release", |dice| {
        let (rate, at) = (dice.between(2.0, 20.0) * MIB, dice.between(100.0, 400.0));
        Box::new(move |hour| {
            let leaked = rate * (hour - at).max(0.0);
            (30.0 * MIB + leaked, 500.0 * MIB * hour)
        })
    }),
];

/// The hour of the first alarm in a month: a finding above low. Samples are thinned as the
/// collector does it, and each second sample is followed by a look.
fn first_alarm(service: &mut Service) -> Option<f64> {
    let (mut points, mut spacing): (Vec<TrendPoint>, f64) = (Vec::new(), 0.02);
    let mut hour = 0.0;
    while hour < 30.0 * 24.0 {
        if points.len() == 64 {
            points = points.into_iter().skip(1).step_by(2).collect();
            spacing *= 2.0;
        }
        let (live, allocated) = service(hour);
        points.push(TrendPoint {
            at_ns: (hour * HOUR_NS as f64) as u64,
            live_bytes: live as u64,
            allocated_bytes: allocated as u64,
        });
        let options = LeakOptions::new();
        let is_alarm = |growth: &Growth| {
            let severity = growth.severity(live as u64, live as u64, growth.may_be_load());
            growth.is_long(&options) && severity > Severity::Low
        };
        if Growth::of(&points, &options).as_ref().is_some_and(is_alarm) {
            return Some(hour);
        }
        hour += spacing;
    }
    None
}

fn alarms(kinds: &[(&str, Make)], seed: u64) -> Vec<(String, Vec<f64>)> {
    let mut dice = Dice(seed);
    let of = |(name, make): &(&str, Make)| {
        let services = (0..SERVICES).map(|_| make(&mut dice));
        let alarms = services.filter_map(|mut service| first_alarm(&mut service)).collect();
        ((*name).to_owned(), alarms)
    };
    kinds.iter().map(of).collect()
}

#[test]
fn a_month_of_daily_swings_raises_no_alarm_and_a_leak_does() {
    let (healthy, sick) = (alarms(HEALTHY, 1), alarms(SICK, 2));
    eprintln!("the hours of the alarms, of {SERVICES} services each: {healthy:#?} {sick:#?}");
    assert!(healthy.iter().all(|(_, alarms)| alarms.is_empty()), "{healthy:#?}");
    for (name, alarms) in sick {
        assert!(alarms.len() + 1 >= SERVICES as usize, "{name}: {alarms:?}");
    }
}
