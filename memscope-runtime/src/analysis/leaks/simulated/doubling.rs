//! Collections in one block that double, for as long as they are filled, sampled as the collector
//! does it.

use super::rng::Dice;
use crate::{
    analysis::leaks::{LeakOptions, finding::Severity, growth::Growth},
    model::TrendPoint,
};

const SECOND_NS: u64 = 1_000_000_000;
const MIB: u64 = 1 << 20;
/// The collector keeps this many samples of a site, and the row of a task shows this many of them.
const POINTS: usize = 64;
const SHOWN: usize = 16;

/// Live bytes at a second since the start.
type Course<'c> = &'c dyn Fn(f64) -> f64;

/// What the collector has kept at a second, if it looks each this many seconds.
fn kept(course: Course<'_>, every: u32, until: u32) -> Vec<TrendPoint> {
    let mut points: Vec<TrendPoint> = Vec::new();
    let mut spacing_ns = 0;
    for second in (0..=until / every).map(|look| look * every) {
        let at_ns = u64::from(second) * SECOND_NS;
        if points.last().is_some_and(|last| at_ns - last.at_ns < spacing_ns) {
            continue;
        }
        if points.len() == POINTS {
            points = points.into_iter().skip(1).step_by(2).collect();
            let span = points[points.len() - 1].at_ns - points[0].at_ns;
            spacing_ns = span / (points.len() as u64 - 1);
        }
        let live_bytes = course(f64::from(second)) as u64;
        points.push(TrendPoint { at_ns, live_bytes, allocated_bytes: 2 * live_bytes });
    }
    points
}

/// Those that the row of a task has.
fn shown(points: &[TrendPoint]) -> Vec<TrendPoint> {
    let step = points.len().div_ceil(SHOWN);
    points.iter().skip((points.len() - 1) % step).step_by(step).copied().collect()
}

fn found(points: &[TrendPoint]) -> Option<Growth> {
    let options = LeakOptions::new();
    Growth::of(points, &options).filter(|growth| growth.is_long(&options))
}

fn severity(growth: &Growth) -> Severity {
    let bytes = growth.course.last().live_bytes;
    growth.severity(bytes, bytes, growth.may_be_load())
}

/// Whether there is a finding above low.
fn alarms(points: &[TrendPoint]) -> bool {
    found(points).is_some_and(|growth| severity(&growth) > Severity::Low)
}

/// The room of a collection that has `content` bytes, and moves to `factor` times its room.
fn room(content: f64, first: f64, factor: f64) -> f64 {
    let moves = (content / first).log(factor).ceil().max(0.0);
    first * factor.powf(moves)
}

/// A collection that is moved to `factor` times its room as it fills.
struct Collection {
    name: &'static str,
    first: f64,
    factor: f64,
    /// The new room is filled while the old one is there.
    is_copied: bool,
}

static COLLECTIONS: [Collection; 6] = [
    Collection { name: "Vec<u64>", first: 32.0, factor: 2.0, is_copied: false },
    Collection { name: "HashMap<u64, [u8; 512]>", first: 1_636.0, factor: 2.0, is_copied: true },
    Collection { name: "VecDeque", first: 4_096.0, factor: 2.0, is_copied: true },
    Collection { name: "String", first: 8.0, factor: 2.0, is_copied: false },
    Collection { name: "by half", first: 64.0, factor: 1.5, is_copied: true },
    Collection { name: "by more than half", first: 64.0, factor: 2.2, is_copied: true },
];

impl Collection {
    /// Live bytes beside `base` if this many bytes come in a second, from a second on and until
    /// one.
    fn course(&self, rate: f64, from: f64, until: f64, base: f64) -> impl Fn(f64) -> f64 {
        let Self { first, factor, is_copied, .. } = *self;
        move |second| {
            let content = |second: f64| rate * (second.min(until) - from).max(0.0);
            let now = room(content(second), first, factor);
            let before = room(content(second - 0.1), first, factor);
            let old = if is_copied && before < now { before } else { 0.0 };
            // What requests need for a moment.
            let passing = 9_000.0 * ((second * 7.3).sin() + 1.0);
            base + passing + now + old
        }
    }
}

