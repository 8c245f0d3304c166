//! What `track_var!` says where it finds something else than a place.

use super::place_expr::Place;
use crate::syntax::{Cursor, Mistakes, is_ident, is_punct};
use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// What is wanted.
pub(crate) const EXPECTED: &str =
    "expected a variable or a part of one, as in `x`, `self.field` or `items[0]`";

/// What helps where a value was found.
pub(crate) const BIND: &str = "bind the value with `let` first";

/// Notes the token behind a place, where that should have ended.
pub(crate) fn unexpected(cursor: &mut Cursor, mistakes: &mut Mistakes) {
    let Some(found) = cursor.bump() else { return };
    match &found {
        _ if is_punct(&found, '<') => mistakes.add(
            &found,
            "found `<`, expected a variable or a part of one: neither a type nor a comparison",
        ),
        TokenTree::Punct(first) => {
            let mut operator = TokenStream::from(found.clone());
            if first.spacing() == Spacing::Joint
                && let Some(TokenTree::Punct(second)) = cursor.peek()
                && second.as_char() != ','
            {
                operator.extend(cursor.bump());
            }
            mistakes.add(
                &operator,
                format_args!(
                    "found `{}`, expected a variable or a part of one: {BIND}",
                    operator.to_string().replace(' ', "")
                ),
            );
        }
        _ if is_ident(&found, "as") => mistakes
            .add(&found, format_args!("found `as`, expected a variable or a part of one: {BIND}")),
        TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
            mistakes.add(&found, "found `{`, expected `,`");
        }
        _ => mistakes.add(&found, format_args!("found `{found}`, expected `,`")),
    }
}

/// Notes what stands where a place should start, and takes it if it has commas of its own.
pub(crate) fn not_a_place(cursor: &mut Cursor, mistakes: &mut Mistakes) {
    let Some(found) = cursor.bump() else { return };
    let what = match &found {
        TokenTree::Punct(punct) => match punct.as_char() {
            '&' => return borrow(found, cursor, mistakes),
            '|' => {
                skip_parameters(cursor);
                "a closure".to_owned()
            }
            '\'' => "a label".to_owned(),
            '#' => "an attribute".to_owned(),
            char => format!("`{char}`"),
        },
        TokenTree::Literal(literal) => format!("the literal `{literal}`"),
        TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket => "an array".to_owned(),
        TokenTree::Group(_) => "a block".to_owned(),
        TokenTree::Ident(word) => match &*word.to_string() {
            word @ ("mut" | "ref") => {
                let message = format_args!(
                    "found `{word}`, expected the variable alone: `track_var!` only reads it"
                );
                return mistakes.add(&found, message);
            }
            word @ ("true" | "false") => format!("the literal `{word}`"),
            word @ ("async" | "unsafe") => format!("an `{word}` block"),
            "move" => {
                if cursor.punct('|').is_some() {
                    skip_parameters(cursor);
                }
                "a closure".to_owned()
            }
            word => format!("`{word}`"),
        },
    };
    mistakes.add(&found, format_args!("found {what}, {EXPECTED}"));
}

/// The rest of `|a, b|`: its commas separate no places.
fn skip_parameters(cursor: &mut Cursor) {
    cursor.until(|tree| is_punct(tree, '|'));
    cursor.punct('|');
}

/// `&x`, `&mut x`: `x` is all that is needed.
fn borrow(ampersand: TokenTree, cursor: &mut Cursor, mistakes: &mut Mistakes) {
    let mut ahead = cursor.clone();
    while ahead.punct('&').is_some() || ahead.keyword("mut").is_some() {}
    let meant = Place::parse(&mut ahead, &mut Mistakes::default());
    let write = meant.map(|place| format!(": write `{}`", super::unparse::spell(place.tokens)));
    let write = write.unwrap_or_default();
    mistakes.add(
        ampersand,
        format_args!("found `&`, expected a variable: `track_var!` borrows by itself{write}"),
    );
}
