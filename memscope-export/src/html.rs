//! The page: saved with a snapshot inside, or live.

use std::{
    io::{self, Write},
    sync::LazyLock,
};

use memscope_runtime::{analysis::Leaks, async_memory::MemorySnapshot};
use serde::Serialize;

use crate::page::{self, Page};

/// The version of the JSON format that `MemorySnapshot::from_json` reads.
const FORMAT: u32 = 1;

/// A snapshot as the page reads it: a JSON report with its findings beside it.
#[derive(Serialize)]
struct Data<'a> {
    memscope_format: u32,
    memscope_version: &'static str,
    #[serde(flatten)]
    snapshot: &'a MemorySnapshot,
    #[serde(skip_serializing_if = "Option::is_none")]
    leaks: Option<&'a Leaks>,
}

impl<'a> Data<'a> {
    fn new(snapshot: &'a MemorySnapshot, leaks: Option<&'a Leaks>) -> Self {
        let memscope_version = env!("CARGO_PKG_VERSION");
        Self { memscope_format: FORMAT, memscope_version, snapshot, leaks }
    }
}

/// The data of the page as a value, without the findings.
pub(crate) fn value(snapshot: &MemorySnapshot) -> serde_json::Value {
    serde_json::to_value(Data::new(snapshot, None)).expect("a snapshot is JSON")
}

/// Writes the page with this snapshot inside: one file that opens without a network.
///
/// The file makes no request. Its policy allows its own script alone, and none of the names in the
/// snapshot can become markup or code.
///
/// ```
/// use memscope_runtime::async_memory::get_memory_snapshot;
///
/// let page = memscope_export::html(&get_memory_snapshot());
/// assert!(page.starts_with("<!doctype html>"));
/// ```
///
/// # Panics
///
/// Never: all keys of a snapshot are text.
pub fn html(snapshot: &MemorySnapshot) -> String {
    let mut page = Vec::new();
    write_html(snapshot, &mut page).expect("a snapshot is JSON");
    String::from_utf8(page).expect("its parts are text")
}

/// Writes what [`html`] returns, piece by piece.
///
/// # Errors
///
/// When `out` fails.
pub fn write_html(snapshot: &MemorySnapshot, out: &mut dyn Write) -> io::Result<()> {
    let page = saved();
    out.write_all(page.before.as_bytes())?;
    serde_json::to_writer(InElement(out), &Data::new(snapshot, Some(&snapshot.leaks())))?;
    out.write_all(page.after.as_bytes())
}

/// Returns the Content-Security-Policy of the [saved page](html), which the page also contains.
pub fn html_policy() -> &'static str {
    &saved().policy
}

fn saved() -> &'static Page {
    static SAVED: LazyLock<Page> = LazyLock::new(|| page::assemble(page::Source::Saved));
    &SAVED
}

/// Returns the page without a snapshot. It asks for `events` and `snapshot.json` beside its own
/// address.
///
/// Events are server-sent events named `snapshot`. Their data is what
/// [`page_update`](crate::page_update) writes, and `snapshot.json` what [`page_json`] writes.
pub fn live_page() -> &'static str {
    &live().0
}

/// Returns the Content-Security-Policy of the [live page](live_page), for the header of that name.
pub fn live_page_policy() -> &'static str {
    &live().1
}

/// The live page, and its policy.
fn live() -> &'static (String, String) {
    static LIVE: LazyLock<(String, String)> = LazyLock::new(|| {
        let page = page::assemble(page::Source::Live);
        (page.without_data(), page.policy)
    });
    &LIVE
}

/// Writes a snapshot as JSON for the page. It is a report that `MemorySnapshot::from_json` reads,
/// and has also what [`leaks`](MemorySnapshot::leaks) finds.
///
/// # Panics
///
/// Never: all keys of a snapshot are text.
pub fn page_json(snapshot: &MemorySnapshot) -> String {
    serde_json::to_string(&Data::new(snapshot, Some(&snapshot.leaks())))
        .expect("a snapshot is JSON")
}

/// Writes JSON as the content of a `script` element: nothing in it can end the element or begin a
/// comment. Only strings contain `<`, so its escape means the same.
struct InElement<'a>(&'a mut dyn Write);

impl Write for InElement<'_> {
    fn write(&mut self, json: &[u8]) -> io::Result<usize> {
        for (index, piece) in json.split(|&byte| byte == b'<').enumerate() {
            if index != 0 {
                self.0.write_all(b"\\u003c")?;
            }
            self.0.write_all(piece)?;
        }
        Ok(json.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use memscope_runtime::async_memory::get_memory_snapshot;

    use super::*;

    const HOSTILE: &str = "</script><!--<script><img src=x onerror=alert(1)>{{script}}";

    fn hostile() -> MemorySnapshot {
        let mut json: serde_json::Value =
            serde_json::from_str(&page_json(&get_memory_snapshot())).expect("JSON");
        json["shared"] = serde_json::json!([{
            "name": HOSTILE, "measured": true, "live_bytes": 1, "peak_bytes": 1,
            "allocated_bytes": 1, "allocation_count": 1, "freed_bytes": 0, "live_blocks": 1,
        }]);
        MemorySnapshot::from_json(&json.to_string()).expect("a report")
    }

    #[test]
    fn the_data_of_the_page_is_a_report_that_can_be_read_again() {
        let snapshot = hostile();
        let read = MemorySnapshot::from_json(&page_json(&snapshot)).expect("a report");
        assert_eq!(read, snapshot);
        assert_eq!(read.shared()[0].name, HOSTILE);
    }

    #[test]
    fn no_name_ends_the_element_that_holds_the_snapshot() {
        let page = html(&hostile());
        assert_eq!(page.matches("</script").count(), 2, "one for the data, one for the code");
        assert_eq!(page.matches("<script").count(), 2);
        assert!(!page.contains("<!--") && !page.contains("<img"));
        let (_, rest) = page.split_once("id=\"snapshot\">").expect("the element");
        let (data, _) = rest.split_once("</script>").expect("its end");
        let read = MemorySnapshot::from_json(data).expect("a report");
        assert_eq!(read.shared()[0].name, HOSTILE);
    }

    #[test]
    fn the_saved_page_may_connect_to_nothing_and_the_live_one_to_its_server() {
        assert!(!html(&get_memory_snapshot()).contains("connect-src"));
        assert!(live_page_policy().contains("connect-src 'self'"));
        assert!(live_page().contains(live_page_policy()));
    }
}
