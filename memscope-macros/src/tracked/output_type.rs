//! Rewrites the output types of functions. Only their spelling is known.

use crate::syntax::{Angles, Cursor, mixed_site_at, regroup, split_commas};
use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use quote::TokenStreamExt;

pub(super) fn is_never(ty: TokenStream) -> bool {
    let mut cursor = Cursor::new(ty);
    cursor.punct('!').is_some() && cursor.is_empty()
}

/// Returns `true` if a type may be a future. Only the spelling is known, so an unknown type may be
/// one.
pub(super) fn may_be_future(ty: TokenStream) -> bool {
    const NO_FUTURES: &[&str] = &[
        "bool", "char", "f32", "f64", "i8", "i16", "i32", "i64", "i128", "isize", "str", "u8",
        "u16", "u32", "u64", "u128", "usize", "BTreeMap", "Bytes", "Duration", "HashMap", "Option",
        "Result", "String", "Vec",
    ];
    let mut cursor = Cursor::new(ty);
    while cursor.punct('&').is_some() || cursor.keyword("mut").is_some() {
        if cursor.punct('\'').is_some() {
            cursor.bump();
        }
    }
    while cursor.punct(':').is_some() {}
    if let Some(inside) = cursor.group(Delimiter::Parenthesis) {
        // A tuple is not a future. A type in parentheses may be one.
        let parts = split_commas(inside.stream());
        let [only] = &*parts else { return false };
        return only.to_string() == inside.stream().to_string() && may_be_future(only.clone());
    }
    let is_path = cursor.peek_ident().is_some() || cursor.peek_punct('<');
    let mut last = None;
    while let Some(segment) = cursor.ident() {
        last = Some(segment);
        while cursor.punct(':').is_some() {}
    }
    is_path && last.is_none_or(|last| !NO_FUTURES.iter().any(|known| last == known))
}

/// Returns the type with every `impl` capturing all lifetimes in scope, as in an `async fn` of any
/// edition.
pub(super) fn capture_all_lifetimes(ty: TokenStream) -> TokenStream {
    ty.into_iter()
        .map(|tree| match tree {
            TokenTree::Ident(word) if word == "impl" => {
                Ident::new("impl", mixed_site_at(word.span())).into()
            }
            TokenTree::Group(group) => {
                regroup(&group, capture_all_lifetimes(group.stream())).into()
            }
            other => other,
        })
        .collect()
}

/// Returns the type with `_` for every `impl Trait` in it.
pub(super) fn infer_impls(ty: TokenStream) -> TokenStream {
    let mut trees = ty.into_iter().peekable();
    let mut inferred = TokenStream::new();
    while let Some(tree) = trees.next() {
        match tree {
            TokenTree::Ident(word) if word == "impl" => {
                inferred.append(Ident::new("_", mixed_site_at(word.span())));
                let mut angles = Angles::default();
                while let Some(bound) = trees.next_if(|tree| !angles.is_end(tree)) {
                    angles.see(&bound);
                }
            }
            TokenTree::Group(group) => {
                inferred.append(regroup(&group, infer_impls(group.stream())));
            }
            other => inferred.append(other),
        }
    }
    inferred
}
