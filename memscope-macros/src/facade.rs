//! The path of `memscope_rs` in generated code.

use crate::syntax::{Cursor, Mistakes};
use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};

/// Returns the path of the facade if the user gives none.
pub(crate) fn default_path() -> TokenStream {
    quote::quote_spanned!(Span::mixed_site()=> ::memscope_rs)
}

/// Parses a path of names joined by `::`: `a::b`, `::a`, `$crate`, `crate::a`.
pub(crate) fn parse_path(value: TokenStream, mistakes: &mut Mistakes) -> Option<TokenStream> {
    let mut cursor = Cursor::new(value.clone());
    let colons = |cursor: &mut Cursor| cursor.punct(':').is_some() && cursor.punct(':').is_some();
    let leading = cursor.peek_punct(':');
    if leading && !colons(&mut cursor) || cursor.ident().is_none() {
        mistakes.add(
            &value,
            format_args!("`crate` expects a path, as in `crate = ::memscope_rs`, found `{value}`"),
        );
        return None;
    }
    while !cursor.is_empty() {
        let left = cursor.clone();
        if !colons(&mut cursor) || cursor.ident().is_none() {
            mistakes.expected_comma(left.rest());
            return None;
        }
    }
    Some(strip_invisible(value))
}

/// Removes the invisible group around an interpolated path.
fn strip_invisible(tokens: TokenStream) -> TokenStream {
    let mut trees = tokens.clone().into_iter();
    match (trees.next(), trees.next()) {
        (Some(TokenTree::Group(group)), None) if group.delimiter() == Delimiter::None => {
            strip_invisible(group.stream())
        }
        _ => tokens,
    }
}
