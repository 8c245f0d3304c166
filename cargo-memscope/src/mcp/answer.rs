//! The answer of a tool: lines and facts, then rows, as many as fit a number of bytes.
//!
//! An answer has all of it twice: as text and as data. Clients show an agent one of the two, so
//! each is complete.

use std::fmt;

use rmcp::model::{CallToolResult, ContentBlock};
use serde_json::{Map, Value, json};

use super::quote::{Width, json_bytes, several};

/// The most bytes of an answer by default.
pub(super) const USUAL_BYTES: usize = 4_000;
/// The smallest limit that a client may set: an answer's lines and one narrow row fit.
pub(super) const LEAST_BYTES: usize = 3_500;
pub(super) const MOST_BYTES: usize = 1_000_000;
/// The bytes of the result around its text and data.
const ENVELOPE_BYTES: usize = 140;

/// The fields of an answer that are the same for all tools.
pub(super) type Facts = Map<String, Value>;

/// One row: as one or more lines of text, and as data.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) text: String,
    pub(super) data: Value,
}

impl Row {
    fn bytes(&self) -> usize {
        // A line feed, and a comma with a space.
        json_bytes(&self.text) + data_bytes(&self.data) + 4
    }
}

/// Makes the row at an index.
type MakeRow<'a> = Box<dyn Fn(usize, Width) -> Row + 'a>;

/// The rows of an answer, each made when it is needed.
pub(super) struct Rows<'a> {
    total: usize,
    row: MakeRow<'a>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(total: usize, row: impl Fn(usize, Width) -> Row + 'a) -> Self {
        Self { total, row: Box::new(row) }
    }

    /// Rows of all items, in their order.
    pub(super) fn of<T>(items: Vec<T>, row: impl Fn(&T, Width) -> Row + 'a) -> Self
    where
        T: 'a,
    {
        Self::new(items.len(), move |index, width| row(&items[index], width))
    }

    pub(super) fn len(&self) -> usize {
        self.total
    }
}

impl fmt::Debug for Rows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("total", &self.total).finish_non_exhaustive()
    }
}

/// The answer of a tool.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    /// The lines before the rows. Their length is bounded.
    pub(super) lines: Vec<String>,
    /// The facts of the lines as data, and further facts.
    pub(super) facts: Facts,
    pub(super) rows: Rows<'a>,
}

/// The rows of an answer that a client asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) from: usize,
    pub(super) bytes: usize,
}

impl Answer<'_> {
    /// Returns the rows from `window.from` on that fit. `cursor` names the row at which the next
    /// page begins.
    pub(super) fn page(
        mut self,
        window: Window,
        cursor: impl Fn(usize) -> String,
    ) -> CallToolResult {
        let total = self.rows.len();
        let from = window.from.min(total);
        let mut rows: Vec<Row> = Vec::new();
        let longest = cursor(total);
        let (last_line, rest) = ends(total, from, total - from, Some(&longest));
        let mut used = ENVELOPE_BYTES + json_bytes(&last_line) + data_bytes(&rest);
        used += self.lines.iter().map(|line| json_bytes(line) + 2).sum::<usize>();
        used += data_bytes(&Value::Object(self.facts.clone()));
        for index in from..total {
            let mut row = (self.rows.row)(index, Width::Normal);
            if rows.is_empty() && used + row.bytes() > window.bytes {
                row = (self.rows.row)(index, Width::Narrow);
            }
            // The first row always fits: see `LEAST_BYTES`.
            if !rows.is_empty() && used + row.bytes() > window.bytes {
                break;
            }
            used += row.bytes();
            rows.push(row);
        }
        let next = from + rows.len();
        let next_cursor = (next < total).then(|| cursor(next));
        let (last_line, rest) = ends(total, from, rows.len(), next_cursor.as_deref());
        let (texts, data): (Vec<String>, Vec<Value>) =
            rows.into_iter().map(|row| (row.text, row.data)).unzip();
        self.lines.extend(texts);
        self.lines.extend((!last_line.is_empty()).then_some(last_line));
        self.facts.insert("rows".to_owned(), data.into());
        if let Value::Object(rest) = rest {
            self.facts.extend(rest);
        }
        let mut result = CallToolResult::success(vec![ContentBlock::text(self.lines.join("\n"))]);
        result.structured_content = Some(Value::Object(self.facts));
        result
    }
}

