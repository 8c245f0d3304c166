//! What is known of what keeps the bytes of a finding: variables, stacks, frees, the heap's graph.

use super::{
    cause::{Clue, LeakCause},
    certainty::KnownBy,
    cure::Case,
    evidence::{Evidence, Freed},
    finding::Leak,
    growth::Suspect,
    holder::Held,
    pile::LEAST_PILED,
    wording::allocated_at,
};
use crate::model::{Place, TaskId};

/// All that leads to the cause and the cure of a finding.
#[derive(Debug, Default)]
pub(super) struct Keeper<'a> {
    pub(super) variables: Vec<String>,
    /// The largest variable, if it has enough of the bytes.
    pub(super) largest: Option<String>,
    /// What it keeps them in.
    pub(super) of_variable: LeakCause,
    pub(super) clue: Clue,
    pub(super) freed: Option<Freed<'a>>,
    pub(super) held: Option<Held>,
    /// A site with enough living tasks to hold the bytes.
    pub(super) living: Option<String>,
    /// Whether the tasks that allocated them have ended.
    pub(super) has_ended: bool,
    /// Whether no task allocated them, or tasks of several sites share them.
    pub(super) is_outside: bool,
}

impl<'a> Keeper<'a> {
    /// Of the bytes that this many ended tasks of a site have left.
    pub(super) fn of_ended(
        evidence: &Evidence<'a>,
        place: &Place,
        of: &Suspect,
        tasks: u64,
    ) -> Self {
        let clue = evidence.clue_of(place, of.since_ns).unwrap_or_default();
        Self {
            clue: if tasks < LEAST_PILED { clue } else { clue.without_small_tables() },
            freed: evidence.freed_by(place, of.bytes),
            held: evidence.held(Some(&place.name), of),
            living: evidence.living(tasks),
            has_ended: true,
            ..Self::of_variables(evidence, evidence.variables_of_ended(place), of)
        }
    }

    /// Of the bytes of some tasks of a site.
    pub(super) fn of_tasks(
        evidence: &Evidence<'a>,
        place: &Place,
        tasks: &[TaskId],
        of: &Suspect,
    ) -> Self {
        // Few samples are of blocks that one task had alone.
        let own = evidence.clue_of_tasks(tasks, of.since_ns);
        let has_half = |clue: &Clue| clue.all_bytes >= of.rise() / 2;
        let of_site = || evidence.clue_of(place, of.since_ns);
        let clue = own.clone().filter(has_half).or_else(of_site).or(own);
        let clue = clue.unwrap_or_default();
        Self {
            clue: if tasks.len() > 1 { clue } else { clue.without_small_tables() },
            freed: evidence.freed_by(place, of.bytes),
            held: evidence.held(Some(&place.name), of),
            ..Self::of_variables(evidence, evidence.variables_of(tasks), of)
        }
    }

    fn of_variables(evidence: &Evidence<'_>, variables: Vec<(String, u64)>, of: &Suspect) -> Self {
        // What was there before the growth may be in any of them.
        let has_grown = |bytes: u64| of.since_ns.is_none() || bytes >= of.most();
        let largest = variables.first().filter(|(_, bytes)| has_grown(*bytes));
        let largest = largest.map(|(name, _)| name.clone());
        let of_variable = largest.as_deref().map(|name| evidence.cause_of_variable(name));
        Self {
            variables: variables.into_iter().map(|(name, _)| name).collect(),
            largest,
            of_variable: of_variable.unwrap_or_default(),
            ..Self::default()
        }
    }

    /// Adds to a finding what keeps its bytes, and the cure. `usual`: the cure where nothing is
    /// known.
    pub(super) fn tell(self, leak: Leak, usual: impl FnOnce() -> String) -> Leak {
        let (cause, known_by) = self.cause();
        let variable = self.largest.as_deref();
        // What a static holds does not end with the task that has allocated it.
        let of_program = self.held.as_ref().and_then(Held::variable);
        let known = Case {
            cause,
            by: if known_by == KnownBy::Variable { "" } else { &self.clue.by },
            variable: variable.or(of_program),
            tasks: self.holding_tasks(),
            sends: self.clue.sends.as_deref(),
            living: self.living.as_deref(),
            freed: self.freed.as_ref(),
            has_ended: self.has_ended,
            is_outside: self.is_outside || of_program.is_some() && !self.has_ended,
        };
        let fix = known.cure().or_else(|| self.cure_beside()).unwrap_or_else(usual);
        let mut evidence = leak.evidence;
        let freed = self.freed.as_ref().map(Freed::sentence);
        for sentence in freed.into_iter().chain(self.held.as_ref().map(Held::sentence)) {
            evidence.push(' ');
            evidence.push_str(&sentence);
        }
        Leak {
            cause,
            known_by,
            fix,
            evidence,
            allocated_at: allocated_at(&self.clue),
            held_by: self.held.as_ref().map(Held::words),
            variables: self.variables,
            ..leak
        }
    }