/// Each collection with this many rates, from 1 to 12 MiB a minute in bytes a second.
fn collections(rates: u32) -> impl Iterator<Item = (&'static Collection, f64)> {
    let rate = move |step: u32| 12_f64.powf(f64::from(step) / f64::from(rates - 1));
    let rates = move || (0..rates).map(move |step| MIB as f64 / 60.0 * rate(step));
    COLLECTIONS.iter().flat_map(move |it| rates().map(move |rate| (it, rate)))
}

#[test]
fn a_collection_that_is_filled_at_a_steady_rate_is_found_at_any_time() {
    let mut lost = Vec::new();
    for (collection, rate) in collections(40) {
        let course = collection.course(rate, 0.0, f64::INFINITY, 300_000.0);
        for (every, until) in
            [1, 10].into_iter().flat_map(|every| [150, 320, 640, 3_600].map(|until| (every, until)))
        {
            let points = kept(&course, every, until);
            match found(&points) {
                None => lost.push((collection.name, rate as u64, every, until)),
                Some(growth) => {
                    let per_second = growth.per_minute() as f64 / 60.0;
                    let is_right = (0.6..1.5).contains(&(per_second / rate));
                    assert!(is_right, "{}: {per_second} of {rate}", collection.name);
                    let is_severe = until < 320 || severity(&growth) > Severity::Low;
                    assert!(is_severe, "{} {rate} {every} {until} {growth:?}", collection.name);
                }
            }
        }
    }
    assert!(lost.is_empty(), "{} {lost:?}", lost.len());
}

#[test]
fn the_few_samples_of_a_tasks_row_are_mostly_enough_for_what_doubles() {
    let (mut all, mut lost) = (0, Vec::new());
    for (collection, rate) in collections(40).filter(|(it, _)| !it.name.starts_with("by")) {
        let course = collection.course(rate, 0.0, f64::INFINITY, 50_000.0);
        for (every, until) in
            [1, 10].into_iter().flat_map(|every| [320, 640, 3_600].map(|until| (every, until)))
        {
            all += 1;
            if found(&shown(&kept(&course, every, until))).is_none() {
                lost.push((collection.name, rate as u64, every, until));
            }
        }
    }
    // The series of its site has more.
    assert!(lost.len() * 10 <= all, "{} of {all}: {lost:?}", lost.len());
}

#[test]
fn a_collection_that_begins_late_is_found_beside_what_was_there() {
    let (mut all, mut lost) = (0, Vec::new());
    for (collection, rate) in collections(40) {
        let course = collection.course(rate, 900.0, f64::INFINITY, 0.0);
        // What the service loads at its start.
        let loaded = |second: f64| MIB as f64 * if second < 30.0 { 2.0 } else { 20.0 };
        let course = |second: f64| loaded(second) + course(second);
        for until in [2_000, 3_600] {
            all += 1;
            if found(&kept(&course, 10, until)).is_none() {
                lost.push((collection.name, rate as u64, until));
            }
        }
    }
    assert!(lost.is_empty(), "{lost:?} of {all}");
}

/// Half as much again and half as much come, by turns of this many seconds.
fn swing(second: f64, turn: f64) -> f64 {
    let angle = std::f64::consts::TAU / turn;
    0.5 / angle * (second * angle).sin()
}

#[test]
fn a_collection_that_load_fills_is_found_beside_what_passes() {
    let mut lost = Vec::new();
    for (it, rate) in collections(40).filter(|(it, _)| !it.name.starts_with("by")) {
        let content = |second: f64| rate * (second + swing(second, 60.0) + swing(second, 500.0));
        let course = |second: f64| {
            let passing = 9_000.0 * Dice(second.to_bits()).share();
            2.0 * MIB as f64 + passing + room(content(second), it.first, it.factor)
        };
        for (every, until) in [(1, 640), (10, 640), (1, 3_600), (10, 3_600)] {
            if found(&kept(&course, every, until)).is_none() {
                lost.push((it.name, rate as u64, every, until));
            }
        }
    }
    assert!(lost.is_empty(), "{lost:?}");
}