/// Says how many rows are shown and how many are not.
fn ends(total: usize, from: usize, shown: usize, cursor: Option<&str>) -> (String, Value) {
    let left = total - from - shown;
    let data = json!({
        "rows_total": total, "rows_before": from, "rows_shown": shown, "rows_left_out": left,
        "next_cursor": cursor,
    });
    let line = match cursor {
        Some(cursor) => format!(
            "rows {} to {} of {total}; {left} left out: go on with cursor \"{cursor}\", or ask for \
             more at once with max_bytes",
            from + 1,
            from + shown,
        ),
        None if from != 0 => format!("rows {} to {total} of {total}: these are the last", from + 1),
        None if total != 0 => format!("{}: these are all", several(total as u64, "row", "rows")),
        None => String::new(),
    };
    (line, data)
}

/// The bytes of data as JSON that is all ASCII, with a space after each comma and colon.
fn data_bytes(data: &Value) -> usize {
    let json = data.to_string();
    let bytes: usize =
        json.chars().map(|it| if it.is_ascii() { 1 } else { 6 * it.len_utf16() }).sum();
    bytes + spaces(data)
}

fn spaces(data: &Value) -> usize {
    match data {
        Value::Array(items) => {
            items.len().saturating_sub(1) + items.iter().map(spaces).sum::<usize>()
        }
        Value::Object(fields) => {
            (2 * fields.len()).saturating_sub(1) + fields.values().map(spaces).sum::<usize>()
        }
        _ => 0,
    }
}

/// The bytes of a whole result, in the longest form in which a client may write it.
#[cfg(test)]
pub(super) fn result_bytes(result: &CallToolResult) -> usize {
    data_bytes(&serde_json::to_value(result).expect("JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(total: usize, from: usize, bytes: usize) -> Value {
        let rows = Rows::new(total, |index, _| Row {
            text: format!("row {index}"),
            data: json!({ "index": index }),
        });
        let lines = vec!["all rows".to_owned()];
        let answer = Answer { lines, facts: Facts::new(), rows };
        let result = answer.page(Window { from, bytes }, |next| format!("1-{next}"));
        assert!(result_bytes(&result) <= bytes, "{}", result_bytes(&result));
        serde_json::to_value(result).unwrap()
    }

    #[test]
    fn pages_have_each_row_once_and_say_what_is_left() {
        let (mut from, mut seen, mut pages) = (0, Vec::new(), 0);
        loop {
            let result = page(1_000, from, USUAL_BYTES);
            let data = &result["structuredContent"];
            let rows = data["rows"].as_array().unwrap();
            seen.extend(rows.iter().map(|row| row["index"].as_u64().unwrap()));
            let text = result["content"][0]["text"].as_str().unwrap();
            assert_eq!(text.lines().filter(|it| it.starts_with("row ")).count(), rows.len());
            assert_eq!(data["rows_left_out"], 1_000 - seen.len());
            pages += 1;
            let Some(next) = data["next_cursor"].as_str() else { break };
            assert!(text.contains(&format!("cursor \"{next}\"")), "{text}");
            from = next.split_once('-').unwrap().1.parse().unwrap();
        }
        assert_eq!(seen, (0..1_000).collect::<Vec<u64>>());
        assert!((5..60).contains(&pages), "{pages}");
    }

    #[test]
    fn bytes_are_those_of_a_client_that_writes_spaces_and_ascii() {
        let data = json!({"a": [1, 2, {}], "b": {"c": "é"}, "d": []});
        // Python's `json.dumps` writes it in this way.
        let written = r#"{"a": [1, 2, {}], "b": {"c": "\u00e9"}, "d": []}"#;
        assert_eq!(data_bytes(&data), written.len());
    }

    #[test]
    fn no_rows_are_an_answer_and_a_cursor_past_the_end_is_the_end() {
        assert_eq!(page(0, 0, USUAL_BYTES)["content"][0]["text"], "all rows");
        assert_eq!(page(3, 7, USUAL_BYTES)["structuredContent"]["rows_shown"], 0);
    }
}
