//! The tool `stacks_of_site`: the code that allocates the bytes of a site's tasks.

use std::cmp::Reverse;

use memscope_runtime::async_memory::StackProfile;
use rmcp::schemars::JsonSchema;
use serde::Deserialize;

use super::{
    answer::{Answer, Facts, Rows},
    holders,
    quote::{Width, several},
    source::Taken,
    stack,
    subject::{Kind, Subject, find},
};
use crate::error::Error;

/// Which bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(crate = "rmcp::schemars")]
pub(super) enum Of {
    /// Those that live: what memory is used for.
    #[default]
    Live,
    /// All that were allocated: what costs time.
    Allocated,
}

/// Answers with the stacks of a site, the largest estimate first.
pub(super) fn answer<'a>(taken: &'a Taken, site: &str, of: Of) -> Result<Answer<'a>, Error> {
    let snapshot = &taken.snapshot;
    let subject = find(snapshot, site, Some(Kind::Site))?;
    let is_it = |stack: &StackProfile| match subject {
        Subject::Site(index) => stack.site == Some(index),
        _ => stack.is_untracked,
    };
    let bytes = |stack: &StackProfile| match of {
        Of::Live => stack.live_bytes,
        Of::Allocated => stack.allocated_bytes,
    };
    let mut stacks: Vec<&StackProfile> = snapshot.stacks().iter().filter(|it| is_it(it)).collect();
    let has_samples = !stacks.is_empty();
    stacks.retain(|stack| bytes(stack) != 0);
    stacks.sort_by_key(|stack| Reverse(bytes(stack)));
    let mut lines = Vec::new();
    let mut facts = Facts::new();
    if let Subject::Site(index) = subject {
        let row = holders::site_row(&snapshot.sites()[index], Width::Narrow);
        lines.push(row.text);
        facts.insert("site".to_owned(), row.data);
    }
    lines.push(stack::how(snapshot));
    lines.push(match stacks.len() {
        0 if has_samples => "no live block of this site is among the samples: `of`: \"allocated\" \
             has the stacks of what was freed"
            .to_owned(),
        0 => "no sample is of this site: it allocated little, or nothing since sampling began"
            .to_owned(),
        rows => several(rows as u64, "stack of this site", "stacks of this site"),
    });
    lines.extend((!taken.notes.is_empty()).then(|| taken.note()));
    facts.insert("stacks".to_owned(), stacks.len().into());
    facts.insert("interval_bytes".to_owned(), snapshot.stack_interval_bytes().into());
    let rows = Rows::of(stacks, |stack, width| stack::row(snapshot, stack, width));
    Ok(Answer { lines, facts, rows })
}
