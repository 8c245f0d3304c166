//! What `#[tracked]` is put on: heads are taken apart, bodies kept as raw tokens.

use super::tokens::{Cursor, is_ident, is_punct, split_commas};
use proc_macro2::{Delimiter, Group, Ident, Punct, TokenStream, TokenTree};
use quote::{ToTokens, TokenStreamExt};

/// One item of any kind. What is not a function or a block is only measured, to be passed on.
pub(crate) struct Item {
    pub(crate) attributes: Vec<Attribute>,
    /// Visibility and the qualifiers before an `async`.
    pub(crate) head: TokenStream,
    pub(crate) kind: Kind,
}

pub(crate) enum Kind {
    Function(Box<Function>),
    Block(Block),
    /// Anything else, with the keyword or name that says what it is.
    Other {
        keyword: TokenTree,
        tokens: TokenStream,
    },
    /// Inner attributes and stray tokens at the end of a block.
    Nothing,
}

/// `#[path ...]` or `#![path ...]`.
#[derive(Clone)]
pub(crate) struct Attribute {
    pub(crate) is_inner: bool,
    /// The segments of the path.
    pub(crate) path: Vec<Ident>,
    /// What is in the parentheses, if there are any.
    pub(crate) arguments: Option<Group>,
    pound: Punct,
    brackets: Group,
}

/// `fn name<generics>(inputs) -> output where … { body }`.
pub(crate) struct Function {
    pub(crate) constness: Option<Ident>,
    pub(crate) asyncness: Option<Ident>,
    /// Those behind the `async`.
    pub(crate) qualifiers: TokenStream,
    pub(crate) fn_token: Ident,
    pub(crate) name: Ident,
    pub(crate) generics: TokenStream,
    pub(crate) parentheses: Group,
    pub(crate) inputs: Vec<Argument>,
    /// The type behind the `->`.
    pub(crate) output: Option<TokenStream>,
    pub(crate) arrow: TokenStream,
    pub(crate) where_clause: TokenStream,
    /// `None` for a declaration in a trait.
    pub(crate) body: Option<Group>,
    semicolon: Option<Punct>,
}

#[derive(Clone)]
pub(crate) struct Argument {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) kind: ArgumentKind,
    /// Everything behind the attributes.
    pub(crate) tokens: TokenStream,
    /// As far as can be told from the spelling of its type, whether dropping the argument may run
    /// code.
    pub(crate) may_need_drop: bool,
}

#[derive(Clone)]
pub(crate) enum ArgumentKind {
    /// `self` in any form.
    Receiver(Ident),
    /// `name: ty`, `mut name: ty`.
    Named { mutability: Option<Ident>, name: Ident, ty: TokenStream },
    /// Every other pattern.
    Pattern { pattern: TokenStream, ty: TokenStream },
}

/// `impl … { }`, `trait … { }` or `mod … { }`.
pub(crate) struct Block {
    pub(crate) keyword: Ident,
    /// From the keyword up to the braces.
    pub(crate) header: TokenStream,
    /// The type or trait its functions belong to, if it has a plain name.
    pub(crate) owner: Option<String>,
    /// `None` for `mod name;`.
    pub(crate) braces: Option<Group>,
    semicolon: Option<Punct>,
}

impl Item {
    /// Takes the next item. Never fails: what is not understood is [`Kind::Other`].
    pub(crate) fn parse(cursor: &mut Cursor) -> Self {
        let attributes = Attribute::parse_all(cursor);
        let mut head = TokenStream::new();
        if let Some(visibility) = cursor.keyword("pub") {
            head.append(visibility);
            head.extend(cursor.group(Delimiter::Parenthesis));
        }
        let kind = Function::parse(cursor, &mut head)
            .map(|function| Kind::Function(Box::new(function)))
            .or_else(|| Block::parse(cursor, &mut head).map(Kind::Block))
            .unwrap_or_else(|| other(cursor));
        Self { attributes, head, kind }
    }
}

/// Takes an item of which only the end matters.
fn other(cursor: &mut Cursor) -> Kind {
    let Some(keyword) = cursor.peek().cloned() else { return Kind::Nothing };
    // In a value, `<` compares and braces belong to an expression: only `;` ends it.
    let is_value =
        ["const", "static", "type", "use", "let"].iter().any(|word| is_ident(&keyword, word));
    let mut tokens = TokenStream::new();
    if is_value {
        while let Some(tree) = cursor.bump() {
            let is_end = is_punct(&tree, ';');
            tokens.append(tree);
            if is_end {
                break;
            }
        }
    } else {
        tokens.extend(cursor.until(|tree| is_punct(tree, ';') || is_braces(tree)));
        tokens.extend(cursor.bump());
    }
    Kind::Other { keyword, tokens }
}

