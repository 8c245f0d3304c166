//! Parses the options of `#[tracked(…)]`.

use crate::facade;
use crate::syntax::{Cursor, Mistakes, byte_size, for_each_option, nearest};
use proc_macro2::{Ident, TokenStream};
use quote::ToTokens;
use syn::LitStr;

/// The values of `task_type`, and the variants of `TaskType`.
const TASK_TYPES: [(&str, &str); 7] = [
    ("cpu", "CpuIntensive"),
    ("io", "IoIntensive"),
    ("network", "NetworkIntensive"),
    ("memory", "MemoryIntensive"),
    ("streaming", "Streaming"),
    ("background", "Background"),
    ("mixed", "Mixed"),
];

/// The options of one attribute. If several attributes apply to a function, the innermost wins,
/// option by option.
#[derive(Clone, Default)]
pub(crate) struct Options {
    /// A variant of `TaskType`.
    pub(crate) task_type: Option<&'static str>,
    pub(crate) name: Option<LitStr>,
    /// Bytes that a task may hold.
    pub(crate) budget: Option<u64>,
    /// The path of the facade.
    pub(crate) krate: Option<TokenStream>,
    /// The word `skip` itself: the item is not tracked.
    pub(crate) skip: Option<Ident>,
}

impl Options {
    /// Parses `key = value, …`. Mistakes are added, and valid options are kept.
    pub(crate) fn parse(arguments: TokenStream, mistakes: &mut Mistakes) -> Self {
        let mut options = Self::default();
        for_each_option(arguments, mistakes, |option, seen, mistakes| {
            options.parse_one(option, seen, mistakes);
        });
        options
    }

    fn parse_one(&mut self, option: &TokenStream, seen: &mut Vec<Ident>, mistakes: &mut Mistakes) {
        let mut cursor = Cursor::new(option.clone());
        let Some(key) = cursor.ident() else {
            return mistakes.add(option, not_an_option(option));
        };
        let text = key.to_string();
        let takes_value = match &*text {
            "task_type" | "name" | "budget" | "crate" => true,
            "skip" => false,
            _ => return mistakes.add(&key, unknown_option(&text)),
        };
        if seen.contains(&key) {
            return mistakes.add(&key, format_args!("duplicate option `{key}`"));
        }
        seen.push(key.clone());
        if !takes_value {
            if !cursor.is_empty() {
                return mistakes.add(cursor.rest(), "`skip` takes no value");
            }
            self.skip = Some(key);
            return;
        }
        let equals = cursor.punct('=');
        let value = cursor.rest();
        if equals.is_none() || value.is_empty() {
            // In `task_type("io")`, for example, only the sign is missing.
            return mistakes
                .add(key, format_args!("`{text}` needs a value, as in `{}`", example(&text)));
        }
        match &*text {
            "crate" => self.krate = facade::parse_path(value, mistakes),
            "name" => {
                self.name = string(&value, "name", mistakes).filter(|name| is_name(name, mistakes));
            }
            "budget" => {
                self.budget =
                    string(&value, "budget", mistakes).and_then(|value| bytes(&value, mistakes));
            }
            _ => {
                self.task_type = string(&value, "task_type", mistakes)
                    .and_then(|value| task_type(&value, mistakes));
            }
        }
    }

    /// Fills in the options of the enclosing block. A name and `skip` are not inherited.
    pub(crate) fn within(mut self, outer: &Self) -> Self {
        self.task_type = self.task_type.or(outer.task_type);
        self.budget = self.budget.or(outer.budget);
        if self.krate.is_none() {
            self.krate.clone_from(&outer.krate);
        }
        self
    }

    /// Returns the path in front of `__private`.
    pub(crate) fn facade(&self) -> TokenStream {
        self.krate.clone().unwrap_or_else(facade::default_path)
    }
}

fn not_an_option(option: &TokenStream) -> String {
    match syn::parse2::<LitStr>(option.clone()) {
        Ok(text) if TASK_TYPES.iter().any(|(word, _)| *word == text.value()) => {
            format!("expected an option, found `{option}`, did you mean `task_type = {option}`?")
        }
        _ => format!("expected `task_type`, `name`, `budget` or `crate`, found `{option}`"),
    }
}

fn unknown_option(found: &str) -> String {
    if TASK_TYPES.iter().any(|(word, _)| *word == found) {
        return format!("unknown option `{found}`, did you mean `task_type = \"{found}\"`?");
    }
    match nearest(found, &["task_type", "name", "budget", "crate", "skip"]) {
        Some(meant) => format!("unknown option `{found}`, did you mean `{meant}`?"),
        None => {
            format!("unknown option `{found}`, expected `task_type`, `name`, `budget` or `crate`")
        }
    }
}

fn example(option: &str) -> &'static str {
    match option {
        "task_type" => "task_type = \"io\"",
        "name" => "name = \"checkout\"",
        "budget" => "budget = \"64MiB\"",
        _ => "crate = ::memscope_rs",
    }
}

fn string(value: &TokenStream, option: &str, mistakes: &mut Mistakes) -> Option<LitStr> {
    let mut cursor = Cursor::new(value.clone());
    let literal = cursor.bump().and_then(|tree| syn::parse2(tree.into_token_stream()).ok());
    match literal {
        Some(literal) if cursor.is_empty() => return Some(literal),
        Some(_) => mistakes.expected_comma(cursor.rest()),
        None => mistakes.add(
            value,
            format_args!(
                "`{option}` expects a string, as in `{}`, found `{value}`",
                example(option)
            ),
        ),
    }
    None
}

fn is_name(name: &LitStr, mistakes: &mut Mistakes) -> bool {
    let is_name = !name.value().trim().is_empty();
    if !is_name {
        mistakes.add(name, "`name` must not be empty");
    }
    is_name
}

/// Parses a size such as `64MiB`.
fn bytes(value: &LitStr, mistakes: &mut Mistakes) -> Option<u64> {
    let text = value.value();
    let Some(size) = byte_size::parse(&text) else {
        mistakes.add(value, byte_size::expected("64MiB", &text));
        return None;
    };
    let bytes = size.bytes().filter(|bytes| *bytes != 0);
    if bytes.is_none() {
        mistakes.add(
            value,
            format_args!("a budget is 1 byte or more, and below 2^64 bytes, found `{text}`"),
        );
    }
    bytes
}

fn task_type(value: &LitStr, mistakes: &mut Mistakes) -> Option<&'static str> {
    let found = value.value();
    if let Some((_, variant)) = TASK_TYPES.iter().find(|(word, _)| *word == found) {
        return Some(variant);
    }
    let words = TASK_TYPES.map(|(word, _)| word);
    let hint = match nearest(&found, &words) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("expected one of `{}`", words.join("`, `")),
    };
    mistakes.add(value, format_args!("unknown task type `{found}`, {hint}"));
    None
}