/// The first look of an hour at which there is a finding above low: each this many seconds, and
/// when. `from`: the first looks that count, for the series of a site and for the row of a task.
fn alarm_from(course: Course<'_>, from: [f64; 2]) -> Option<(u32, u32)> {
    let looks = [1, 10].into_iter().flat_map(|every| (1..=360).map(move |look| (every, look * 10)));
    let mut looks = looks.filter(|&(every, until)| {
        let points = kept(course, every, until);
        let is_counted = from.map(|from| f64::from(until) >= from);
        is_counted[0] && alarms(&points) || is_counted[1] && alarms(&shown(&points))
    });
    looks.next()
}

#[test]
fn a_warm_up_that_doubles_and_is_over_is_healthy() {
    for (collection, rate) in collections(7) {
        for warm_up in [20.0, 45.0, 90.0, 99.0] {
            let healthy = collection.course(rate, 0.0, warm_up, 300_000.0);
            let alarm = alarm_from(&healthy, [10.0; 2]);
            assert_eq!(alarm, None, "{} {rate} {warm_up}", collection.name);
        }
    }
}

#[test]
fn a_cache_that_has_doubled_to_its_capacity_is_healthy_once_it_is_flat() {
    for (collection, rate) in collections(7) {
        for full in [300.0, 700.0] {
            let healthy = collection.course(rate, 0.0, full, 300_000.0);
            // The last step was at `full` at the latest. The next one would have been at 2.2 times
            // that, and is awaited for a bit longer: more so where samples are far apart.
            let alarm = alarm_from(&healthy, [2.9 * full, 3.6 * full]);
            assert_eq!(alarm, None, "{} {rate} {full}", collection.name);
            assert!(found(&kept(&healthy, 10, 3_600)).is_none());
        }
    }
}

#[test]
fn steps_of_load_and_saw_teeth_are_healthy() {
    let mib = MIB as f64;
    let two_steps = |second: f64| {
        mib * if second < 300.0 {
            4.0
        } else if second < 900.0 {
            8.0
        } else {
            16.0
        }
    };
    let faster =
        |second: f64| mib * 2_f64.powf((1.0 - (1.0 - second / 500.0).max(0.0).sqrt()) * 8.0).ceil();
    let at_once = |second: f64| if second < 600.0 { mib } else { 64.0 * mib };
    let tooth = |second: f64| mib + room(0.2 * mib * (second % 100.0), 64.0, 2.0);
    let steady = |second: f64| mib * 2_f64.powf((second / 60.0).floor().min(5.0));
    let courses: [(&str, Course<'_>, f64); 5] = [
        ("two steps", &two_steps, 10.0),
        ("one step", &at_once, 10.0),
        ("a buffer that doubles until it is flushed", &tooth, 10.0),
        // As these rise, they are what they look like.
        ("faster and faster, then flat", &faster, 900.0),
        ("each minute twice as much, then flat", &steady, 600.0),
    ];
    for (name, course, from) in courses {
        assert_eq!(alarm_from(course, [from; 2]), None, "{name}");
    }
}

#[test]
fn load_that_doubles_each_day_and_stays_is_healthy() {
    let hour = |second: f64| second / 3_600.0;
    // Each day has its peak, and the first three twice that of the day before.
    let swings = |second: f64| {
        let level = 10.0 * MIB as f64 * 2_f64.powf((hour(second) / 24.0).floor().min(3.0));
        let of_day = 0.6 - 0.4 * (std::f64::consts::TAU * hour(second) / 24.0).cos();
        level * of_day
    };
    // It stays at the level of the day, by night as well.
    let steps =
        |second: f64| 10.0 * MIB as f64 * 2_f64.powf((hour(second) / 24.0).floor().min(3.0));
    for day in 5..=20 {
        for (name, course) in [("swings", &swings as Course<'_>), ("steps", &steps)] {
            let points = kept(course, 60, day * 86_400);
            let growth = found(&points);
            assert!(growth.is_none_or(|it| it.doubling.is_none()), "{name} {day}");
            assert!(day < 6 || growth.is_none(), "{name} {day} {growth:?}");
        }
    }
}
