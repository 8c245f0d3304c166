//! Escapes rows for the terminal, since their names, types and places come from files.

use memscope_runtime::__terminal::visible;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::model::Future;

/// Returns the future with every text in it escaped: names, types, file paths, advice.
pub(crate) fn escape_future(future: &Future) -> Future {
    escaped(future).unwrap_or_else(|| future.clone())
}

/// Returns the row with every text in it escaped, in all fields.
fn escaped<T: Serialize + DeserializeOwned>(row: &T) -> Option<T> {
    let mut value = serde_json::to_value(row).ok()?;
    escape(&mut value);
    serde_json::from_value(value).ok()
}

fn escape(value: &mut Value) {
    match value {
        Value::String(text) => *text = visible(text).to_string(),
        Value::Array(items) => items.iter_mut().for_each(escape),
        Value::Object(fields) => fields.values_mut().for_each(escape),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Futures;

    #[test]
    fn every_text_of_a_future_is_escaped() {
        let place = r#"{"file":"a\u001b[2J.rs","line":1}"#;
        let part = format!(
            r#"{{"name":"p\u202e","type":"t\u200b","kind":"local","offset":0,"size":8,"declared_at":{place},"maybe_declared_at":[{place}]}}"#
        );
        let json = format!(
            r#"{{"memscope_futures":1,"program":"app","build_id":null,"futures":[{{"name":"n\u001b]0;x\u0007","path":"q\u2028",
            "origin":"own","size":24,"declared_at":{place},
            "why":[{{"future":"f\u0085","size":1,"at":{place},"parts":[{part}],"others":0,"other_bytes":0,"next":null,
            "hidden":[{{"name":"h\ufeff","candidates":[{{"type":"c\u2066","size":1,"declared_at":{place}}}]}}]}}],
            "advice":[{{"kind":"child","saves_up_to":8,"place":{place},"text":"a\u001b[1m"}}],
            "states":[{{"kind":{{"suspended":0}},"place":{place},"live_bytes":8,"is_largest":true,"members":[{part}]}}]}}]}}"#
        );
        let futures = Futures::from_json(&json).unwrap();
        let written = serde_json::to_string(&escape_future(&futures.all[0])).unwrap();
        assert!(written.is_ascii(), "{written}");
        assert!(!written.contains("\\u0") && written.contains(r"n\\u{1b}]0;x\\u{7}"), "{written}");
        assert_eq!(escape_future(&escape_future(&futures.all[0])), escape_future(&futures.all[0]));
    }
}
