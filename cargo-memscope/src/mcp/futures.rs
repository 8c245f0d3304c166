//! The tool `futures`: which futures of a program are large, and what to change.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use memscope_runtime::__terminal::visible_path;
use serde_json::{Value, json};

use super::{
    answer::{Answer, Facts, Row, Rows},
    futures_kept::FuturesKept,
    quote::{Width, at, bytes, place, quoted, several, shown},
};
use crate::{
    error::Error,
    model::{Future, Futures, Origin, short_path},
};

const PATH_BYTES: usize = 200;

/// The futures of a program that were asked for.
#[derive(Debug)]
pub(super) struct Read {
    path: PathBuf,
    futures: Arc<Futures>,
    shown: Vec<usize>,
}

impl Read {
    /// Reads the futures. With `all`, also those of dependencies and of the standard library.
    pub(super) fn new(
        kept: &FuturesKept,
        path: &Path,
        filter: Option<&str>,
        all: bool,
    ) -> Result<Self, Error> {
        let futures = kept.read(path)?;
        let is_shown = |it: &Future| {
            (all || it.origin == Origin::Own)
                && filter.is_none_or(|text| it.name.contains(text) || it.path.contains(text))
        };
        let shown = futures.all.iter().enumerate().filter(|(_, it)| is_shown(it));
        let shown = shown.map(|(index, _)| index).collect();
        Ok(Self { path: path.to_owned(), futures, shown })
    }

    pub(super) fn build_id(&self) -> Option<&str> {
        self.futures.build_id.as_deref()
    }

    /// Answers with the futures, the largest first.
    pub(super) fn answer(&self) -> Answer<'_> {
        let path = visible_path(&self.path).to_string();
        let (all, shown_rows) = (self.futures.all.len(), self.shown.len());
        let mut lines = vec![format!(
            "{} of {all} in {}; sizes are those of this build, from its debug information. What is \
             alive across an await is an upper bound",
            several(shown_rows as u64, "future", "futures"),
            quoted(&path, PATH_BYTES),
        )];
        if all == 0 {
            lines.push(
                "it has no debug information about futures: build it with debug information \
                 (`CARGO_PROFILE_RELEASE_DEBUG=2`)"
                    .to_owned(),
            );
        }
        if all != 0 && shown_rows == 0 {
            lines.push(
                "none is of the program's own code, as far as its debug information tells (or none \
                 matches): `all`: true shows those of dependencies"
                    .to_owned(),
            );
        }
        if self.futures.missing_files != 0 {
            let missing = self.futures.missing_files;
            lines.push(format!(
                "{missing} files of debug information were not found: some are missing"
            ));
        }
        let mut facts = Facts::new();
        let program = json!({
            "path": shown(&path, PATH_BYTES),
            "build_id": self.futures.build_id.as_ref().map(|it| shown(it, 64)),
            "futures": all,
        });
        facts.insert("program".to_owned(), program);
        let rows =
            Rows::new(shown_rows, |index, width| row(&self.futures.all[self.shown[index]], width));
        Answer { lines, facts, rows }
    }
}

fn place_of(it: Option<&memscope_layout::Place>, width: Width) -> String {
    it.map_or_else(String::new, |it| place(&short_path(&it.file), Some(it.line), width.place()))
}

fn row(future: &Future, width: Width) -> Row {
    let declared = place_of(future.declared_at.as_ref(), width);
    let mut text = format!(
        "future {}{}: {}, {}",
        quoted(&future.name, width.name()),
        at(&declared),
        bytes(future.size),
        several(future.await_points as u64, "await", "awaits"),
    );
    let mut parts: Vec<Value> = Vec::new();
    if let Some(step) = future.why.first() {
        let waits = place_of(step.at.as_ref(), width);
        say!(text, "\n  in its largest state{}:", at(&waits));
        for part in step.parts.iter().take(3) {
            let declared = place_of(part.declared_at.as_ref(), width);
            let size = part.size.map_or_else(|| "size not known".to_owned(), bytes);
            say!(text, "\n    {size} {}{}", quoted(&part.name, width.place()), at(&declared));
            let (name, size) = (shown(&part.name, width.place()), part.size);
            parts.push(json!({ "name": name, "bytes": size, "at": declared }));
        }
    }
    let mut cures: Vec<Value> = Vec::new();
    for advice in future.advice.iter().take(2) {
        let place = place_of(advice.place.as_ref(), width);
        say!(
            text,
            "\n  cure{}: saves up to {}: {}",
            at(&place),
            bytes(advice.saves_up_to),
            quoted(&advice.text, width.sentence() / 2),
        );
        let words = shown(&advice.text, width.sentence() / 2);
        cures.push(json!({ "at": place, "saves_up_to": advice.saves_up_to, "text": words }));
    }
    if cures.is_empty() {
        text += "\n  no cure is known";
    }
    let data = json!({
        "row": "future",
        "name": shown(&future.name, width.name()),
        "at": declared,
        "bytes": future.size,
        "awaits": future.await_points,
        "largest_parts": parts,
        "cures": cures,
    });
    Row { text, data }
}
