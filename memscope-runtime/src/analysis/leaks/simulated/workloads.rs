//! What services do with memory: services that leak, and services that only seem to.

use std::collections::{HashMap, VecDeque};

use super::{rng::Dice, service::NEVER};

/// Returns when what each task kept is freed; `None`: the task kept nothing.
pub(super) type Make = fn(&mut Dice) -> Vec<Option<f64>>;

fn leak(dice: &mut Dice, share: f64) -> Vec<Option<f64>> {
    let tasks = (dice.whole(24.0, 1_000.0) as f64 / share).min(6_000.0) as usize;
    (0..tasks).map(|_| (dice.share() < share).then_some(NEVER)).collect()
}

/// Requests for keys; the first request for a key leaves its value. If there are more than
/// `capacity` entries, the oldest goes; with `refresh`, the one that was used the longest ago.
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

/// The running sums of Zipf frequencies: the n-th most common key has n to the power of minus
/// `exponent`.
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

pub(super) const LEAKS: &[(&str, Make)] = &[
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
pub(super) const LATE: &[(&str, Make)] = &[("a leak since half time", |dice| {
    let (tasks, share) = (dice.whole(100.0, 4_000.0), dice.between(0.3, 1.0));
    let start = dice.between(0.4, 0.55) * tasks as f64;
    (0..tasks).map(|task| (task as f64 > start && dice.share() < share).then_some(NEVER)).collect()
})];

pub(super) const HEALTHY: &[(&str, Make)] = &[
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
