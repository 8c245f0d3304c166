//! Services with and without a leak, simulated task by task, and how many are judged right.

use std::collections::{HashMap, VecDeque};

use serde_json::{Value, json};

use super::LeakOptions;
use crate::fixture::{site, snapshot, trend};

/// The generator of Sebastiano Vigna's `splitmix64`: the same services on every machine.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// From 0 to 1.
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn between(&mut self, least: f64, most: f64) -> f64 {
        least + (most - least) * self.share()
    }

    /// As often between 10 and 100 as between 100 and 1,000.
    fn scale(&mut self, least: f64, most: f64) -> f64 {
        self.between(least.ln(), most.ln()).exp()
    }

    fn whole(&mut self, least: f64, most: f64) -> usize {
        self.scale(least, most) as usize
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.share()).ln()
    }
}

/// One task a tick. What it keeps is freed at a tick, or never.
struct Task {
    ended: f64,
    freed: f64,
    bytes: u64,
}

const NEVER: f64 = f64::INFINITY;
/// What each task allocates and frees beside what it keeps.
const PASSING_BYTES: u64 = 2_048;

/// A service: when what each of its tasks kept is freed, and at which tick it is looked at.
struct Service {
    tasks: Vec<Task>,
    now: f64,
}

impl Service {
    /// `freed`: when; `None`: the task kept nothing.
    fn of(dice: &mut Dice, freed: Vec<Option<f64>>) -> Self {
        let now = freed.len() as f64;
        let mean = if dice.share() < 0.5 { 0.1 } else { dice.between(0.2, 2.0) };
        let tasks = freed.into_iter().zip(0_u32..).map(|(freed, created)| Task {
            ended: f64::from(created) + dice.exponential(mean),
            freed: freed.unwrap_or(0.0),
            bytes: dice.whole(500.0, 2_000.0) as u64,
        });
        Self { tasks: tasks.collect(), now }
    }

    fn created(&self, now: f64) -> impl Iterator<Item = (f64, &Task)> {
        (0_u32..).map(f64::from).zip(&self.tasks).take_while(move |(created, _)| *created < now)
    }

    fn retained(&self, now: f64) -> impl Iterator<Item = (f64, &Task)> {
        self.created(now).filter(move |(_, task)| task.ended <= now && task.freed > now)
    }

    fn living(&self, now: f64) -> u64 {
        self.created(now).filter(|(_, task)| task.ended > now).map(|(_, task)| task.bytes).sum()
    }

    fn point(&self, now: f64) -> (u64, u64) {
        let retained: u64 = self.retained(now).map(|(_, task)| task.bytes).sum();
        let allocated = self.created(now).map(|(_, task)| task.bytes + PASSING_BYTES).sum();
        (retained + self.living(now), allocated)
    }

    fn site(&self) -> Value {
        let now = self.now;
        let mut by_eighth = [0_u64; 8];
        let (mut waves, mut free_from) = (0, -1.0);
        let mut retained: Vec<(f64, &Task)> = self.retained(now).collect();
        for (created, _) in &retained {
            by_eighth[(created * 8.0 / now) as usize] += 1;
        }
        let oldest = retained.iter().map(|(_, task)| task.ended).fold(now, f64::min);
        retained.sort_by(|(_, one), (_, other)| one.ended.total_cmp(&other.ended));
        for (created, task) in &retained {
            if *created > free_from {
                waves += 1;
                free_from = task.ended;
            }
        }
        let active = self.created(now).filter(|(_, task)| task.ended > now).count();
        let retained_bytes: u64 = retained.iter().map(|(_, task)| task.bytes).sum();
        let (live, allocated) = self.point(now);
        site(
            "service",
            &json!({
                "spawned": self.tasks.len(), "active": active, "completed": self.tasks.len() - active, "live_bytes": live,
                "allocated_bytes": allocated, "ended_allocated_bytes": allocated, "retained_bytes": retained_bytes,
                "retained_tasks": retained.len(), "retained_waves": waves, "retained_by_eighth": by_eighth,
                "oldest_retained_ns": ((now - oldest) * 1e6) as u64,
            }),
        )
    }

    /// Whether anything is found, with this many snapshots before.
    fn is_found(&self, samples: u32) -> bool {
        let points: Vec<(u64, u64)> = (1..=samples)
            .map(|sample| self.point(self.now * f64::from(sample) / f64::from(samples)))
            .collect();
        let trends = if samples == 1 { vec![] } else { vec![trend(None, "service", &points)] };
        let snapshot = snapshot(&json!({ "sites": [self.site()], "trends": trends }));
        !snapshot.leaks_with(&LeakOptions::new().least_retained(1)).is_empty()
    }
}

type Make = fn(&mut Dice) -> Vec<Option<f64>>;

fn leak(dice: &mut Dice, share: f64) -> Vec<Option<f64>> {
    let tasks = (dice.whole(24.0, 1_000.0) as f64 / share).min(6_000.0) as usize;
    (0..tasks).map(|_| (dice.share() < share).then_some(NEVER)).collect()
}

/// Requests for keys; the first for each leaves its value. `evict` says which entry goes when there are more than `capacity`.
fn cache(
    requests: usize,
    capacity: usize,
    mut key: impl FnMut() -> usize,
    refresh: bool,
) -> Vec<Option<f64>> {
    let mut freed = vec![None; requests];
    let mut entries: HashMap<usize, usize> = HashMap::new();
    let mut order: VecDeque<usize> = VecDeque::new();
    for request in 0..requests {
        let key = key();
        if entries.contains_key(&key) {
            if refresh && let Some(place) = order.iter().position(|&other| other == key) {
                order.remove(place);
                order.push_back(key);
            }
            continue;
        }
        freed[request] = Some(NEVER);
        entries.insert(key, request);
        order.push_back(key);
        if order.len() > capacity
            && let Some(entry) = order.pop_front().and_then(|key| entries.remove(&key))
        {
            freed[entry] = Some(request as f64);
        }
    }
    freed
}

