//! Readable names of functions.

/// The function that a state machine is the body of, as people write it. `{async_fn_env#0}` is the
/// function itself; a closure or an async block in a function keeps its kind.
pub(super) fn function(path: &str) -> String {
    let mut name = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((kind, behind)) = after.split_once('}') else { break };
        name.push_str(before);
        if kind.starts_with("async_fn_env#") {
            name.truncate(name.trim_end_matches("::").len());
        } else {
            let kind = kind.split_once("_env#").map_or(kind, |it| it.0);
            name.extend(["{", &kind.replace('_', " "), "}"]);
        }
        rest = behind;
    }
    name.push_str(rest);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_named_as_they_are_written() {
        assert_eq!(function("app::db::query::{async_fn_env#0}"), "app::db::query");
        assert_eq!(function("app::get::{async_fn_env#0}<u8>"), "app::get<u8>");
        assert_eq!(
            function("app::main::{closure#0}::{async_block_env#3}"),
            "app::main::{closure#0}::{async block}"
        );
        assert_eq!(function("a{b"), "a{b");
    }
}