    /// The cure if the bytes are in the collection that the code which allocates them adds to.
    fn cure_beside(&self) -> Option<String> {
        let (cause, by, function) = self.clue.beside.as_ref()?;
        let (cause, has_ended, is_outside) = (*cause, self.has_ended, self.is_outside);
        let cure = Case { cause, by, has_ended, is_outside, ..Case::default() }.cure()?;
        let lost = if has_ended { ", and for `mem::forget` and `Box::leak`" } else { "" };
        Some(format!(
            "if they are in what {function} adds to: {cure}; else look for a channel whose consumer is too slow, for `Arc`s that hold each other{lost}"
        ))
    }

    /// The tasks that hold the bytes of ended ones. That a living task holds its own helps little.
    fn holding_tasks(&self) -> Option<(&str, u64)> {
        self.held.as_ref().and_then(Held::tasks).filter(|_| self.has_ended)
    }

    fn cause(&self) -> (LeakCause, KnownBy) {
        match &self.held {
            Some(Held::Nothing { is_in_cycles: true, .. }) => {
                return (LeakCause::Cycle, KnownBy::HeapGraph);
            }
            Some(Held::Nothing { .. }) => return (LeakCause::Lost, KnownBy::HeapGraph),
            _ => {}
        }
        let has_variable = self.of_variable != LeakCause::Unknown;
        let cause = if has_variable { self.of_variable } else { self.clue.cause };
        if let Some(freed) = &self.freed {
            let is_queue = cause != LeakCause::Map && freed.is_alive;
            return (if is_queue { LeakCause::Queue } else { cause }, KnownBy::Frees);
        }
        let known_by = match (cause, &self.held) {
            _ if has_variable => KnownBy::Variable,
            (_, Some(held)) if held.variable().is_some() || self.holding_tasks().is_some() => {
                KnownBy::HeapGraph
            }
            (LeakCause::Unknown, _) if self.largest.is_some() => KnownBy::Variable,
            (LeakCause::Unknown, _) => KnownBy::Nothing,
            _ => KnownBy::Stacks(self.clue.cause_samples),
        };
        (cause, known_by)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::analysis::{
        fixture::{hand_over, place, site, snapshot, task, trend, variable},
        leaks::LeakKind,
    };

    /// The finding of 20 MiB that 1,200 tasks of `handler` have left.
    fn retained(mut parts: Value, others: &[Value]) -> Leak {
        let handler = json!({
            "spawned": 1200, "completed": 1200, "live_bytes": 20 << 20, "retained_bytes": 20 << 20,
            "ended_allocated_bytes": 40 << 20, "retained_tasks": 1200, "retained_waves": 300,
            "retained_by_eighth": [150, 150, 150, 150, 150, 150, 150, 150],
        });
        let mut sites = vec![site("handler", &handler)];
        sites.extend_from_slice(others);
        parts["sites"] = json!(sites);
        let leaks = snapshot(&parts).leaks();
        let [leak] = leaks.findings() else { panic!("{leaks}") };
        assert_eq!((leak.kind, &*leak.place.name), (LeakKind::Retained, "handler"));
        leak.clone()
    }

    fn freed(by: &[(&str, u64)]) -> Leak {
        let rows: Vec<Value> = by
            .iter()
            .map(|(name, kib)| hand_over(Some("handler"), Some(name), 90, kib << 10))
            .collect();
        retained(json!({ "hand_overs": rows }), &[])
    }

    #[test]
    fn a_site_is_named_as_the_freer_for_a_fair_share_and_if_it_has_a_name() {
        let fair = freed(&[("evict", 8 << 10), ("other", 2 << 10)]);
        assert!(fair.fix.contains("`evict` also frees"), "{fair}");
        assert_eq!(fair.known_by, KnownBy::Frees);
        // A map of the next task's, which moves to twice its room.
        let moved = hand_over(Some("handler"), Some("evict"), 20, 8 << 20);
        let moved = retained(json!({ "hand_overs": [moved] }), &[]);
        assert_eq!(moved.known_by, KnownBy::Nothing, "{moved}");
        let unfair: [&[(&str, u64)]; 3] = [
            // Less than half of what others freed; less than an eighth of what is left.
            &[("evict", 4_000), ("one", 3_500), ("other", 3_500)],
            &[("evict", 2_000)],
            // Tasks that had no name yet are of any site, this one too.
            &[("(unannotated)", 8 << 10)],
        ];
        for by in unfair {
            let leak = freed(by);
            assert_eq!(leak.known_by, KnownBy::Nothing, "{leak}");
            let text = leak.to_string();
            assert!(!text.contains("evict") && !text.contains("(unannotated)"), "{text}");
            assert!(leak.fix.starts_with("if a shared collection"), "{text}");
        }
    }

    #[test]
    fn what_evicts_from_a_map_is_no_consumer_of_a_queue() {
        let parts = |type_name: &str| {
            let of = json!({ "task_site": place("handler"), "type_name": type_name });
            json!({
                "tasks": [task(3, "handler", &json!({ "state": "completed" }))],
                "variables": [variable("pages", 3, &of)],
                "hand_overs": [hand_over(Some("handler"), Some("evict"), 90, 8 << 20)],
            })
        };
        let evict = [site("evict", &json!({ "active": 1 }))];
        let map = retained(parts("std::collections::HashMap<u32, Page>"), &evict);
        assert_eq!((map.cause, map.known_by), (LeakCause::Map, KnownBy::Frees), "{map}");
        assert!(map.fix.contains("`evict` also frees"), "{map}");
        let list = retained(parts("alloc::vec::Vec<Page>"), &evict);
        assert_eq!(list.cause, LeakCause::Queue, "{list}");
        assert!(list.fix.contains("make `evict` faster"), "{list}");
    }

    #[test]
    fn living_tasks_may_hold_it_if_they_are_about_as_many() {
        let of = |active: u64| {
            let jobs = json!({ "spawned": active, "completed": 0, "active": active });
            retained(json!({}), &[site("job", &jobs)]).fix
        };
        assert!(of(1_200).starts_with("if living tasks of `job` hold them"), "{}", of(1_200));
        for few_or_many in [800, 1_600] {
            assert!(of(few_or_many).starts_with("if a shared collection"), "{few_or_many}");
        }
    }

    #[test]
    fn two_samples_of_a_send_make_a_channel_probable() {
        let of = |samples: u64| {
            let stack = |functions: [&str; 2], bytes: u64, samples: u64| {
                let frames = functions.map(|function| json!({ "function": function }));
                json!({ "frames": frames, "site": 0, "live_bytes": bytes, "live_samples": samples })
            };
            let stacks = [
                stack(["alloc::vec::from_elem", "app::page"], 18 << 20, 9),
                stack(["flume::Shared<T>::send", "app::publish"], 1 << 20, samples),
            ];
            retained(json!({ "stacks": stacks, "stack_interval_bytes": 2 << 20 }), &[])
        };
        let two = of(2);
        assert!(two.fix.starts_with("if they wait in the channel that"), "{two}");
        assert_eq!(two.cause, LeakCause::Unknown, "most of the bytes are something else");
        assert!(!of(1).fix.contains("the channel that"), "{}", of(1));
    }

    #[test]
    fn that_a_task_holds_its_own_bytes_does_not_change_the_cure() {
        let graph = |name: &str| {
            let step = json!({ "blocks": 9, "own_bytes": 512_000, "retained_bytes": 512_000, "site": "s" });
            let root = json!({ "name": name, "kind": "task", "retained_bytes": 512_000, "largest": [step] });
            json!({ "pause_ns": 1, "taken_ns": 1, "blocks": 9, "bytes": 512_000, "roots": [root], "unreachable": [] })
        };
        let points: Vec<(u64, u64)> =
            (0..=5).map(|step| (step * 102_400, step * 102_400)).collect();
        let row = task(1, "s", &json!({ "live_bytes": 512_000, "peak_bytes": 512_000 }));
        let parts = json!({ "tasks": [row], "trends": [trend(Some(1), "s", &points)], "heap_graph": graph("s") });
        let leaks = snapshot(&parts).leaks();
        let [leak] = leaks.findings() else { panic!("{leaks}") };
        assert_eq!(leak.held_by.as_deref(), Some("1 task of `s`"));
        assert!(leak.fix.starts_with("bound the channel, buffer or map"), "{leak}");
        assert_eq!(leak.known_by, KnownBy::Nothing);
        let graph = json!({ "heap_graph": graph("keeper") });
        let mut of_ended = graph;
        of_ended["heap_graph"]["roots"][0]["retained_bytes"] = json!(20 << 20);
        of_ended["heap_graph"]["roots"][0]["largest"][0]["retained_bytes"] = json!(20 << 20);
        of_ended["heap_graph"]["roots"][0]["largest"][0]["site"] = json!("handler");
        let mut of_three = of_ended.clone();
        let leak = retained(of_ended, &[]);
        let cure = "bound the list, map or queue in the task of `keeper` that holds them";
        assert!(leak.fix.starts_with(cure), "{leak}");
        let mut third = of_three["heap_graph"]["roots"][0].clone();
        third["retained_bytes"] = json!(7 << 20);
        third["largest"][0]["retained_bytes"] = json!(7 << 20);
        of_three["heap_graph"]["roots"] = json!([third.clone(), third.clone(), third]);
        let leak = retained(of_three, &[]);
        assert!(leak.fix.starts_with("end each task of `keeper`"), "{leak}");
    }
}
