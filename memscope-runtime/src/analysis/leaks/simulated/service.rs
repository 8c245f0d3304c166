//! A service, task by task, and the row of its site.

use serde_json::{Value, json};

use super::rng::Dice;
use crate::analysis::{
    fixture::{site, snapshot, trend},
    leaks::LeakOptions,
};

/// A task; one is created each tick. What it keeps is freed at a tick, or never.
struct Task {
    ended: f64,
    freed: f64,
    bytes: u64,
}

pub(super) const NEVER: f64 = f64::INFINITY;
/// What each task allocates and frees beside what it keeps.
const PASSING_BYTES: u64 = 2_048;

/// A service: its tasks, and the tick at which it is looked at.
pub(super) struct Service {
    tasks: Vec<Task>,
    now: f64,
}

impl Service {
    /// `freed` says when what each task kept is freed; `None`: the task kept nothing.
    pub(super) fn of(dice: &mut Dice, freed: Vec<Option<f64>>) -> Self {
        let now = freed.len() as f64;
        let mean = dice.scale(0.1, 10.0);
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

    /// Whether anything is found in the last of this many snapshots.
    pub(super) fn is_found(&self, samples: u32) -> bool {
        let points: Vec<(u64, u64)> = (1..=samples)
            .map(|sample| self.point(self.now * f64::from(sample) / f64::from(samples)))
            .collect();
        let trends = if samples == 1 { vec![] } else { vec![trend(None, "service", &points)] };
        let snapshot = snapshot(&json!({ "sites": [self.site()], "trends": trends }));
        !snapshot.leaks_with(&LeakOptions::new().least_retained(1)).is_empty()
    }
}
