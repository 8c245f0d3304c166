//! Marks the delimiters of interpolated blocks and expressions (`$body:block`) as generated.

use crate::syntax::{mixed_site_at, regroup};
use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Returns the tokens with the delimiters of interpolated blocks and expressions marked as
/// generated; `None` if there are none.
///
/// The compiler normally knows where the braces of `{ 7 }` come from. After an attribute macro it
/// takes them for unnecessary braces of the user.
pub(super) fn mark_interpolated(tokens: &TokenStream) -> Option<TokenStream> {
    let mut is_changed = false;
    let trees: Vec<TokenTree> = tokens
        .clone()
        .into_iter()
        .map(|tree| {
            let TokenTree::Group(group) = &tree else { return tree };
            let inside = mark_interpolated(&group.stream());
            let is_interpolated = group.delimiter() == Delimiter::None;
            let stream = match (inside, is_interpolated) {
                (None, false) => return tree,
                (inside, is_interpolated) => {
                    let stream = inside.unwrap_or_else(|| group.stream());
                    if is_interpolated { as_generated(stream) } else { stream }
                }
            };
            is_changed = true;
            regroup(group, stream).into()
        })
        .collect();
    is_changed.then(|| trees.into_iter().collect())
}

/// If `tokens` are a single group, returns that group with a generated span.
fn as_generated(tokens: TokenStream) -> TokenStream {
    let mut trees: Vec<TokenTree> = tokens.into_iter().collect();
    if let [TokenTree::Group(group)] = &mut *trees {
        group.set_span(mixed_site_at(group.span()));
    }
    trees.into_iter().collect()
}
