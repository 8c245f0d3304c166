//! Collects errors in the user's code. Each is shown at the smallest wrong token, and the user's
//! item is emitted as well.

use super::tokens::Cursor;
use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::Error;

/// The mistakes found so far, in source order.
#[derive(Default)]
pub(crate) struct Mistakes(Vec<Error>);

impl Mistakes {
    /// Adds an error that is shown at `tokens`. The style of `message`: lower case, found then
    /// expected, no full stop.
    pub(crate) fn add(&mut self, tokens: impl ToTokens, message: impl std::fmt::Display) {
        self.0.push(Error::new_spanned(tokens, message));
    }

    /// Adds an error at the first token of `rest`, where a comma is missing.
    pub(crate) fn expected_comma(&mut self, rest: TokenStream) {
        let found = Cursor::new(rest).bump().map(ToTokens::into_token_stream).unwrap_or_default();
        self.add(&found, format_args!("expected `,`, found `{found}`"));
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Returns a `compile_error!` for each mistake.
    pub(crate) fn into_tokens(self) -> TokenStream {
        self.0.into_iter().map(Error::into_compile_error).collect()
    }
}

/// Returns the word of `known` that `found` probably means: a shortened, lengthened or mistyped
/// form of it.
pub(crate) fn nearest<'a>(found: &str, known: &[&'a str]) -> Option<&'a str> {
    let found = found.to_lowercase();
    if found.is_empty() {
        return None;
    }
    let near = |word: &&&str| {
        let tolerated = (word.len() / 3).max(1);
        let cut = word.len().min(found.len()) >= 2;
        distance(&found, word) <= tolerated
            || cut && (found.starts_with(**word) || word.starts_with(&found))
    };
    known.iter().filter(near).min_by_key(|word| distance(&found, word)).copied()
}

/// Returns the Damerau–Levenshtein distance: how many letters must be inserted, removed, replaced
/// or swapped with a neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before_last = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let replaced = last[j] + usize::from(a[i] != b[j]);
            let mut slips = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                let swapped: usize = before_last[j - 1];
                slips = slips.min(swapped + 1);
            }
            row.push(slips);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK_TYPES: &[&str] =
        &["cpu", "io", "network", "memory", "streaming", "background", "mixed"];

    #[test]
    fn nearest_word_is_found_through_slips_abbreviations_and_capitals() {
        for (found, meant) in [
            ("netwrk", "network"),
            ("netowrk", "network"),
            ("net", "network"),
            ("IO", "io"),
            ("oi", "io"),
            ("CpuIntensive", "cpu"),
            ("gpu", "cpu"),
            ("stream", "streaming"),
            ("mixd", "mixed"),
        ] {
            assert_eq!(nearest(found, TASK_TYPES), Some(meant), "{found}");
        }
        for found in ["database", "", "x", "🦀"] {
            assert_eq!(nearest(found, TASK_TYPES), None, "{found}");
        }
    }

    #[test]
    fn distance_counts_single_slips() {
        for (a, b, slips) in
            [("", "", 0), ("ab", "", 2), ("ab", "ba", 1), ("name", "nmae", 1), ("abc", "axc", 1)]
        {
            assert_eq!(distance(a, b), slips, "{a} {b}");
        }
    }
}
