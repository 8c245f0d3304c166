//! The state of the server between calls, and how it answers a call.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rmcp::model::{CallToolResult, JsonObject};
use serde_json::Value;

use super::{
    answer::{Answer, LEAST_BYTES, MOST_BYTES, USUAL_BYTES, Window},
    compare,
    cursor::{Cursor, question},
    futures,
    futures_kept::FuturesKept,
    growing, holders,
    kept::Kept,
    quote::quoted,
    source::{Source, Taken},
    stacks, subject, tools, verdict, waits,
};
use crate::{arguments::Mcp, error::Error};

const NAME_BYTES: usize = 80;
/// The most bytes of a name that a snapshot may be kept under.
const MOST_NAME: usize = 200;
/// How many comparisons can be continued by a cursor.
const MOST_PAIRS: usize = 4;

/// The source and its kept snapshots.
#[derive(Debug)]
pub(super) struct State {
    source: Source,
    kept: Mutex<Kept>,
    futures: FuturesKept,
    /// The earlier snapshots of the latest comparisons, each with the cursor's question and the
    /// number of the later snapshot.
    pairs: Mutex<Vec<(u32, u64, Arc<Taken>)>>,
}

/// One call: the arguments, and where its answer begins.
struct Call<'a> {
    arguments: &'a JsonObject,
    question: u32,
    cursor: Option<Cursor>,
    bytes: usize,
}

