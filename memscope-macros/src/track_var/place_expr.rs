//! Parses place expressions: variables and paths from a variable to a part of it.
//!
//! ```text
//! place   = "*" operand | operand
//! operand = base { step }
//! step    = "." field | "[" index "]" | "." method "(" … ")" | "(" … ")" | "." "await" | "?"
//! base    = path | "(" place ")"
//! ```
//!
//! A place ends in a name, a field or an index, or starts with `*`.

use super::unparse::unparse;
use crate::syntax::{Cursor, Mistakes, is_ident, is_punct, regroup};
use proc_macro2::{Delimiter, Group, Ident, Literal, Spacing, Span, TokenStream, TokenTree};
use quote::{ToTokens, TokenStreamExt};

/// The part of a message that says what was expected.
pub(crate) const EXPECTED: &str =
    "expected a variable or a part of one, as in `x`, `self.field` or `items[0]`";

/// The part of a message that helps if a value was found.
pub(crate) const BIND: &str = "bind the value with `let` first";

/// A place expression as the user wrote it.
pub(crate) struct PlaceExpr {
    pub(crate) tokens: TokenStream,
    /// The span of its first token.
    pub(crate) span: Span,
    /// The last step, if it creates a new value instead of leading to an existing one.
    value: Option<Value>,
    is_dereferenced: bool,
}

/// A step that creates a value.
struct Value {
    tokens: TokenStream,
    what: &'static str,
}

impl PlaceExpr {
    /// Takes a place and stops after it. If there is no place, one mistake is added, and the cursor
    /// stops somewhere before the next comma.
    pub(crate) fn parse(cursor: &mut Cursor, mistakes: &mut Mistakes) -> Option<Self> {
        let place = Self::operand(cursor, mistakes)?;
        if let Some(Value { tokens, what }) = place.value {
            mistakes.add(
                tokens,
                format_args!("found {what}, expected a variable or a part of one: {BIND}"),
            );
            return None;
        }
        Some(place)
    }

    fn operand(cursor: &mut Cursor, mistakes: &mut Mistakes) -> Option<Self> {
        if let Some(group) = cursor.invisible_group() {
            let mut base = Self::inside(&group, mistakes)?;
            // The compiler ignores invisible groups in the output of a procedural macro. So if `$x`
            // is `*a`, it would read `$x.b` as `*a.b`.
            if base.is_dereferenced && is_step(&mut cursor.clone()) {
                let parentheses = Group::new(Delimiter::Parenthesis, base.tokens);
                base.tokens = TokenTree::from(parentheses).into();
                base.is_dereferenced = false;
            }
            return base.steps(cursor, mistakes);
        }
        let Some(star) = cursor.punct('*') else {
            return Self::base(cursor, mistakes)?.steps(cursor, mistakes);
        };
        if is_end(&mut cursor.clone()) {
            mistakes.add(star, "found nothing behind `*`, expected a variable");
            return None;
        }
        let operand = Self::operand(cursor, mistakes)?;
        let span = star.span();
        let mut tokens = TokenStream::from(TokenTree::from(star));
        tokens.extend(operand.tokens);
        Some(Self { tokens, span, value: None, is_dereferenced: true })
    }

    /// Parses the place inside a group.
    fn inside(group: &Group, mistakes: &mut Mistakes) -> Option<Self> {
        let mut cursor = Cursor::new(group.stream());
        if cursor.clone().is_empty() {
            mistakes.add(group, format_args!("found `{group}`, {EXPECTED}"));
            return None;
        }
        let place = Self::operand(&mut cursor, mistakes)?;
        if cursor.is_empty() {
            return Some(place);
        }
        if cursor.peek_punct(',') {
            mistakes.add(group, "found a tuple, expected a variable: list several without parentheses, as in `track_var!(a, b)`");
        } else {
            unexpected(&mut cursor, mistakes);
        }
        None
    }

    fn base(cursor: &mut Cursor, mistakes: &mut Mistakes) -> Option<Self> {
        if let Some(group) = cursor.group(Delimiter::Parenthesis) {
            let place = Self::inside(&group, mistakes)?;
            let tokens = TokenTree::from(regroup(&group, place.tokens)).into();
            return Some(Self { tokens, span: group.span(), is_dereferenced: false, ..place });
        }
        let mut ahead = cursor.clone();
        let mut tokens = ahead.path_separator().unwrap_or_default();
        match ahead.peek_ident().filter(is_name) {
            Some(_) => {}
            None if tokens.is_empty() => {
                not_a_place(cursor, mistakes);
                return None;
            }
            None => {
                mistakes.add(tokens, "expected a name behind `::`");
                return None;
            }
        }
        tokens.extend(ahead.bump());
        while let Some(separator) = ahead.path_separator() {
            let segment = match ahead.ident() {
                Some(name) => name.into_token_stream(),
                None => ahead.angle_brackets(),
            };
            if segment.is_empty() {
                mistakes.add(separator, "expected a name behind `::`");
                return None;
            }
            tokens.extend(separator);
            tokens.extend(segment);
        }
        *cursor = ahead;
        if let Some(bang) = cursor.clone().punct('!')
            && bang.spacing() == Spacing::Alone
        {
            tokens.append(bang);
            mistakes.add(
                tokens,
                format_args!("found a macro call, expected a variable or a part of one: {BIND}"),
            );
            return None;
        }
        let span =
            tokens.clone().into_iter().next().map_or_else(Span::call_site, |tree| tree.span());
        Some(Self { tokens, span, value: None, is_dereferenced: false })
    }

