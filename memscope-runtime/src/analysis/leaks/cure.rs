//! What usually helps, by what keeps the bytes.

use super::{cause::LeakCause, evidence::Freed};
use crate::model::human::cell;

/// What is known of the bytes of a finding.
#[derive(Debug, Default)]
pub(super) struct Case<'a> {
    pub(super) cause: LeakCause,
    /// The function by which the cause is known; empty if it is not from a stack.
    pub(super) by: &'a str,
    /// The largest live variable in these bytes.
    pub(super) variable: Option<&'a str>,
    /// The tasks that hold them, by the graph of the heap, and how many these are.
    pub(super) tasks: Option<(&'a str, u64)>,
    /// The code that sends some of them into a channel.
    pub(super) sends: Option<&'a str>,
    /// Living tasks that may hold them.
    pub(super) living: Option<&'a str>,
    pub(super) freed: Option<&'a Freed<'a>>,
    /// Whether the tasks that allocated them have ended.
    pub(super) has_ended: bool,
    /// Whether no task allocated them, or tasks of several sites share them.
    pub(super) is_outside: bool,
}

impl Case<'_> {
    /// One sentence. `None` if nothing is known that leads to a cure.
    pub(super) fn cure(&self) -> Option<String> {
        let into = match (self.variable, self.by) {
            // The end of a static's path is its name.
            (Some(path), _) => format!("`{}`", cell(path.rsplit("::").next().unwrap_or(path), 40)),
            (None, "") => "the list or text that grows there".to_owned(),
            (None, by) => match collection_of(by) {
                Some(collection) => format!("the {collection} that grows there"),
                None => format!("what `{}` adds to", cell(by, 60)),
            },
        };
        match self.cause {
            LeakCause::Cycle => {
                return Some(
                    "break the cycle: of two that hold each other by `Rc` or `Arc`, one must be a `Weak`, or be cleared when the other ends".to_owned(),
                );
            }
            LeakCause::Lost => {
                return Some(
                    "give them back: look for `mem::forget`, `ManuallyDrop`, `Box::leak` and `into_raw`, and for C libraries that keep a pointer".to_owned(),
                );
            }
            _ => {}
        }
        if let Some(freed) = self.freed {
            let name = cell(&freed.who.name, 36);
            return Some(if self.cause == LeakCause::Map || !freed.is_alive {
                format!(
                    "make sure that `{name}` also frees what is left: on every path, and at shutdown"
                )
            } else if self.cause == LeakCause::Queue || self.sends.is_some() {
                format!(
                    "bound the channel or queue to `{name}`, so that these tasks wait, or make `{name}` faster: it takes less than they add"
                )
            } else {
                format!(
                    "if `{name}` takes them from a channel or queue: bound the channel or queue, so that these tasks wait, or make `{name}` faster; if it removes them from a map or list: look at what it leaves there"
                )
            });
        }
        if let Some(cure) = self.of_tasks(&into) {
            return Some(cure);
        }
        let cure = match self.cause {
            LeakCause::Map => format!(
                "bound {into}: a cache needs a capacity or an age, other maps must lose an entry when what it is for ends"
            ),
            LeakCause::Queue => format!(
                "bound the channel or queue ({into}), so that its senders wait, or make its consumer faster"
            ),
            LeakCause::List if self.is_outside => {
                format!("take out of {into} what is done with, or bound it")
            }
            LeakCause::List if self.has_ended => {
                format!("take out of {into} what a task has put there when it ends, or bound it")
            }
            LeakCause::List => {
                format!("bound {into}, or empty it as it goes: it lives as long as its task")
            }
            LeakCause::Buffer if self.has_ended => format!(
                "copy what is kept (`Bytes::copy_from_slice`) if these are slices: a slice keeps the whole buffer that {} has made; if whole messages are kept, bound the collection that has them",
                if self.by.is_empty() { "it is of" } else { self.by }
            ),
            LeakCause::Buffer => {
                "bound these buffers in number and size; a `Bytes` slice that is kept keeps its whole buffer".to_owned()
            }
            _ => match (self.variable, self.sends, self.living) {
                (Some(_), Some(code), _) => format!(
                    "if they wait in the channel that {code} sends to: bound the channel, so that its senders wait, or make its consumer faster; else bound {into}, or remove there what is done with"
                ),
                (Some(_), ..) if self.is_outside => {
                    format!("remove from {into} what is done with, or bound it")
                }
                (Some(_), ..) if self.has_ended => {
                    format!(
                        "remove from {into} what a task has put there when it ends, or bound it"
                    )
                }
                (Some(_), ..) => {
                    format!("bound {into}, or empty it as it goes: it lives as long as its task")
                }
                (None, Some(code), _) => format!(
                    "if they wait in the channel that {code} sends to: bound the channel, so that its senders wait, or make its consumer faster; else bound the list or map that they are in"
                ),
                (None, None, Some(living)) => format!(
                    "if living tasks of `{}` hold them: end each of these tasks, by a timeout, a cancellation token or a channel that closes; if a shared collection does, remove there what a task has put in when it ends, or bound it",
                    cell(living, 48)
                ),
                (None, None, None) => return None,
            },
        };
        Some(cure)
    }

    /// The cure where tasks hold the bytes, by the graph of the heap. `into`: what is added to.
    fn of_tasks(&self, into: &str) -> Option<String> {
        let (task, count) = self.tasks.filter(|_| self.variable.is_none())?;
        let task = cell(task, 48);
        Some(match (count, self.sends) {
            (1, Some(code)) => format!(
                "bound the channel that {code} sends to, so that its senders wait, or make its consumer faster: `{task}` holds them"
            ),
            (1, None) => {
                let into = if self.by.is_empty() { "the list, map or queue" } else { into };
                format!(
                    "bound {into} in the task of `{task}` that holds them, or take out what is done with; if the task is over but for that, end it"
                )
            }
            _ => format!(
                "end each task of `{task}` when what it serves is over (a timeout, a cancellation token, a channel that closes), or have it drop this earlier"
            ),
        })
    }
}

