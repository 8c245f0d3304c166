//! Shortens the schemas of arguments, as an agent reads all of them before anything else.

use rmcp::model::JsonObject;
use serde_json::{Value, json};

/// Returns a shorter schema with the same meaning. Choices stand where they are used, and formats,
/// limits and defaults that need not be said are left out.
pub(super) fn short(schema: &JsonObject) -> JsonObject {
    let choices = schema.get("$defs").cloned().unwrap_or_default();
    let mut arguments = schema.get("properties").cloned().unwrap_or_else(|| json!({}));
    for argument in arguments.as_object_mut().into_iter().flat_map(|it| it.values_mut()) {
        *argument = short_argument(argument, &choices);
    }
    let mut short = JsonObject::new();
    short.insert("type".to_owned(), json!("object"));
    short.insert("properties".to_owned(), arguments);
    if let Some(required) = schema.get("required") {
        short.insert("required".to_owned(), required.clone());
    }
    short
}

fn short_argument(argument: &Value, choices: &Value) -> Value {
    let words = |it: &Value| it["description"].as_str().unwrap_or_default().replace('\n', " ");
    let choice = argument.get("$ref").or_else(|| argument.pointer("/anyOf/0/$ref"));
    let name = choice.and_then(Value::as_str).and_then(|it| it.rsplit('/').next());
    if let Some(all) = name.and_then(|it| choices[it]["oneOf"].as_array()) {
        let names: Vec<&Value> = all.iter().map(|it| &it["const"]).collect();
        let said = all.iter().map(words).zip(&names).filter(|it| !it.0.is_empty());
        let said = said.map(|(words, name)| format!(" {}: {words}", name.as_str().unwrap_or("")));
        let words = words(argument) + &said.collect::<String>();
        return json!({ "enum": names, "description": words });
    }
    if let Some(name) = name {
        return json!({ "enum": choices[name]["enum"], "description": words(argument) });
    }
    let kind = match &argument["type"] {
        // An optional argument has several types, of which the first is its own.
        Value::Array(kinds) => kinds.first().cloned().unwrap_or_default(),
        kind => kind.clone(),
    };
    json!({ "type": kind, "description": words(argument) })
}