    /// Takes the steps that follow a base.
    fn steps(mut self, cursor: &mut Cursor, mistakes: &mut Mistakes) -> Option<Self> {
        loop {
            let mut ahead = cursor.clone();
            if let Some(dot) = ahead.punct('.') {
                if ahead.peek_punct('.') {
                    return Some(self);
                }
                self.tokens.append(dot.clone());
                let Some((step, value)) = member(&mut ahead) else {
                    match ahead.bump() {
                        Some(found) if !is_punct(&found, ',') => mistakes.add(
                            &found,
                            format_args!("found `{found}`, expected the name or number of a field"),
                        ),
                        _ => mistakes.add(dot, "expected the name or number of a field behind `.`"),
                    }
                    return None;
                };
                self.value = value.map(|what| Value { tokens: step.clone(), what });
                self.tokens.extend(step);
            } else if let Some(index) = ahead.group(Delimiter::Bracket) {
                if index.stream().is_empty() {
                    mistakes.add(index, "found `[]`, expected an index inside");
                    return None;
                }
                self.tokens.append(index);
                self.value = None;
            } else if let Some(arguments) = ahead.group(Delimiter::Parenthesis) {
                let mut call = self.tokens.clone();
                call.append(arguments.clone());
                self.tokens.append(arguments);
                self.value = Some(Value { tokens: call, what: "a call" });
            } else if let Some(question_mark) = ahead.punct('?') {
                self.tokens.append(question_mark.clone());
                self.value = Some(Value { tokens: question_mark.into_token_stream(), what: "`?`" });
            } else {
                return Some(self);
            }
            *cursor = ahead;
        }
    }
}

/// Returns `true` at the end of a place in a list or group: before a comma, or after the last
/// token.
pub(crate) fn is_end(cursor: &mut Cursor) -> bool {
    cursor.is_empty() || cursor.peek_punct(',')
}

fn is_step(cursor: &mut Cursor) -> bool {
    cursor.peek_punct('.')
        || cursor.peek_punct('?')
        || cursor.peek_group(Delimiter::Bracket)
        || cursor.peek_group(Delimiter::Parenthesis)
}

/// Takes the step after a `.`. If the step creates a value, also returns what it is.
fn member(cursor: &mut Cursor) -> Option<(TokenStream, Option<&'static str>)> {
    if let Some(TokenTree::Literal(literal)) = cursor.peek() {
        let literal = literal.clone();
        let is_index = is_index(&literal);
        return is_index.then(|| cursor.bump()).flatten().map(|tree| (tree.into(), None));
    }
    let name = cursor.ident()?;
    let is_await = name == "await";
    let mut tokens = name.into_token_stream();
    if is_await {
        return Some((tokens, Some("`await`")));
    }
    if let Some(separator) = cursor.path_separator() {
        tokens.extend(separator);
        let types = cursor.angle_brackets();
        if types.is_empty() {
            return None;
        }
        tokens.extend(types);
        if !cursor.peek_group(Delimiter::Parenthesis) {
            return None;
        }
    }
    match cursor.group(Delimiter::Parenthesis) {
        Some(arguments) => {
            tokens.append(arguments);
            Some((tokens, Some("a method call")))
        }
        None => Some((tokens, None)),
    }
}

/// Returns `true` for `0`, and for `0.1`, which is one literal although it names two fields.
fn is_index(literal: &Literal) -> bool {
    let text = literal.to_string();
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.split('.').count() <= 2 && text.split('.').all(is_number)
}

/// Returns `true` if a path can start with this word.
fn is_name(word: &Ident) -> bool {
    const KEYWORDS: [&str; 39] = [
        "_", "abstract", "as", "async", "await", "become", "box", "break", "const", "continue",
        "do", "dyn", "else", "enum", "extern", "false", "fn", "for", "if", "impl", "in", "let",
        "loop", "macro", "match", "mod", "move", "mut", "pub", "ref", "return", "static", "struct",
        "true", "type", "unsafe", "use", "where", "while",
    ];
    !KEYWORDS.iter().any(|keyword| word == keyword)
}

/// Adds a mistake at the token after a place, where the place should have ended.
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

/// Adds a mistake at the token where a place should start. Takes the token with what belongs to it,
/// if that contains commas.
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

/// Takes the rest of `|a, b|`, whose commas do not separate places.
fn skip_parameters(cursor: &mut Cursor) {
    cursor.until(|tree| is_punct(tree, '|'));
    cursor.punct('|');
}

/// Adds a mistake for `&x` and `&mut x`, where `x` alone is needed.
fn borrow(ampersand: TokenTree, cursor: &mut Cursor, mistakes: &mut Mistakes) {
    let mut ahead = cursor.clone();
    while ahead.punct('&').is_some() || ahead.keyword("mut").is_some() {}
    let meant = PlaceExpr::parse(&mut ahead, &mut Mistakes::default());
    let write = meant.map(|place| format!(": write `{}`", unparse(place.tokens)));
    let write = write.unwrap_or_default();
    mistakes.add(
        ampersand,
        format_args!("found `&`, expected a variable: `track_var!` borrows by itself{write}"),
    );
}
