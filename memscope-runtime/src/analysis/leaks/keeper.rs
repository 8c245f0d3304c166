//! What is known of what keeps the bytes of a finding: variables, stacks, frees, the heap's graph.

use super::{
    cause::{Clue, LeakCause},
    certainty::KnownBy,
    cure::Case,
    evidence::{Evidence, Freed},
    finding::Leak,
    holder::Held,
    wording::allocated_at,
};
use crate::model::{Place, TaskId};

/// All that leads to the cause and the cure of a finding.
#[derive(Debug, Default)]
pub(super) struct Keeper<'a> {
    pub(super) variables: Vec<String>,
    /// What the largest variable keeps its bytes in.
    pub(super) of_variable: LeakCause,
    pub(super) clue: Clue,
    pub(super) freed: Option<Freed<'a>>,
    pub(super) held: Option<Held>,
    /// A site with so many living tasks that they may hold the bytes.
    pub(super) living: Option<String>,
    /// Whether the tasks that allocated them have ended.
    pub(super) has_ended: bool,
}

impl<'a> Keeper<'a> {
    /// Of the bytes that so many ended tasks of a site have left.
    pub(super) fn of_ended(evidence: &Evidence<'a>, place: &Place, bytes: u64, tasks: u64) -> Self {
        let variables = evidence.variables_of_ended(place);
        Self {
            of_variable: Self::of_variable(evidence, &variables),
            variables,
            clue: evidence.clue_of(place).unwrap_or_default(),
            freed: evidence.freed_by(place, bytes),
            held: evidence.held(Some(&place.name), bytes),
            living: evidence.living(tasks),
            has_ended: true,
        }
    }

    /// Of the bytes of one task.
    pub(super) fn of_task(
        evidence: &Evidence<'a>,
        place: &Place,
        task: TaskId,
        bytes: u64,
    ) -> Self {
        let variables = evidence.variables_of(&[task]);
        let clue = evidence.clue_of_task(task).or_else(|| evidence.clue_of(place));
        Self {
            of_variable: Self::of_variable(evidence, &variables),
            variables,
            clue: clue.unwrap_or_default(),
            freed: evidence.freed_by(place, bytes),
            held: evidence.held(Some(&place.name), bytes),
            living: None,
            has_ended: false,
        }
    }

    fn of_variable(evidence: &Evidence<'_>, variables: &[String]) -> LeakCause {
        variables.first().map(|name| evidence.cause_of_variable(name)).unwrap_or_default()
    }

    /// Adds to a finding what keeps its bytes, and the cure. `usual`: the cure where nothing is
    /// known.
    pub(super) fn tell(self, leak: Leak, usual: impl FnOnce() -> String) -> Leak {
        let (cause, known_by) = self.cause();
        let variable = self.variables.first().map(String::as_str);
        let known = Case {
            cause,
            by: if known_by == KnownBy::Variable { "" } else { &self.clue.by },
            variable: variable.or_else(|| self.held.as_ref().and_then(Held::variable)),
            tasks: self.holding_tasks(),
            sends: self.clue.sends.as_deref(),
            living: self.living.as_deref(),
            freed: self.freed.as_ref(),
            has_ended: self.has_ended,
        };
        let fix = known.cure().unwrap_or_else(usual);
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

    /// The tasks that hold the bytes of ended ones. That a living task holds its own helps little.
    fn holding_tasks(&self) -> Option<&str> {
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
            (LeakCause::Unknown, _) if !self.variables.is_empty() => KnownBy::Variable,
            (LeakCause::Unknown, _) => KnownBy::Nothing,
            _ => KnownBy::Stacks(self.clue.cause_samples),
        };
        (cause, known_by)
    }
}
