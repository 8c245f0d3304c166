//! Short names of types for users.

use memscope_layout::Layouts;

/// The crates of the standard library. Their types are well known by their last names.
const STD: [&str; 3] = ["core::", "alloc::", "std::"];

/// Returns the short name of a type, with types in place of the numbers of `impl` blocks.
pub(crate) fn short(layouts: &Layouts, path: &str) -> String {
    shortened(&layouts.with_impl_types(path))
}

/// Shortens a type's path: `app::db::query::{async_fn_env#0}` becomes `app::db::query`.
///
/// ```text
/// app::run::{async_fn#0}::{async_block_env#1}        app::run::{async block #1}
/// core::option::Option<alloc::string::String>         Option<String>
/// ```
fn shortened(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(next) = rest.chars().next() {
        let is_start = !text.ends_with(|it: char| it.is_alphanumeric() || it == '_' || it == ':');
        if let Some(after) = rest.strip_prefix(", alloc::alloc::Global") {
            rest = after;
        } else if is_start && STD.iter().any(|it| rest.starts_with(it)) {
            rest = last_name(rest);
        } else if next == '{' {
            let Some(end) = rest.find('}') else { break };
            push_brace(&mut text, &rest[1..end]);
            rest = &rest[end + 1..];
        } else {
            text.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    text.push_str(rest);
    text
}

/// Drops the leading modules, until only the name and what follows it are left.
fn last_name(path: &str) -> &str {
    let mut rest = path;
    while let Some((head, tail)) = rest.split_once("::") {
        let is_name = head.chars().all(|it| it.is_alphanumeric() || it == '_');
        if !is_name || tail.starts_with('{') {
            break;
        }
        rest = tail;
    }
    rest
}

/// Appends the readable form of a compiler's name in braces. An `async fn` adds nothing to its
/// path; `async_block_env#1` is the second block.
fn push_brace(text: &mut String, inner: &str) {
    let (kind, number) = inner.split_once('#').unwrap_or((inner, "0"));
    let kind = kind.trim_end_matches("_env");
    if kind == "async_fn" {
        text.truncate(text.strip_suffix("::").map_or(text.len(), str::len));
        return;
    }
    text.push('{');
    text.push_str(&kind.replace('_', " "));
    if number != "0" {
        text.push_str(" #");
        text.push_str(number);
    }
    text.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short() {
        let cases = [
            ("app::db::query::{async_fn_env#0}", "app::db::query"),
            ("app::run::{async_fn#0}::{async_block_env#1}", "app::run::{async block #1}"),
            (
                "app::held::{async_fn_env#0}<app::db::query::{async_fn_env#0}>",
                "app::held<app::db::query>",
            ),
            ("core::option::Option<alloc::string::String>", "Option<String>"),
            (
                "core::pin::Pin<alloc::boxed::Box<dyn core::future::future::Future<Output=usize>, alloc::alloc::Global>>",
                "Pin<Box<dyn Future<Output=usize>>>",
            ),
            ("[u8; 8192]", "[u8; 8192]"),
            ("&mut (app::A, core::task::wake::Waker)", "&mut (app::A, Waker)"),
            ("score::core::option::Option", "score::core::option::Option"),
            (
                "<app::Foo<u8> as core::ops::Fn<u8>>::call::{async_fn_env#0}",
                "<app::Foo<u8> as Fn<u8>>::call",
            ),
            (
                "app::{impl#4}::call::{async_block_env#0}<u8>",
                "app::{impl #4}::call::{async block}<u8>",
            ),
        ];
        for (path, expected) in cases {
            assert_eq!(shortened(path), expected);
        }
    }
}