fn is_braces(tree: &TokenTree) -> bool {
    matches!(tree, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
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

    /// Whether it is `#[tracked]`, by whatever path, and not that of another well-known crate.
    pub(crate) fn is_tracked(&self) -> bool {
        self.path.last().is_some_and(|last| last == "tracked")
            && self.path.first().is_some_and(|first| first != "salsa")
    }

    /// Whether it says which lints may fire, and nothing else.
    pub(crate) fn sets_lints(&self) -> bool {
        sets_lints(&self.path, self.arguments.as_ref())
    }

    /// The attribute with `allow` for each `expect`: a lint that fires on the function as written
    /// need not fire on what it becomes.
    pub(crate) fn allowing(&self) -> Self {
        let brackets = super::tokens::regroup(&self.brackets, allowing(self.brackets.stream()));
        Self { brackets, ..self.clone() }
    }

    /// Whether another macro may be behind it, and must find an `async fn`.
    pub(crate) fn is_macro(&self) -> bool {
        !self.is_tracked() && is_macro(&self.path, self.arguments.as_ref())
    }

    /// The same attribute as an outer one: inner ones are lifted out of a body.
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

/// The brackets' content with `allow` for `expect`, also behind the condition of a `cfg_attr`.
fn allowing(meta: TokenStream) -> TokenStream {
    let mut trees: Vec<TokenTree> = meta.into_iter().collect();
    if let [TokenTree::Ident(name), TokenTree::Group(arguments)] = &mut *trees {
        if name == "expect" {
            *name = Ident::new("allow", name.span());
        } else if name == "cfg_attr" {
            let metas = split_commas(arguments.stream()).into_iter().enumerate();
            let metas = metas.map(|(at, meta)| if at == 0 { meta } else { allowing(meta) });
            *arguments = super::tokens::regroup(arguments, quote::quote!(#(#metas),*));
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

impl Function {
    /// Takes a function if that is what comes; its qualifiers go to `head`.
    fn parse(cursor: &mut Cursor, head: &mut TokenStream) -> Option<Self> {
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

/// Whether it is the invisible group that an interpolated `$body:block` comes in.
fn is_interpolated_body(tree: &TokenTree) -> bool {
    matches!(tree, TokenTree::Group(group) if group.delimiter() == Delimiter::None
        && Cursor::new(group.stream()).peek_group(Delimiter::Brace))
}

impl Argument {
    fn parse(tokens: TokenStream) -> Self {
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

/// Takes the tokens before the first `:` that is not half of a `::`.
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

/// The `self` of `self`, `mut self`, `&self`, `&'a mut self` or `self: ty`.
fn receiver(mut cursor: Cursor) -> Option<Ident> {
    if cursor.punct('&').is_some() && cursor.punct('\'').is_some() {
        cursor.bump();
    }
    cursor.keyword("mut");
    cursor.keyword("self")
}

/// A pattern that is one variable.
fn named(pattern: TokenStream) -> Option<(Option<Ident>, Ident)> {
    let mut cursor = Cursor::new(pattern);
    let mutability = cursor.keyword("mut");
    let name = cursor.ident()?;
    (cursor.is_empty() && is_variable(&name)).then_some((mutability, name))
}

/// Whether `name` in a pattern is a new variable. One with a capital letter may be a unit struct or
/// a constant.
pub(crate) fn is_variable(name: &Ident) -> bool {
    const KEYWORDS: &[&str] = &["_", "box", "const", "false", "mut", "ref", "self", "true"];
    let text = name.to_string();
    let is_capital =
        text.trim_start_matches("r#").trim_start_matches('_').starts_with(char::is_uppercase);
    !is_capital && !KEYWORDS.contains(&&*text)
}

/// Whether a value of type `ty` may run code when dropped; only the spelling is known, so in doubt
/// it may.
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

impl Block {
    /// Takes a block if that is what comes; its qualifiers go to `head`.
    fn parse(cursor: &mut Cursor, head: &mut TokenStream) -> Option<Self> {
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

    /// What is in the braces.
    pub(crate) fn inside(&self) -> TokenStream {
        self.braces.as_ref().map(Group::stream).unwrap_or_default()
    }

    /// Prints the block with `inside` in its braces.
    pub(crate) fn to_tokens_with(&self, inside: TokenStream, tokens: &mut TokenStream) {
        self.header.to_tokens(tokens);
        if let Some(braces) = &self.braces {
            tokens.append(super::tokens::regroup(braces, inside));
        }
        self.semicolon.to_tokens(tokens);
    }
}

/// `Type` of `a::Type<T>`, `Trait for &mut a::Type where …`; the trait's name in `Trait<T>: Super`.
fn owner(header: &TokenStream) -> Option<String> {
    let mut cursor = Cursor::new(header.clone());
    let mut ty = cursor.until(|tree| is_ident(tree, "for") || is_ident(tree, "where"));
    // The `for` of `impl Trait for Type`, not that of `for<'a> fn(&'a T)`.
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
            // A trait's own bounds follow a single colon.
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

impl ToTokens for Item {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        tokens.append_all(&self.attributes);
        self.head.to_tokens(tokens);
        match &self.kind {
            Kind::Function(function) => function.to_tokens(tokens),
            Kind::Block(block) => {
                block.to_tokens_with(block.inside(), tokens);
            }
            Kind::Other { tokens: inside, .. } => inside.to_tokens(tokens),
            Kind::Nothing => {}
        }
    }
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
