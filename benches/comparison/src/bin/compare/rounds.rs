//! Runs every contender in turn, one process for each case, and keeps what they say.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use comparison_loops::{Case, Kind, Measurement};

use crate::contender::{self, Inner};

/// Rounds for what hardly varies: memory.
const ROUNDS_OF_MEMORY: usize = 3;
const LONGEST: Duration = Duration::from_secs(90);

/// What is measured: the index in the list of contenders, the allocator, the case.
pub(crate) type Key = (usize, Inner, Case);

/// What one contender said in one case.
#[derive(Debug, Default)]
pub(crate) struct Series {
    pub(crate) runs: Vec<Run>,
    /// Why there are no more.
    pub(crate) failure: Option<String>,
}

/// One process.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) round: usize,
    pub(crate) figure: Measurement,
    /// How many times as much as the bare program, which ran right before; `None` of the bare
    /// program itself.
    pub(crate) ratio: Option<f64>,
}

/// All that was said.
pub(crate) type Results = BTreeMap<Key, Series>;

/// What was chosen of each kind of name; all where nothing was.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    contenders: Vec<&'static str>,
    cases: Vec<Case>,
    inners: Vec<Inner>,
}

impl Choice {
    /// Adds what has this name; `false`: nothing has.
    pub(crate) fn add(&mut self, word: &str) -> bool {
        let contender = contender::ALL.iter().find(|contender| contender.name == word);
        let inner = Inner::ALL.into_iter().find(|inner| inner.word() == word);
        let case = Case::named(word);
        self.contenders.extend(contender.map(|contender| contender.name));
        self.cases.extend(case);
        self.inners.extend(inner);
        contender.is_some() || inner.is_some() || case.is_some()
    }

    /// Every combination that is measured; the bare program always is.
    pub(crate) fn keys(&self) -> Vec<Key> {
        fn has<T: PartialEq>(chosen: &[T], one: &T) -> bool {
            chosen.is_empty() || chosen.contains(one)
        }
        let mut keys = Vec::new();
        for case in Case::ALL {
            for inner in Inner::ALL {
                keys.extend((0..contender::ALL.len()).map(|index| (index, inner, case)));
            }
        }
        keys.retain(|&(index, inner, case)| {
            let contender = &contender::ALL[index];
            contender.is_in(case, inner)
                && (index == 0 || has(&self.contenders, &contender.name))
                && has(&self.cases, &case)
                && has(&self.inners, &inner)
        });
        keys
    }
}

/// Builds whatever the keys need.
pub(crate) fn build(keys: &[Key]) -> BTreeMap<(usize, Inner), PathBuf> {
    let needed: BTreeSet<(usize, Inner)> =
        keys.iter().map(|&(index, inner, _)| (index, inner)).collect();
    let mut programs = BTreeMap::new();
    for (index, inner) in needed {
        let contender = &contender::ALL[index];
        match contender.build(inner).make() {
            Ok(program) => {
                programs.insert((index, inner), program);
            }
            Err(error) => eprintln!("{} is left out: {error}", contender.name),
        }
    }
    programs
}

/// In each round every contender runs each case, and the bare program runs it right before, so that
/// both find the machine in the same state. Another contender begins in each round.
pub(crate) fn run(
    keys: &[Key],
    programs: &BTreeMap<(usize, Inner), PathBuf>,
    rounds: usize,
    is_quick: bool,
) -> Results {
    let mut results = Results::new();
    let mut cases: Vec<&[Key]> = keys.chunk_by(|a, b| (a.1, a.2) == (b.1, b.2)).collect();
    for round in 0..rounds {
        let start = Instant::now();
        if round == ROUNDS_OF_MEMORY {
            cases.retain(|keys| !matches!(keys[0].2.kind(), Kind::Blocks | Kind::Tasks));
        }
        for keys in &cases {
            let Some((&bare, others)) = keys.split_first() else { continue };
            let mut measure = |key: Key, before: Option<f64>| {
                let program = programs.get(&(key.0, key.1))?;
                let series = results.entry(key).or_default();
                if series.failure.is_some() {
                    return None;
                }
                match ask(program, contender::ALL[key.0].variant, key.2, is_quick) {
                    Ok(figure) => {
                        let figure = figure?;
                        let value = figure.value;
                        let ratio = before.map(|before| value / before);
                        series.runs.push(Run { round, figure, ratio });
                        Some(value)
                    }
                    Err(error) => {
                        series.failure = Some(error.to_string());
                        None
                    }
                }
            };
            if others.is_empty() {
                measure(bare, None);
            }
            for turn in 0..others.len() {
                let before = measure(bare, None);
                measure(others[(turn + round) % others.len()], before);
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        eprintln!("round {} of {rounds} took {seconds:.0} s", round + 1);
    }
    results
}

/// Runs a contender's program. `None`: the case says nothing about it.
fn ask(
    program: &Path,
    variant: &str,
    case: Case,
    is_quick: bool,
) -> io::Result<Option<Measurement>> {
    let mut command = Command::new(program);
    command.args([variant, &case.name()]).args(is_quick.then_some("--quick"));
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if start.elapsed() > LONGEST {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::other(format!("stopped after {} s", LONGEST.as_secs())));
        }
        sleep(Duration::from_millis(2));
    };
    let mut text = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_string(&mut text)?;
    }
    if !status.success() {
        return Err(io::Error::other(format!("ended with {status}")));
    }
    // Some print lines of their own.
    Ok(text.lines().find_map(|line| serde_json::from_str(line).ok()))
}
