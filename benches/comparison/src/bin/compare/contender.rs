//! The tools that are compared.

use comparison::build::{Build, locked_version};
use comparison_loops::{Case, Kind};

/// The allocator that is wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Inner {
    Glibc,
    Jemalloc,
    Mimalloc,
}

impl Inner {
    pub(crate) const ALL: [Self; 3] = [Self::Glibc, Self::Jemalloc, Self::Mimalloc];

    /// As a feature of the contender's package.
    const fn feature(self) -> &'static str {
        match self {
            Self::Glibc => "",
            Self::Jemalloc => "jemalloc",
            Self::Mimalloc => "mimalloc",
        }
    }

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Glibc => "the system's allocator",
            Self::Jemalloc => "jemalloc",
            Self::Mimalloc => "mimalloc",
        }
    }

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Glibc => "glibc",
            Self::Jemalloc => "jemalloc",
            Self::Mimalloc => "mimalloc",
        }
    }
}

/// A row of the tables it is in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Contender {
    /// As it is chosen by `--only`, and the first part of the row's head.
    pub(crate) name: &'static str,
    /// How it is used, where that can be chosen: the second part of the row's head, and the
    /// program's first word.
    pub(crate) variant: &'static str,
    package: &'static str,
    /// The crate, and how its version starts where there are two in the lock.
    version_of: Option<(&'static str, &'static str)>,
    /// What it knows of memory.
    pub(crate) knows: &'static str,
    /// What it knows of tasks.
    pub(crate) sees: &'static str,
    is_unstable: bool,
    can_wrap: bool,
    tables: &'static [Kind],
}

const ALLOCATES: &[Kind] = &[Kind::Allocation, Kind::Blocks, Kind::Tasks];
const TASKS: &[Kind] = &[Kind::Task, Kind::Tasks];
const EVERYTHING: &[Kind] = &[Kind::Allocation, Kind::Task, Kind::Blocks, Kind::Tasks];

const RIVAL: Contender = Contender {
    name: "",
    variant: "",
    package: "",
    version_of: None,
    knows: "nothing",
    sees: "nothing",
    is_unstable: false,
    can_wrap: false,
    tables: &[],
};

const MEMSCOPE: Contender = Contender {
    name: "memscope",
    package: "contender-memscope",
    knows: "live bytes of each task",
    sees: "polls, times, memory",
    can_wrap: true,
    ..RIVAL
};

/// All, in the order of the rows. The first is what the others are compared with.
pub(crate) const ALL: [Contender; 18] = [
    Contender {
        name: "bare",
        package: "contender-bare",
        can_wrap: true,
        tables: EVERYTHING,
        ..RIVAL
    },
    Contender { variant: "tracked", tables: EVERYTHING, ..MEMSCOPE },
    Contender { variant: "timing-off", sees: "polls, memory", tables: &[Kind::Task], ..MEMSCOPE },
    Contender { variant: "timing-all", tables: &[Kind::Task], ..MEMSCOPE },
    Contender {
        variant: "unannotated",
        sees: "memory",
        tables: &[Kind::Allocation, Kind::Task, Kind::Tasks],
        ..MEMSCOPE
    },
    Contender {
        name: "memscope",
        variant: "disabled",
        package: "contender-memscope-disabled",
        tables: EVERYTHING,
        ..RIVAL
    },
    Contender {
        name: "divan",
        package: "contender-divan",
        version_of: Some(("divan", "")),
        knows: "totals of each thread",
        can_wrap: true,
        tables: ALLOCATES,
        ..RIVAL
    },
    Contender {
        name: "hotpath-alloc",
        package: "contender-hotpath-alloc",
        version_of: Some(("hotpath", "")),
        knows: "allocated, of each block of code and future",
        sees: "polls, times, allocated",
        can_wrap: true,
        tables: EVERYTHING,
        ..RIVAL
    },
    Contender {
        name: "tracking-allocator",
        package: "contender-tracking-allocator",
        version_of: Some(("tracking-allocator", "")),
        knows: "live bytes of each group",
        sees: "memory, by span",
        can_wrap: true,
        tables: EVERYTHING,
        ..RIVAL
    },
    Contender {
        name: "stats_alloc",
        package: "contender-stats-alloc",
        version_of: Some(("stats_alloc", "")),
        knows: "totals of the process",
        tables: ALLOCATES,
        ..RIVAL
    },
    Contender {
        name: "memscope-rs 0.2",
        package: "contender-memscope-old",
        version_of: Some(("memscope-rs", "0.2")),
        knows: "a list of events",
        sees: "start and end",
        tables: EVERYTHING,
        ..RIVAL
    },
    Contender {
        name: "dhat",
        package: "contender-dhat",
        version_of: Some(("dhat", "")),
        knows: "live bytes of each call stack",
        tables: ALLOCATES,
        ..RIVAL
    },
    Contender {
        name: "async-backtrace",
        package: "contender-async-backtrace",
        version_of: Some(("async-backtrace", "")),
        sees: "where tasks wait",
        tables: TASKS,
        ..RIVAL
    },
    Contender {
        name: "await-tree",
        package: "contender-await-tree",
        version_of: Some(("await-tree", "")),
        sees: "where tasks wait, since when",
        tables: TASKS,
        ..RIVAL
    },
    Contender {
        name: "hotpath",
        package: "contender-hotpath",
        version_of: Some(("hotpath", "")),
        sees: "polls, times",
        tables: TASKS,
        ..RIVAL
    },
    Contender {
        name: "tokio-metrics",
        package: "contender-tokio-metrics",
        version_of: Some(("tokio-metrics", "")),
        sees: "polls, times, in one sum",
        tables: TASKS,
        ..RIVAL
    },
    Contender {
        name: "fastrace",
        package: "contender-fastrace",
        version_of: Some(("fastrace", "")),
        sees: "a span for each poll",
        tables: TASKS,
        ..RIVAL
    },
    Contender {
        name: "console-subscriber",
        package: "contender-console",
        version_of: Some(("console-subscriber", "")),
        sees: "polls, times, wakes",
        is_unstable: true,
        tables: TASKS,
        ..RIVAL
    },
];

impl Contender {
    /// Whether it takes part. Around tasks everybody is measured over the system's allocator.
    pub(crate) fn is_in(&self, case: Case, inner: Inner) -> bool {
        let is_about_blocks = matches!(case.kind(), Kind::Allocation | Kind::Blocks);
        let over = inner == Inner::Glibc || (self.can_wrap && is_about_blocks);
        over && self.tables.contains(&case.kind())
    }

    pub(crate) fn build(&self, inner: Inner) -> Build {
        Build { package: self.package, features: inner.feature(), is_unstable: self.is_unstable }
    }

    /// The head of its row.
    pub(crate) fn title(&self) -> String {
        let version = self.version_of.map(|(name, start)| locked_version(name, start));
        match (self.name, self.variant, version) {
            ("memscope-rs 0.2", _, Some(version)) => format!("memscope-rs {version}"),
            ("bare", ..) => "**nothing**".to_owned(),
            (name, _, Some(version)) => format!("{name} {version}"),
            (name, "", None) => name.to_owned(),
            (name, variant, None) => format!("**{name}**, {}", variant.replace('-', " ")),
        }
    }
}
