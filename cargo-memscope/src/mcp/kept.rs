//! Keeps snapshots for the next pages of an answer, and for later comparisons.

use std::{collections::VecDeque, sync::Arc};

use super::{
    quote::{quoted, several},
    source::Taken,
};
use crate::error::Error;

/// How many of the latest snapshots are kept for pages.
const MOST_RECENT: usize = 6;
/// How many snapshots are kept under names.
const MOST_NAMED: usize = 12;
/// The most rows of all recent snapshots together, and of all named ones together. One snapshot of
/// each kind is kept in any case.
const MOST_ROWS: usize = 400_000;
const NAME_BYTES: usize = 80;

/// The snapshots that this server has taken and not forgotten.
#[derive(Debug, Default)]
pub(super) struct Kept {
    numbers: u64,
    /// The first snapshot of this server.
    first: Option<Arc<Taken>>,
    /// The newest last.
    recent: VecDeque<Arc<Taken>>,
    /// The oldest first.
    named: VecDeque<(String, Arc<Taken>)>,
}

impl Kept {
    /// The number of the next snapshot.
    pub(super) fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Keeps a snapshot for a while.
    pub(super) fn keep(&mut self, taken: &Arc<Taken>) {
        if self.first.is_none() {
            self.first = Some(Arc::clone(taken));
        }
        self.recent.push_back(Arc::clone(taken));
        while self.recent.len() > MOST_RECENT
            || self.recent.len() > 1 && total(self.recent.iter()) > MOST_ROWS
        {
            self.recent.pop_front();
        }
    }

    /// Keeps a snapshot under a name. Returns the names of others that are forgotten for it.
    pub(super) fn keep_as(&mut self, name: &str, taken: &Arc<Taken>) -> Vec<String> {
        self.named.retain(|(other, _)| other != name);
        self.named.push_back((name.to_owned(), Arc::clone(taken)));
        let mut forgotten = Vec::new();
        while self.named.len() > MOST_NAMED
            || self.named.len() > 1 && total(self.named.iter().map(|(_, it)| it)) > MOST_ROWS
        {
            forgotten.extend(self.named.pop_front().map(|(name, _)| name));
        }
        forgotten
    }

    /// The snapshot with this number, for a further page of an answer.
    pub(super) fn numbered(&self, number: u64) -> Option<&Arc<Taken>> {
        let named = self.named.iter().map(|(_, taken)| taken);
        self.recent.iter().chain(&self.first).chain(named).find(|it| it.number == number)
    }

    /// The snapshot that a name, a number or `first` stands for.
    pub(super) fn find(&self, name: &str) -> Option<&Arc<Taken>> {
        let named = self.named.iter().find(|(other, _)| other == name).map(|(_, taken)| taken);
        named.or_else(|| match name {
            "first" => self.first.as_ref(),
            number => self.numbered(number.parse().ok()?),
        })
    }

    /// The error that no snapshot has this name.
    pub(super) fn unknown(&self, name: &str) -> Error {
        Error::new(format!(
            "no kept snapshot or file is called {}; there are {}. `remember` keeps the state of \
             now under a name",
            quoted(name, NAME_BYTES),
            self.list()
        ))
    }

    /// Lists the kept snapshots in one line.
    pub(super) fn list(&self) -> String {
        let mut all = Vec::new();
        if let Some(first) = &self.first {
            all.push(format!("\"first\" (snapshot {})", first.number));
        }
        let named = self.named.iter().rev();
        all.extend(
            named
                .map(|(name, it)| format!("{} (snapshot {})", quoted(name, NAME_BYTES), it.number)),
        );
        let recent: Vec<String> =
            self.recent.iter().rev().map(|it| it.number.to_string()).collect();
        if !recent.is_empty() {
            all.push(format!("by number {}", recent.join(", ")));
        }
        if all.is_empty() { several(0, "snapshot", "snapshots") } else { all.join(", ") }
    }
}

/// The number of rows in snapshots, which stands for the memory that they take.
fn total<'a>(taken: impl Iterator<Item = &'a Arc<Taken>>) -> usize {
    let rows = |taken: &Arc<Taken>| {
        let snapshot = &taken.snapshot;
        let dump = taken.dump.as_ref().map_or(0, |dump| dump.tasks.len());
        snapshot.tasks().len() + snapshot.sites().len() + snapshot.variables().len() + dump
    };
    taken.map(rows).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::random_snapshots::empty;

    fn taken(kept: &mut Kept) -> Arc<Taken> {
        let mut taken = Taken::of(empty());
        taken.number = kept.next_number();
        let taken = Arc::new(taken);
        kept.keep(&taken);
        taken
    }

    #[test]
    fn the_first_and_the_latest_are_kept_and_their_number_is_bounded() {
        let mut kept = Kept::default();
        for _ in 0..20 {
            taken(&mut kept);
        }
        assert_eq!(kept.find("first").map(|it| it.number), Some(1));
        assert!(kept.find("14").is_none() && kept.find("15").is_some());
        assert!(kept.unknown("x\ny").to_string().contains(r#"called "x\ny"; there are "first""#));
    }

    #[test]
    fn a_name_is_kept_until_many_others_are() {
        let mut kept = Kept::default();
        for number in 0..MOST_NAMED {
            let taken = taken(&mut kept);
            assert_eq!(kept.keep_as(&format!("n{number}"), &taken), [""; 0]);
        }
        assert_eq!(kept.find("n0").map(|it| it.number), Some(1));
        let latest = taken(&mut kept);
        assert_eq!(kept.keep_as("n0", &latest), [""; 0], "its own is replaced");
        assert_eq!(kept.keep_as("new", &latest), ["n1"]);
        assert!(kept.find("n1").is_none());
        assert_eq!(kept.find("n0").map(|it| it.number), Some(latest.number));
    }
}
