//! Random tokens for property tests: every macro must produce output for any input.

use proc_macro2::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};
use proptest::prelude::*;
use quote::quote;

/// Generates random tokens, preferably those with a meaning for the macros, and sometimes `word`.
pub(crate) fn tokens(word: &'static str) -> BoxedStrategy<TokenStream> {
    const WORDS: &[&str] = &[
        "async",
        "fn",
        "impl",
        "mod",
        "trait",
        "self",
        "mut",
        "ref",
        "x",
        "Type",
        "pub",
        "unsafe",
        "extern",
        "const",
        "static",
        "where",
        "for",
        "let",
        "body",
        "move",
        "pin",
        "skip",
        "name",
        "task_type",
        "crate",
        "cfg_attr",
        "u8",
        "_",
        "struct",
        "enum",
        "deep",
        "await",
        "as",
        "Self",
    ];
    let tree = prop_oneof![
        1 => Just(TokenTree::from(Ident::new(word, Span::call_site()))),
        8 => proptest::sample::select(WORDS).prop_map(|word| Ident::new(word, Span::call_site()).into()),
        6 => (proptest::sample::select(&['<', '>', ':', ',', ';', '#', '!', '=', '-', '&', '*', '.', '?', '|'][..]), any::<bool>())
            .prop_map(|(char, joint)| {
                TokenTree::from(Punct::new(char, if joint { Spacing::Joint } else { Spacing::Alone }))
            }),
        1 => proptest::sample::select(&["io", "", "x y", "network"][..])
            .prop_map(|text| TokenTree::from(Literal::string(text))),
        1 => proptest::sample::select(&["1u8", "0", "0.1", "2."][..])
            .prop_map(|number| TokenTree::from(number.parse::<Literal>().expect("a number"))),
    ];
    let tree = prop_oneof![16 => tree.prop_map(TokenStream::from), 1 => Just(quote!('a))];
    let trees = proptest::collection::vec(tree, 0..12)
        .prop_map(|trees| trees.into_iter().collect::<TokenStream>());
    trees
        .prop_recursive(4, 64, 6, |inner| {
            let delimiters =
                [Delimiter::Brace, Delimiter::Parenthesis, Delimiter::Bracket, Delimiter::None];
            let group = (proptest::sample::select(delimiters.to_vec()), inner.clone()).prop_map(
                |(delimiter, inside)| {
                    TokenStream::from(TokenTree::from(Group::new(delimiter, inside)))
                },
            );
            proptest::collection::vec(prop_oneof![inner, group], 0..6)
                .prop_map(|parts| parts.into_iter().collect())
        })
        .boxed()
}
