//! Interpolated blocks and expressions of other macros (`$body:block`): whose braces they are.

use crate::syntax::{mixed_site_at, regroup};
use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The tokens with the delimiters of interpolated blocks and expressions (`$body:block`) marked as
/// not written here; `None` where there are none.
///
/// Where no attribute macro is in between, the compiler knows where `{ 7 }` comes from. Behind one
/// it takes the braces for superfluous ones of the user.
pub(super) fn without_written_delimiters(tokens: &TokenStream) -> Option<TokenStream> {
    let mut is_changed = false;
    let trees: Vec<TokenTree> = tokens
        .clone()
        .into_iter()
        .map(|tree| {
            let TokenTree::Group(group) = &tree else { return tree };
            let inside = without_written_delimiters(&group.stream());
            let is_interpolated = group.delimiter() == Delimiter::None;
            let stream = match (inside, is_interpolated) {
                (None, false) => return tree,
                (inside, is_interpolated) => {
                    let stream = inside.unwrap_or_else(|| group.stream());
                    if is_interpolated { not_written(stream) } else { stream }
                }
            };
            is_changed = true;
            regroup(group, stream).into()
        })
        .collect();
    is_changed.then(|| trees.into_iter().collect())
}

/// The group that `tokens` are, if they are one, as ours.
fn not_written(tokens: TokenStream) -> TokenStream {
    let mut trees: Vec<TokenTree> = tokens.into_iter().collect();
    if let [TokenTree::Group(group)] = &mut *trees {
        group.set_span(mixed_site_at(group.span()));
    }
    trees.into_iter().collect()
}