impl State {
    pub(super) fn new(options: &Mcp) -> Self {
        let source = Source::new(options);
        Self {
            source,
            kept: Mutex::default(),
            futures: FuturesKept::default(),
            pairs: Mutex::default(),
        }
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a new snapshot, to which `add` may add something, and keeps it.
    pub(super) fn take(
        &self,
        add: impl FnOnce(Taken) -> Result<Taken, Error>,
    ) -> Result<Arc<Taken>, Error> {
        let number = self.kept().next_number();
        let taken = Arc::new(add(self.source.take(number)?)?);
        self.kept().keep(&taken);
        Ok(taken)
    }

    /// Returns the snapshot of a cursor, or a new snapshot.
    fn snapshot(
        &self,
        call: &Call<'_>,
        add: impl FnOnce(Taken) -> Result<Taken, Error>,
    ) -> Result<Arc<Taken>, Error> {
        let Some(cursor) = call.cursor else { return self.take(add) };
        self.kept().numbered(cursor.snapshot).cloned().ok_or_else(|| {
            Error::new(format!(
                "snapshot {} of this `cursor` is not kept any more: leave `cursor` out to ask anew",
                cursor.snapshot
            ))
        })
    }

    /// Answers a call of a tool. Returns `None` if there is no such tool.
    pub(super) fn call(
        &self,
        tool: &str,
        arguments: &JsonObject,
    ) -> Option<Result<CallToolResult, Error>> {
        tools::names().contains(&tool).then(|| self.answer(tool, arguments))
    }

    fn answer(&self, tool: &str, arguments: &JsonObject) -> Result<CallToolResult, Error> {
        let call = Call::read(tool, arguments)?;
        match tool {
            "verdict" => self.verdict(&call),
            "largest_holders" => self.holders(&call),
            "why_growing" => self.growing(&call),
            "where_tasks_wait" => self.waits(&call),
            "stacks_of_site" => self.stacks(&call),
            "remember" => self.remember(&call),
            "compare" => self.compare(&call),
            _ => self.futures(&call),
        }
    }

    fn verdict(&self, call: &Call<'_>) -> Result<CallToolResult, Error> {
        let options: tools::Verdict = tools::read(call.arguments)?;
        let mut no_graph = None;
        let taken = self.snapshot(call, |taken| {
            if !options.holders || taken.snapshot.heap_graph().is_some() {
                return Ok(taken);
            }
            Ok(match self.source.graph() {
                Ok(graph) => taken.with_graph(graph),
                Err(error) => {
                    no_graph = Some(error.to_string());
                    taken
                }
            })
        })?;
        Ok(call.page(&taken, verdict::answer(&taken, no_graph.as_deref())))
    }

    fn holders(&self, call: &Call<'_>) -> Result<CallToolResult, Error> {
        let options: tools::Holders = tools::read(call.arguments)?;
        let needs_graph = options.by == holders::By::Roots;
        let taken = self.snapshot(call, |taken| {
            if !needs_graph || taken.snapshot.heap_graph().is_some() {
                return Ok(taken);
            }
            Ok(taken.with_graph(self.source.graph()?))
        })?;
        Ok(call.page(&taken, holders::answer(&taken, options.by)?))
    }

    fn growing(&self, call: &Call<'_>) -> Result<CallToolResult, Error> {
        let options: tools::Growing = tools::read(call.arguments)?;
        let taken = self.snapshot(call, Ok)?;
        let name = options.name.as_deref().unwrap_or_default();
        let subject = subject::find(&taken.snapshot, name, options.kind)?;
        Ok(call.page(&taken, growing::answer(&taken, &subject)))
    }

    fn waits(&self, call: &Call<'_>) -> Result<CallToolResult, Error> {
        let options: tools::Waits = tools::read(call.arguments)?;
        if options.of == waits::Of::AwaitPoints {
            let taken = self.snapshot(call, Ok)?;
            return Ok(call.page(&taken, waits::await_points(&taken)));
        }
        let taken = self.snapshot(call, |mut taken| {
            taken.dump = Some(self.source.dump()?);
            Ok(taken)
        })?;
        let least_ns = u64::from(options.idle_seconds) * 1_000_000_000;
        Ok(call.page(&taken, waits::hung_tasks(&taken, least_ns)?))
    }

    fn stacks(&self, call: &Call<'_>) -> Result<CallToolResult, Error> {
        let options: tools::Stacks = tools::read(call.arguments)?;
        let taken = self.snapshot(call, Ok)?;
        Ok(call.page(&taken, stacks::answer(&taken, &options.site, options.of)?))
    }

    fn remember(&self, call: &Call<'_>) -> Result<CallToolResult, Error> {
        let options: tools::Remember = tools::read(call.arguments)?;
        let name = options.name.trim();
        if name.is_empty()
            || name.len() > MOST_NAME
            || name == "first"
            || name.parse::<u64>().is_ok()
        {
            return Err(Error::new(format!(
                "{} is no name for a snapshot: take 1 to {MOST_NAME} bytes that are no number and \
                 not \"first\"",
                quoted(name, NAME_BYTES)
            )));
        }
        let taken = self.snapshot(call, Ok)?;
        let mut kept = self.kept();
        let forgotten = kept.keep_as(name, &taken);
        let shown = quoted(name, NAME_BYTES);
        let mut lines = verdict::memory_lines(&taken.snapshot);
        lines
            .push(format!("kept as {shown}: `compare` with then: {shown} says what changed since"));
        if !forgotten.is_empty() {
            let names: Vec<String> = forgotten.iter().map(|it| quoted(it, NAME_BYTES)).collect();
            let left = names.len().saturating_sub(4);
            let names: Vec<String> = names.into_iter().take(4).collect();
            let more = if left == 0 { String::new() } else { format!(" and {left} more") };
            lines.push(format!("forgotten for it: {}{more}", names.join(", ")));
        }
        let mut facts = super::answer::Facts::new();
        facts.insert("kept_as".to_owned(), super::quote::shown(name, NAME_BYTES).into());
        facts.insert("memory".to_owned(), verdict::memory(&taken.snapshot));
        drop(kept);
        let rows = super::answer::Rows::new(0, |_, _| unreachable!("there are no rows"));
        Ok(call.page(&taken, Answer { lines, facts, rows }))
    }

    fn compare(&self, call: &Call<'_>) -> Result<CallToolResult, Error> {
        let options: tools::Compare = tools::read(call.arguments)?;
        let name = options.then.as_deref().unwrap_or("first");
        let lock = || self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        let before = call.cursor.and_then(|cursor| {
            let is_it = |pair: &&(u32, u64, Arc<Taken>)| {
                (pair.0, pair.1) == (call.question, cursor.snapshot)
            };
            lock().iter().find(is_it).map(|pair| Arc::clone(&pair.2))
        });
        let then = match before {
            Some(then) => then,
            None if call.cursor.is_some() => {
                return Err(Error::new(
                    "this comparison is not kept any more: leave `cursor` out to ask anew",
                ));
            }
            None => self.then(name)?,
        };
        let now = self.snapshot(call, Ok)?;
        let mut pairs = lock();
        pairs.retain(|pair| (pair.0, pair.1) != (call.question, now.number));
        if pairs.len() >= MOST_PAIRS {
            pairs.remove(0);
        }
        pairs.push((call.question, now.number, Arc::clone(&then)));
        drop(pairs);
        Ok(call.page(&now, compare::answer(&now, &then)?))
    }

    /// Returns the earlier snapshot of a comparison: one that is kept, or a file.
    fn then(&self, name: &str) -> Result<Arc<Taken>, Error> {
        let found = self.kept().find(name).cloned();
        if let Some(found) = found {
            return Ok(found);
        }
        if name == "first" {
            // This snapshot becomes the first one, and later snapshots can be compared with it.
            self.take(Ok)?;
            return Err(Error::new(
                "this was the first snapshot that this server took, so there is nothing to compare \
                 with yet: call `compare` again later, or name a saved report",
            ));
        }
        let path = Path::new(name);
        if !path.exists() {
            return Err(self.kept().unknown(name));
        }
        let number = self.kept().next_number();
        self.source.file(path, number).map(Arc::new)
    }

    fn futures(&self, call: &Call<'_>) -> Result<CallToolResult, Error> {
        let options: tools::Futures = tools::read(call.arguments)?;
        let path = match (&options.program, self.source.program()) {
            (Some(path), _) => PathBuf::from(path),
            (None, Some(path)) => path.to_owned(),
            (None, None) => self.program_of_snapshot()?,
        };
        let read =
            futures::Read::new(&self.futures, &path, options.filter.as_deref(), options.all)?;
        let build = read.build();
        if call.cursor.is_some_and(|cursor| cursor.snapshot != build) {
            return Err(Error::new(
                "the program is another build than that of this `cursor`: leave it out to ask anew",
            ));
        }
        Ok(call.page_of(build, read.answer()))
    }

    /// Returns the program that the snapshot names, if its file is on this machine.
    fn program_of_snapshot(&self) -> Result<PathBuf, Error> {
        let taken = self.take(Ok)?;
        let path = taken.snapshot.program().map(|it| it.path.clone()).ok_or_else(|| {
            Error::new("the snapshot does not name its program: give its path as `program`")
        })?;
        let path = path.strip_suffix(" (deleted)").unwrap_or(&path);
        if Path::new(path).exists() {
            return Ok(PathBuf::from(path));
        }
        Err(Error::new(format!(
            "the program {} is not on this machine: give its path here as `program`",
            quoted(path, NAME_BYTES)
        )))
    }
}

impl<'a> Call<'a> {
    fn read(tool: &str, arguments: &'a JsonObject) -> Result<Self, Error> {
        let question = question(tool, arguments);
        let cursor = match arguments.get("cursor") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(Cursor::read(text, question)?),
            Some(_) => return Err(Error::new("`cursor` is a text: `next_cursor` of an answer")),
        };
        let bytes = match arguments.get("max_bytes") {
            None | Some(Value::Null) => USUAL_BYTES,
            Some(value) => value
                .as_u64()
                .and_then(|it| usize::try_from(it).ok())
                .filter(|it| (LEAST_BYTES..=MOST_BYTES).contains(it))
                .ok_or_else(|| {
                    Error::new(format!(
                        "`max_bytes` is a number from {LEAST_BYTES} to {MOST_BYTES}, such as 20000"
                    ))
                })?,
        };
        Ok(Self { arguments, question, cursor, bytes })
    }

    /// Returns the page of an answer about a snapshot, with the line about this snapshot.
    fn page(&self, taken: &Taken, mut answer: Answer<'_>) -> CallToolResult {
        answer.lines.insert(0, taken.line(self.cursor.is_none()));
        answer.facts.insert("snapshot".to_owned(), taken.data());
        self.page_of(taken.number, answer)
    }

    fn page_of(&self, number: u64, answer: Answer<'_>) -> CallToolResult {
        let window = Window { from: self.cursor.map_or(0, |cursor| cursor.row), bytes: self.bytes };
        answer.page(window, |row| Cursor::new(number, row, self.question).to_string())
    }
}

impl futures::Read {
    /// Returns a number for this build of the program.
    fn build(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.build_id().hash(&mut hasher);
        // The number is short, as it is a part of cursors.
        hasher.finish() >> 40
    }
}
