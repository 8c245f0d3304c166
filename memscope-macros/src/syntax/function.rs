//! Parses functions: signatures are split into parts, bodies are kept as raw tokens.

use super::argument::Argument;
use super::tokens::{Cursor, is_braces, is_ident, is_punct, split_commas};
use proc_macro2::{Delimiter, Group, Ident, Punct, TokenStream, TokenTree};
use quote::{ToTokens, TokenStreamExt};

/// `fn name<generics>(inputs) -> output where … { body }`.
pub(crate) struct Function {
    pub(crate) constness: Option<Ident>,
    pub(crate) asyncness: Option<Ident>,
    /// The qualifiers after the `async`.
    pub(crate) qualifiers: TokenStream,
    pub(crate) fn_token: Ident,
    pub(crate) name: Ident,
    pub(crate) generics: TokenStream,
    pub(crate) parentheses: Group,
    pub(crate) inputs: Vec<Argument>,
    /// The type after the `->`.
    pub(crate) output: Option<TokenStream>,
    pub(crate) arrow: TokenStream,
    pub(crate) where_clause: TokenStream,
    /// `None` for a declaration in a trait.
    pub(crate) body: Option<Group>,
    semicolon: Option<Punct>,
}

impl Function {
    /// Takes a function if the next item is one. Its qualifiers are appended to `head`.
    pub(super) fn parse(cursor: &mut Cursor, head: &mut TokenStream) -> Option<Self> {
        let mut ahead = cursor.clone();
        let (mut before_async, mut qualifiers) = (TokenStream::new(), TokenStream::new());
        let (mut constness, mut asyncness) = (None, None);
        let fn_token = loop {
            let word = ahead.ident()?;
            match &*word.to_string() {
                "fn" => break word,
                "async" if asyncness.is_none() => {
                    before_async = std::mem::take(&mut qualifiers);
                    asyncness = Some(word);
                }
                "const" => {
                    qualifiers.append(word.clone());
                    constness = Some(word);
                }
                "extern" => {
                    qualifiers.append(word);
                    if matches!(ahead.peek(), Some(TokenTree::Literal(_))) {
                        qualifiers.extend(ahead.bump());
                    }
                }
                "unsafe" | "safe" | "default" | "final" => qualifiers.append(word),
                _ => return None,
            }
        };
        let name = ahead.ident()?;
        let generics = ahead.angle_brackets();
        let parentheses = ahead.group(Delimiter::Parenthesis)?;
        let is_end =
            |tree: &TokenTree| is_braces(tree) || is_interpolated_body(tree) || is_punct(tree, ';');
        let (mut arrow, mut output) = (TokenStream::new(), None);
        if ahead.peek_punct('-') {
            arrow.extend(ahead.punct('-'));
            arrow.extend(ahead.punct('>'));
            output = Some(ahead.until(|tree| is_end(tree) || is_ident(tree, "where")));
        }
        let mut where_clause = TokenStream::new();
        if ahead.peek_ident().is_some_and(|word| word == "where") {
            where_clause = ahead.until(is_end);
        }
        let body = ahead.group(Delimiter::Brace);
        let semicolon = if body.is_none() { Some(ahead.punct(';')?) } else { None };
        let inputs = split_commas(parentheses.stream()).into_iter().map(Argument::parse).collect();
        *cursor = ahead;
        head.extend(before_async);
        Some(Self {
            constness,
            asyncness,
            qualifiers,
            fn_token,
            name,
            generics,
            parentheses,
            inputs,
            output,
            arrow,
            where_clause,
            body,
            semicolon,
        })
    }
}

/// Returns `true` for the invisible group around an interpolated `$body:block`.
fn is_interpolated_body(tree: &TokenTree) -> bool {
    matches!(tree, TokenTree::Group(group) if group.delimiter() == Delimiter::None
        && Cursor::new(group.stream()).peek_group(Delimiter::Brace))
}

impl ToTokens for Function {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        self.asyncness.to_tokens(tokens);
        self.qualifiers.to_tokens(tokens);
        self.fn_token.to_tokens(tokens);
        self.name.to_tokens(tokens);
        self.generics.to_tokens(tokens);
        self.parentheses.to_tokens(tokens);
        self.arrow.to_tokens(tokens);
        self.output.to_tokens(tokens);
        self.where_clause.to_tokens(tokens);
        self.body.to_tokens(tokens);
        self.semicolon.to_tokens(tokens);
    }
}