/// The frequency of the n-th most common key is n to the power of minus `exponent`.
fn zipf(keys: usize, exponent: f64) -> Vec<f64> {
    let mut sum = 0.0;
    (1..=keys)
        .map(|key| {
            sum += (key as f64).powf(-exponent);
            sum
        })
        .collect()
}

fn pick(dice: &mut Dice, sums: &[f64]) -> usize {
    let place = dice.share() * sums.last().copied().unwrap_or(0.0);
    sums.partition_point(|&sum| sum < place)
}

const LEAKS: &[(&str, Make)] = &[
    ("every task leaks", |dice| leak(dice, 1.0)),
    ("1 in 2 leaks", |dice| leak(dice, 0.5)),
    ("1 in 10 leaks", |dice| leak(dice, 0.1)),
    ("1 in 50 leaks", |dice| leak(dice, 0.02)),
    ("a leak that drifts by 30 %", |dice| {
        let (tasks, drift) = (dice.whole(150.0, 4_000.0), dice.between(-0.3, 0.3));
        let share = |task: usize| 0.3 * (1.0 - drift + 2.0 * drift * task as f64 / tasks as f64);
        (0..tasks).map(|task| (dice.share() < share(task)).then_some(NEVER)).collect()
    }),
];

/// One snapshot does not tell these from what is healthy; several do.
const LATE: &[(&str, Make)] = &[("a leak since half time", |dice| {
    let (tasks, share) = (dice.whole(100.0, 4_000.0), dice.between(0.3, 1.0));
    let start = dice.between(0.4, 0.55) * tasks as f64;
    (0..tasks).map(|task| (task as f64 > start && dice.share() < share).then_some(NEVER)).collect()
})];

const HEALTHY: &[(&str, Make)] = &[
    ("a cache, filled", |dice| {
        let keys = dice.whole(16.0, 1_000.0);
        let requests = (keys as f64 * dice.scale(2.0, 10.0)) as usize;
        cache(requests, usize::MAX, || (dice.next() % keys as u64) as usize, false)
    }),
    ("a cache, filled twice over", |dice| {
        let keys = dice.whole(19.0, 2_000.0);
        cache(2 * keys, usize::MAX, || (dice.next() % keys as u64) as usize, false)
    }),
    ("a cache of Zipf keys", |dice| {
        let keys = zipf(dice.whole(20.0, 1_000.0), dice.between(0.6, 1.2));
        let requests = (keys.len() as f64 * dice.scale(2.0, 8.0)) as usize;
        cache(requests, usize::MAX, || pick(dice, &keys), false)
    }),
    ("an LRU cache", |dice| {
        let capacity = dice.whole(16.0, 150.0);
        let keys = (capacity as f64 * dice.scale(1.5, 20.0)) as usize;
        let requests = (capacity as f64 * dice.scale(5.0, 30.0)) as usize;
        cache(requests, capacity, || (dice.next() % keys as u64) as usize, true)
    }),
    ("an LRU cache of Zipf keys", |dice| {
        let capacity = dice.whole(16.0, 150.0);
        let keys = zipf((capacity as f64 * dice.scale(2.0, 20.0)) as usize, dice.between(0.6, 1.2));
        let requests = (capacity as f64 * dice.scale(8.0, 40.0)) as usize;
        cache(requests, capacity, || pick(dice, &keys), true)
    }),
    ("a queue of the last n", |dice| {
        let requests = dice.whole(50.0, 4_000.0);
        let capacity = (requests as f64 * dice.between(0.05, 0.8)) as usize;
        let mut next = 0;
        cache(
            requests,
            capacity.max(1),
            || {
                next += 1;
                next
            },
            false,
        )
    }),
    ("entries of one age (TTL)", |dice| {
        let tasks = dice.whole(50.0, 4_000.0);
        let age = tasks as f64 * dice.between(0.02, 0.8);
        let share = dice.between(0.2, 1.0);
        (0..tasks).map(|task| (dice.share() < share).then_some(task as f64 + age)).collect()
    }),
    ("sessions", |dice| {
        let tasks = dice.whole(50.0, 4_000.0);
        let (mean, share) = (tasks as f64 * dice.scale(0.02, 0.5), dice.between(0.2, 1.0));
        let end = |task: usize, dice: &mut Dice| task as f64 + dice.exponential(mean);
        (0..tasks).map(|task| (dice.share() < share).then(|| end(task, dice))).collect()
    }),
    ("a pool or a warm-up", |dice| {
        let tasks = dice.whole(50.0, 4_000.0);
        let kept = dice.whole(4.0, 200.0).min(tasks / 2);
        (0..tasks).map(|task| (task < kept).then_some(NEVER)).collect()
    }),
    ("a warm-up and recent ones", |dice| {
        let tasks = dice.whole(100.0, 4_000.0) as f64;
        let (first, last) = (tasks * dice.between(0.05, 0.3), tasks * dice.between(0.05, 0.3));
        let freed = |task: f64| if task < first { NEVER } else { task + last };
        (0..tasks as u32).map(|task| Some(freed(f64::from(task)))).collect()
    }),
    ("outputs that are used at once", |dice| {
        let tasks = dice.whole(50.0, 4_000.0);
        (0..tasks).map(|task| Some(task as f64 + dice.exponential(1.0))).collect()
    }),
];

/// Of so many services of each kind, in how many something is found.
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
        table += &format!("{name:32} {found:3} of {SERVICES}, {samples} snapshots\n");
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
