//! Cursors: the row and the snapshot at which an answer goes on.

use std::hash::{DefaultHasher, Hash, Hasher};

use rmcp::model::JsonObject;

use crate::error::Error;

/// A place in the rows of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The number of the snapshot. All pages of one answer have the same snapshot.
    pub(super) snapshot: u64,
    pub(super) row: usize,
    /// A number for the question, as the rows of another question have another order.
    question: u32,
}

impl Cursor {
    pub(super) fn new(snapshot: u64, row: usize, question: u32) -> Self {
        Self { snapshot, row, question }
    }

    /// Reads a cursor of the same question.
    pub(super) fn read(text: &str, question: u32) -> Result<Self, Error> {
        let mut parts = text.split('-');
        let mut number = |radix| u64::from_str_radix(parts.next()?, radix).ok();
        let all = (number(10), number(10), number(16));
        let (Some(snapshot), Some(row), Some(of)) = all else {
            return Err(Error::new(
                "`cursor` is the `next_cursor` of an answer, such as \"3-12-1a2b3c4d\"; leave it \
                 out for the first rows of a new snapshot",
            ));
        };
        if of != u64::from(question) {
            return Err(Error::new(
                "this `cursor` belongs to an answer of another tool or of other arguments: repeat \
                 those, or leave it out",
            ));
        }
        Ok(Self { snapshot, row: usize::try_from(row).unwrap_or(usize::MAX), question })
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}-{:08x}", self.snapshot, self.row, self.question)
    }
}

/// Returns a number for a tool and the arguments that decide which rows there are.
pub(super) fn question(tool: &str, arguments: &JsonObject) -> u32 {
    let mut hasher = DefaultHasher::new();
    tool.hash(&mut hasher);
    let is_paging = |name: &str| matches!(name, "cursor" | "max_bytes");
    for (name, value) in arguments.iter().filter(|(name, _)| !is_paging(name)) {
        (name, value.to_string()).hash(&mut hasher);
    }
    // Half of the hash is enough to tell questions apart.
    (hasher.finish() >> 32) as u32
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(tool: &str, arguments: &serde_json::Value) -> u32 {
        question(tool, arguments.as_object().expect("an object"))
    }

    #[test]
    fn a_cursor_goes_on_with_the_same_question_only() {
        let question = of("holders", &json!({ "by": "sites" }));
        let cursor = Cursor::new(3, 12, question);
        assert_eq!(Cursor::read(&cursor.to_string(), question).unwrap(), cursor);
        let same = json!({ "cursor": "x", "by": "sites", "max_bytes": 9 });
        assert_eq!(of("holders", &same), question);
        for other in [of("holders", &json!({ "by": "tasks" })), of("verdict", &json!({}))] {
            let error = Cursor::read(&cursor.to_string(), other).unwrap_err();
            assert!(error.to_string().contains("of another tool"), "{error}");
        }
        for garbage in ["", "12", "a-b-c", "1-2", "-1-2-3", "1-2-zz"] {
            let error = Cursor::read(garbage, question).unwrap_err();
            assert!(error.to_string().contains("next_cursor"), "{garbage}: {error}");
        }
    }
}
