//! Parses blocks of items: `impl`, `trait` and `mod`.

use super::tokens::{Cursor, is_braces, is_ident, is_punct, regroup};
use proc_macro2::{Delimiter, Group, Ident, Punct, TokenStream, TokenTree};
use quote::{ToTokens, TokenStreamExt};

/// `impl … { }`, `trait … { }` or `mod … { }`.
pub(crate) struct Block {
    pub(crate) keyword: Ident,
    /// The tokens from the keyword up to the braces.
    pub(crate) header: TokenStream,
    /// The type or trait that its functions belong to, if it has a plain name.
    pub(crate) owner: Option<String>,
    /// `None` for `mod name;`.
    pub(crate) braces: Option<Group>,
    semicolon: Option<Punct>,
}

impl Block {
    /// Takes a block if the next item is one. Its qualifiers are appended to `head`.
    pub(super) fn parse(cursor: &mut Cursor, head: &mut TokenStream) -> Option<Self> {
        let mut ahead = cursor.clone();
        let mut qualifiers = TokenStream::new();
        let keyword = loop {
            let word = ahead.ident()?;
            match &*word.to_string() {
                "impl" | "trait" | "mod" => break word,
                "unsafe" | "auto" | "default" | "const" => qualifiers.append(word),
                _ => return None,
            }
        };
        let generics = ahead.angle_brackets();
        let header = ahead.until(|tree| is_braces(tree) || is_punct(tree, ';'));
        let owner = if keyword == "mod" { None } else { owner(&header) };
        let braces = ahead.group(Delimiter::Brace);
        let semicolon = if braces.is_none() { Some(ahead.punct(';')?) } else { None };
        *cursor = ahead;
        head.extend(qualifiers);
        let mut tokens = TokenStream::from(TokenTree::from(keyword.clone()));
        tokens.extend(generics);
        tokens.extend(header);
        Some(Self { keyword, header: tokens, owner, braces, semicolon })
    }

    /// Returns the content of the braces.
    pub(crate) fn inside(&self) -> TokenStream {
        self.braces.as_ref().map(Group::stream).unwrap_or_default()
    }

    /// Prints the block with `inside` in its braces.
    pub(crate) fn to_tokens_with(&self, inside: TokenStream, tokens: &mut TokenStream) {
        self.header.to_tokens(tokens);
        if let Some(braces) = &self.braces {
            tokens.append(regroup(braces, inside));
        }
        self.semicolon.to_tokens(tokens);
    }
}

/// Returns the name of the type or trait: `Type` for `a::Type<T>` and for `Trait for &mut a::Type
/// where …`, the trait's name for `Trait<T>: Super`.
fn owner(header: &TokenStream) -> Option<String> {
    let mut cursor = Cursor::new(header.clone());
    let mut ty = cursor.until(|tree| is_ident(tree, "for") || is_ident(tree, "where"));
    // The `for` of `impl Trait for Type`, not of `for<'a> fn(&'a T)`.
    if cursor.keyword("for").is_some() && !cursor.peek_punct('<') {
        ty = cursor.until(|tree| is_ident(tree, "where"));
    }
    let mut cursor = Cursor::new(ty);
    while cursor.punct('&').is_some() || cursor.keyword("mut").is_some() {
        if cursor.punct('\'').is_some() {
            cursor.bump();
        }
    }
    let mut owner = None;
    loop {
        while cursor.punct(':').is_some() {
            // A single colon starts a trait's supertraits.
            if owner.is_some() && !cursor.peek_punct(':') {
                return owner;
            }
            cursor.punct(':');
        }
        match cursor.ident() {
            Some(word) if word == "dyn" => {}
            Some(word)
                if ["fn", "for", "unsafe", "extern"].iter().any(|keyword| word == keyword) =>
            {
                return None;
            }
            Some(segment) => owner = Some(segment.to_string()),
            None => return owner,
        }
        cursor.angle_brackets();
    }
}
