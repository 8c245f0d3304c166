//! Parses the options of `#[memscope_rs::test(…)]`.

use crate::facade;
use crate::syntax::{Cursor, Mistakes, byte_size, for_each_option, nearest};
use proc_macro2::{Ident, TokenStream};
use syn::{LitInt, LitStr};

/// The limits of one test, and the path of the facade.
#[derive(Default)]
pub(super) struct Options {
    pub(super) peak: Option<u64>,
    pub(super) allocations: Option<u64>,
    pub(super) leaks: Option<u64>,
    krate: Option<TokenStream>,
}

impl Options {
    /// Parses `key = value, …`. Mistakes are added, and valid options are kept.
    pub(super) fn parse(arguments: TokenStream, mistakes: &mut Mistakes) -> Self {
        let mut options = Self::default();
        for_each_option(arguments, mistakes, |option, seen, mistakes| {
            options.parse_one(option, seen, mistakes);
        });
        options
    }

    fn parse_one(&mut self, option: &TokenStream, seen: &mut Vec<Ident>, mistakes: &mut Mistakes) {
        let mut cursor = Cursor::new(option.clone());
        let Some(key) = cursor.ident() else {
            return mistakes.add(
                option,
                format_args!(
                    "expected `peak`, `allocations`, `leaks` or `crate`, found `{option}`"
                ),
            );
        };
        let text = key.to_string();
        let Some(example) = example(&text) else {
            return mistakes.add(&key, unknown_option(&text));
        };
        if seen.contains(&key) {
            return mistakes.add(&key, format_args!("duplicate option `{key}`"));
        }
        seen.push(key.clone());
        let equals = cursor.punct('=');
        let value = cursor.rest();
        if equals.is_none() || value.is_empty() {
            return mistakes.add(key, format_args!("`{text}` needs a value, as in `{example}`"));
        }
        match &*text {
            "crate" => self.krate = facade::parse_path(value, mistakes),
            "allocations" => self.allocations = number(&value, mistakes),
            "peak" => self.peak = bytes(&value, &text, example, mistakes),
            _ => self.leaks = bytes(&value, &text, example, mistakes),
        }
    }

    /// Returns the path in front of `__private`.
    pub(super) fn facade(&self) -> TokenStream {
        self.krate.clone().unwrap_or_else(facade::default_path)
    }
}

fn example(option: &str) -> Option<&'static str> {
    match option {
        "peak" => Some("peak = \"64KiB\""),
        "allocations" => Some("allocations = 10"),
        "leaks" => Some("leaks = 0"),
        "crate" => Some("crate = ::memscope_rs"),
        _ => None,
    }
}

fn unknown_option(found: &str) -> String {
    match nearest(found, &["peak", "allocations", "leaks", "crate"]) {
        Some(meant) => format!("unknown option `{found}`, did you mean `{meant}`?"),
        None => {
            format!("unknown option `{found}`, expected `peak`, `allocations`, `leaks` or `crate`")
        }
    }
}

fn whole(value: &TokenStream) -> Option<u64> {
    syn::parse2::<LitInt>(value.clone()).ok()?.base10_parse().ok()
}

fn number(value: &TokenStream, mistakes: &mut Mistakes) -> Option<u64> {
    let number = whole(value);
    if number.is_none() {
        mistakes.add(
            value,
            format_args!(
                "`allocations` expects a whole number below 2^64, as in `allocations = 10`, \
                 found `{value}`"
            ),
        );
    }
    number
}

/// Parses a number of bytes, or a string such as `64KiB`.
fn bytes(value: &TokenStream, option: &str, example: &str, mistakes: &mut Mistakes) -> Option<u64> {
    if let Some(bytes) = whole(value) {
        return Some(bytes);
    }
    let Ok(text) = syn::parse2::<LitStr>(value.clone()) else {
        mistakes.add(
            value,
            format_args!(
                "`{option}` expects a size or a number of bytes, as in `{example}`, found `{value}`"
            ),
        );
        return None;
    };
    let text = text.value();
    let Some(size) = byte_size::parse(&text) else {
        mistakes.add(value, byte_size::expected("64KiB", &text));
        return None;
    };
    let bytes = size.bytes();
    if bytes.is_none() {
        mistakes.add(value, format_args!("`{option}` is below 2^64 bytes, found `{text}`"));
    }
    bytes
}
