//! Parses the arguments of functions: their patterns and their types.

use super::attribute::Attribute;
use super::tokens::{Cursor, is_punct, split_commas};
use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use quote::TokenStreamExt;

#[derive(Clone)]
pub(crate) struct Argument {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) kind: ArgumentKind,
    /// Everything after the attributes.
    pub(crate) tokens: TokenStream,
    /// Whether dropping the argument may run code, judged by the spelling of its type.
    pub(crate) may_need_drop: bool,
}

#[derive(Clone)]
pub(crate) enum ArgumentKind {
    /// `self` in any form.
    Receiver(Ident),
    /// `name: ty`, `mut name: ty`.
    Named { mutability: Option<Ident>, name: Ident, ty: TokenStream },
    /// Any other pattern.
    Pattern { pattern: TokenStream, ty: TokenStream },
}

impl Argument {
    pub(super) fn parse(tokens: TokenStream) -> Self {
        let mut cursor = Cursor::new(tokens);
        let attributes = Attribute::parse_all(&mut cursor);
        let tokens = cursor.clone().rest();
        if let Some(self_token) = receiver(cursor.clone()) {
            let is_reference = cursor.peek_punct('&');
            cursor.until(is_colon);
            let ty = cursor.punct(':').map(|_| cursor.rest());
            let may_need_drop = !is_reference && ty.is_none_or(may_need_drop);
            return Self {
                attributes,
                kind: ArgumentKind::Receiver(self_token),
                tokens,
                may_need_drop,
            };
        }
        let pattern = pattern_before_colon(&mut cursor);
        cursor.punct(':');
        let ty = cursor.rest();
        let may_need_drop = may_need_drop(ty.clone());
        let kind = match named(pattern.clone()) {
            Some((mutability, name)) => ArgumentKind::Named { mutability, name, ty },
            None => ArgumentKind::Pattern { pattern, ty },
        };
        Self { attributes, kind, tokens, may_need_drop }
    }
}

fn is_colon(tree: &TokenTree) -> bool {
    is_punct(tree, ':')
}

/// Takes the tokens before the first `:` that is not part of a `::`.
fn pattern_before_colon(cursor: &mut Cursor) -> TokenStream {
    let mut pattern = TokenStream::new();
    loop {
        pattern.extend(cursor.until(is_colon));
        let mut ahead = cursor.clone();
        match (ahead.punct(':'), ahead.peek_punct(':')) {
            (Some(first), true) if first.spacing() == proc_macro2::Spacing::Joint => {
                pattern.append(first);
                pattern.extend(ahead.bump());
                *cursor = ahead;
            }
            _ => return pattern,
        }
    }
}

/// Returns the `self` of `self`, `mut self`, `&self`, `&'a mut self` or `self: ty`.
fn receiver(mut cursor: Cursor) -> Option<Ident> {
    if cursor.punct('&').is_some() && cursor.punct('\'').is_some() {
        cursor.bump();
    }
    cursor.keyword("mut");
    cursor.keyword("self")
}

/// Parses a pattern that is a single variable.
fn named(pattern: TokenStream) -> Option<(Option<Ident>, Ident)> {
    let mut cursor = Cursor::new(pattern);
    let mutability = cursor.keyword("mut");
    let name = cursor.ident()?;
    (cursor.is_empty() && is_variable(&name)).then_some((mutability, name))
}

/// Returns `true` if `name` in a pattern is a new variable. A name with a capital letter may be a
/// unit struct or a constant.
pub(crate) fn is_variable(name: &Ident) -> bool {
    const KEYWORDS: &[&str] = &["_", "box", "const", "false", "mut", "ref", "self", "true"];
    let text = name.to_string();
    let is_capital =
        text.trim_start_matches("r#").trim_start_matches('_').starts_with(char::is_uppercase);
    !is_capital && !KEYWORDS.contains(&&*text)
}

/// Returns `true` if dropping a value of type `ty` may run code. Only the spelling is known, so any
/// unknown type may.
fn may_need_drop(ty: TokenStream) -> bool {
    const PLAIN: &[&str] = &[
        "bool", "char", "f32", "f64", "i8", "i16", "i32", "i64", "i128", "isize", "u8", "u16",
        "u32", "u64", "u128", "usize",
    ];
    let mut cursor = Cursor::new(ty);
    match cursor.bump() {
        Some(TokenTree::Punct(punct)) => !matches!(punct.as_char(), '&' | '*' | '!'),
        Some(TokenTree::Ident(ident)) if ident == "fn" => false,
        Some(TokenTree::Ident(ident)) => {
            !cursor.is_empty() || !PLAIN.iter().any(|plain| ident == plain)
        }
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis => {
            split_commas(group.stream()).into_iter().any(may_need_drop)
        }
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Bracket => {
            let mut inside = Cursor::new(group.stream());
            may_need_drop(inside.until(|tree| is_punct(tree, ';')))
        }
        _ => true,
    }
}
