//! Which memory looks lost: findings, each with its evidence.

use serde::{Deserialize, Serialize};

/// What kind of leak a finding speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LeakKind {
    /// Blocks that outlived their tasks, again and again.
    Retained,
    /// A task that holds bytes and is not polled any more.
    Stuck,
    /// Live bytes that only rise.
    Growing,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth a look.
    Low,
    /// Will matter in a day.
    Medium,
    /// Will end the process.
    High,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Leak {
    /// What kind of leak.
    pub kind: LeakKind,
    /// How much it matters.
    pub severity: Severity,
}

/// What counts as a leak.
#[derive(Clone, Debug)]
pub struct LeakOptions {}

/// All findings of one snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Leaks {
    findings: Vec<Leak>,
}
