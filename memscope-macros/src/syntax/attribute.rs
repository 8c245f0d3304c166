//! Parses attributes, and classifies them by their paths.

use super::tokens::{Cursor, regroup, split_commas};
use proc_macro2::{Delimiter, Group, Ident, Punct, TokenStream, TokenTree};
use quote::{ToTokens, TokenStreamExt};

/// `#[path ...]` or `#![path ...]`.
#[derive(Clone)]
pub(crate) struct Attribute {
    pub(crate) is_inner: bool,
    /// The segments of the path.
    pub(crate) path: Vec<Ident>,
    /// The content of the parentheses, if there are any.
    pub(crate) arguments: Option<Group>,
    pound: Punct,
    brackets: Group,
}

impl Attribute {
    pub(crate) fn parse_all(cursor: &mut Cursor) -> Vec<Self> {
        std::iter::from_fn(|| Self::parse(cursor)).collect()
    }

    pub(crate) fn parse(cursor: &mut Cursor) -> Option<Self> {
        let mut ahead = cursor.clone();
        let pound = ahead.punct('#')?;
        let is_inner = ahead.punct('!').is_some();
        let brackets = ahead.group(Delimiter::Bracket)?;
        *cursor = ahead;
        let mut meta = Cursor::new(brackets.stream());
        if meta.keyword("unsafe").is_some()
            && let Some(inside) = meta.group(Delimiter::Parenthesis)
        {
            meta = Cursor::new(inside.stream());
        }
        let (path, arguments) = parse_meta(meta);
        Some(Self { is_inner, path, arguments, pound, brackets })
    }

    pub(crate) fn is(&self, name: &str) -> bool {
        matches!(&*self.path, [only] if only == name)
    }

    /// Returns `true` for `#[tracked]`, by any path except that of another well-known crate.
    pub(crate) fn is_tracked(&self) -> bool {
        self.path.last().is_some_and(|last| last == "tracked")
            && self.path.first().is_some_and(|first| first != "salsa")
    }

    /// Returns `true` if the attribute only sets lint levels.
    pub(crate) fn sets_lints(&self) -> bool {
        sets_lints(&self.path, self.arguments.as_ref())
    }

    /// Returns the attribute with `allow` for each `expect`: a lint that fires on the original
    /// function need not fire on the generated one.
    pub(crate) fn allowing(&self) -> Self {
        let brackets = regroup(&self.brackets, allowing(self.brackets.stream()));
        Self { brackets, ..self.clone() }
    }

    /// Returns `true` if the attribute may be another macro, which must then see an `async fn`.
    pub(crate) fn is_macro(&self) -> bool {
        !self.is_tracked() && is_macro(&self.path, self.arguments.as_ref())
    }

    /// Returns the attribute as an outer one. Inner attributes are moved out of a body.
    pub(crate) fn into_outer(self) -> Self {
        Self { is_inner: false, ..self }
    }
}

fn parse_meta(mut meta: Cursor) -> (Vec<Ident>, Option<Group>) {
    let mut path = Vec::new();
    while meta.punct(':').is_some() {}
    while let Some(segment) = meta.ident() {
        path.push(segment);
        while meta.punct(':').is_some() {}
    }
    (path, meta.group(Delimiter::Parenthesis))
}

fn is_macro(path: &[Ident], arguments: Option<&Group>) -> bool {
    const INERT: &[&str] = &[
        "allow",
        "automatically_derived",
        "cfg",
        "cold",
        "deny",
        "deprecated",
        "doc",
        "expect",
        "forbid",
        "inline",
        "must_use",
        "warn",
    ];
    const TOOLS: &[&str] = &["clippy", "diagnostic", "miri", "rust_analyzer", "rustfmt"];
    match path {
        [name] if name == "cfg_attr" => arguments.is_none_or(|arguments| {
            split_commas(arguments.stream()).into_iter().skip(1).any(|meta| {
                let (path, arguments) = parse_meta(Cursor::new(meta));
                is_macro(&path, arguments.as_ref())
            })
        }),
        [name] => !INERT.iter().any(|inert| name == inert),
        [tool, _, ..] => !TOOLS.iter().any(|known| tool == known),
        [] => false,
    }
}

fn sets_lints(path: &[Ident], arguments: Option<&Group>) -> bool {
    const LEVELS: &[&str] = &["allow", "deny", "expect", "forbid", "warn"];
    match path {
        [name] if name == "cfg_attr" => arguments.is_some_and(|arguments| {
            split_commas(arguments.stream()).into_iter().skip(1).all(|meta| {
                let (path, arguments) = parse_meta(Cursor::new(meta));
                sets_lints(&path, arguments.as_ref())
            })
        }),
        [name] => LEVELS.iter().any(|level| name == level),
        _ => false,
    }
}

/// Returns the content of the brackets with `allow` for `expect`, also after the condition of a
/// `cfg_attr`.
fn allowing(meta: TokenStream) -> TokenStream {
    let mut trees: Vec<TokenTree> = meta.into_iter().collect();
    if let [TokenTree::Ident(name), TokenTree::Group(arguments)] = &mut *trees {
        if name == "expect" {
            *name = Ident::new("allow", name.span());
        } else if name == "cfg_attr" {
            let metas = split_commas(arguments.stream()).into_iter().enumerate();
            let metas = metas.map(|(at, meta)| if at == 0 { meta } else { allowing(meta) });
            *arguments = regroup(arguments, quote::quote!(#(#metas),*));
        }
    }
    trees.into_iter().collect()
}

impl ToTokens for Attribute {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        self.pound.to_tokens(tokens);
        if self.is_inner {
            tokens.append(Punct::new('!', proc_macro2::Spacing::Alone));
        }
        self.brackets.to_tokens(tokens);
    }
}