/// The collection that a function is inside of, where its name says that to few readers.
fn collection_of(by: &str) -> Option<&'static str> {
    const INSIDES: [(&str, &str); 7] = [
        ("RawTable::", "`HashMap` or `HashSet`"),
        ("RawTableInner::", "`HashMap` or `HashSet`"),
        ("Handle::insert_recursing", "`BTreeMap` or `BTreeSet`"),
        ("NodeRef::", "`BTreeMap` or `BTreeSet`"),
        ("VecDeque::grow", "`VecDeque`"),
        ("SpecExtend::", "list or text"),
        ("Tx::find_block", "channel of Tokio's"),
    ];
    INSIDES.iter().find(|it| by.starts_with(it.0)).map(|it| it.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Place;

    #[test]
    fn the_cure_fits_what_keeps_the_bytes() {
        let worker = Place { name: "worker".to_owned(), file: "src/w.rs".into(), line: 3 };
        let freed = Freed { bytes: 10, of_largest: 9, who: &worker, is_alive: true };
        let of = |cause, by, variable| {
            let case = Case { cause, by, variable, has_ended: true, ..Case::default() };
            case.cure().unwrap_or_default()
        };
        assert!(of(LeakCause::Map, "HashMap::insert", None).contains("a capacity or an age"));
        assert!(of(LeakCause::Queue, "Tx::find_block", None).contains("bound the channel"));
        let table = of(LeakCause::Map, "RawTable::reserve_rehash", None);
        assert!(table.starts_with("bound the `HashMap` or `HashSet` that grows there:"), "{table}");
        let buffer = of(LeakCause::Buffer, "", None);
        assert!(buffer.contains("copy what is kept"), "{buffer}");
        assert!(buffer.contains("if whole messages are kept, bound"), "{buffer}");
        assert!(of(LeakCause::Unknown, "", Some("session")).contains("remove from `session`"));
        assert_eq!(of(LeakCause::Unknown, "", None), "");
        let list = Case { cause: LeakCause::List, has_ended: true, ..Case::default() };
        let outside = Case { cause: LeakCause::List, is_outside: true, ..Case::default() };
        assert!(list.cure().is_some_and(|cure| cure.contains("what a task has put there")));
        assert!(outside.cure().is_some_and(|cure| cure.contains("what is done with")));
        let queue = Case { freed: Some(&freed), has_ended: true, ..Case::default() };
        assert!(queue.cure().is_some_and(|cure| cure.contains("make `worker` faster")));
        let sent = Case { sends: Some("`app::log`"), has_ended: true, ..Case::default() };
        let by_task = Case { tasks: Some(("worker", 1)), ..sent };
        let cure = by_task.cure().unwrap_or_default();
        assert!(cure.starts_with("bound the channel that `app::log` sends to"), "{cure}");
        assert!(cure.ends_with("`worker` holds them"), "{cure}");
        let sent = Case { sends: Some("`app::log`"), has_ended: true, ..Case::default() };
        let by_static = Case { variable: Some("app::LINES"), ..sent };
        let cure = by_static.cure().unwrap_or_default();
        assert!(cure.starts_with("if they wait in the channel that `app::log` sends to"), "{cure}");
        assert!(cure.contains("; else bound `LINES`, or remove there"), "{cure}");
        let gone = Freed { is_alive: false, ..freed };
        let map = Case { freed: Some(&gone), has_ended: true, ..Case::default() };
        assert!(map.cure().is_some_and(|cure| cure.contains("`worker` also frees")));
    }
}
