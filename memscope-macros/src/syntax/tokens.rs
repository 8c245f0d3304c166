//! A cursor over tokens. It splits signatures and never looks into bodies. So bodies pass through
//! unchanged, including syntax that does not exist yet.

use proc_macro2::{Delimiter, Group, Ident, Punct, Spacing, Span, TokenStream, TokenTree};
use std::rc::Rc;

/// The tokens that are not yet consumed. A clone is cheap and serves as lookahead.
#[derive(Clone)]
pub(crate) struct Cursor {
    trees: Rc<[TokenTree]>,
    next: usize,
    /// The tokens after the invisible group that contains `trees`.
    outer: Option<Rc<Cursor>>,
}

impl Cursor {
    pub(crate) fn new(tokens: TokenStream) -> Self {
        Self { trees: tokens.into_iter().collect(), next: 0, outer: None }
    }

    /// Returns the next token without opening an invisible group.
    fn peek_closed(&mut self) -> Option<&TokenTree> {
        while self.next == self.trees.len() {
            let outer = self.outer.take()?;
            *self = Self::clone(&outer);
        }
        self.trees.get(self.next)
    }

    /// Returns the next token. First opens the invisible group around an interpolated `$vis`,
    /// `$body` and so on.
    pub(crate) fn peek(&mut self) -> Option<&TokenTree> {
        while let Some(TokenTree::Group(group)) = self.peek_closed()
            && group.delimiter() == Delimiter::None
        {
            let inside = Self::new(group.stream());
            self.next += 1;
            *self = Self { outer: Some(Rc::new(self.clone())), ..inside };
        }
        self.trees.get(self.next)
    }

    fn bump_closed(&mut self) -> Option<TokenTree> {
        let tree = self.peek_closed()?.clone();
        self.next += 1;
        Some(tree)
    }

    /// Takes the next token.
    pub(crate) fn bump(&mut self) -> Option<TokenTree> {
        self.peek();
        self.bump_closed()
    }

    pub(crate) fn is_empty(&mut self) -> bool {
        self.peek().is_none()
    }

    pub(crate) fn peek_ident(&mut self) -> Option<Ident> {
        match self.peek() {
            Some(TokenTree::Ident(ident)) => Some(ident.clone()),
            _ => None,
        }
    }

    pub(crate) fn peek_punct(&mut self, char: char) -> bool {
        matches!(self.peek(), Some(tree) if is_punct(tree, char))
    }

    pub(crate) fn peek_group(&mut self, delimiter: Delimiter) -> bool {
        matches!(self.peek(), Some(TokenTree::Group(group)) if group.delimiter() == delimiter)
    }

    pub(crate) fn ident(&mut self) -> Option<Ident> {
        let ident = self.peek_ident()?;
        self.next += 1;
        Some(ident)
    }

    pub(crate) fn keyword(&mut self, keyword: &str) -> Option<Ident> {
        if self.peek_ident()? == keyword { self.ident() } else { None }
    }

    pub(crate) fn punct(&mut self, char: char) -> Option<Punct> {
        match self.peek() {
            Some(TokenTree::Punct(punct)) if punct.as_char() == char => {
                let punct = punct.clone();
                self.next += 1;
                Some(punct)
            }
            _ => None,
        }
    }

    pub(crate) fn group(&mut self, delimiter: Delimiter) -> Option<Group> {
        match self.peek() {
            Some(TokenTree::Group(group)) if group.delimiter() == delimiter => {
                let group = group.clone();
                self.next += 1;
                Some(group)
            }
            _ => None,
        }
    }

    /// Takes the invisible group around an interpolated `$x:expr` as a whole, if it is next. Inside
    /// it, operator precedence starts anew.
    pub(crate) fn invisible_group(&mut self) -> Option<Group> {
        match self.peek_closed() {
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::None => {
                let group = group.clone();
                self.next += 1;
                Some(group)
            }
            _ => None,
        }
    }

    /// Takes `::` if it is next.
    pub(crate) fn path_separator(&mut self) -> Option<TokenStream> {
        let mut ahead = self.clone();
        let first = ahead.punct(':').filter(|first| first.spacing() == Spacing::Joint)?;
        let second = ahead.punct(':')?;
        *self = ahead;
        Some([first, second].map(TokenTree::from).into_iter().collect())
    }

    /// Takes tokens up to the first one outside of `<…>` for which `end` returns `true`. Invisible
    /// groups are not opened.
    pub(crate) fn until(&mut self, end: impl Fn(&TokenTree) -> bool) -> TokenStream {
        let mut taken = Vec::new();
        let mut angles = Angles::default();
        while let Some(tree) = self.peek_closed() {
            if angles.depth == 0 && end(tree) {
                break;
            }
            angles.see(tree);
            taken.extend(self.bump_closed());
        }
        taken.into_iter().collect()
    }

    /// Takes `<…>` if it is next.
    pub(crate) fn angle_brackets(&mut self) -> TokenStream {
        let mut taken = Vec::new();
        if self.peek_punct('<') {
            let mut angles = Angles::default();
            while let Some(tree) = self.bump_closed() {
                angles.see(&tree);
                taken.push(tree);
                if angles.depth == 0 {
                    break;
                }
            }
        }
        taken.into_iter().collect()
    }

    /// Returns all remaining tokens.
    pub(crate) fn rest(mut self) -> TokenStream {
        std::iter::from_fn(|| self.bump_closed()).collect()
    }
}

/// Counts open `<`. The `>` of `->` and `=>` closes none.
#[derive(Default)]
pub(crate) struct Angles {
    depth: usize,
    arrow: bool,
}

impl Angles {
    /// Returns `true` if an element of a list or group ends before `tree`.
    pub(crate) fn is_end(&self, tree: &TokenTree) -> bool {
        self.depth == 0
            && (is_punct(tree, ',') || is_punct(tree, ';') || is_punct(tree, '>') && !self.arrow)
    }

    pub(crate) fn see(&mut self, tree: &TokenTree) {
        let TokenTree::Punct(punct) = tree else {
            self.arrow = false;
            return;
        };
        match punct.as_char() {
            '<' => self.depth += 1,
            '>' if !self.arrow => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.arrow = matches!(punct.as_char(), '-' | '=') && punct.spacing() == Spacing::Joint;
    }
}

pub(crate) fn is_punct(tree: &TokenTree, char: char) -> bool {
    matches!(tree, TokenTree::Punct(punct) if punct.as_char() == char)
}

pub(crate) fn is_braces(tree: &TokenTree) -> bool {
    matches!(tree, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}

pub(crate) fn is_ident(tree: &TokenTree, word: &str) -> bool {
    matches!(tree, TokenTree::Ident(ident) if ident == word)
}

/// Splits at the commas outside of `<…>`. A trailing comma adds no element.
pub(crate) fn split_commas(tokens: TokenStream) -> Vec<TokenStream> {
    let mut cursor = Cursor::new(tokens);
    let mut parts = Vec::new();
    while !cursor.is_empty() {
        parts.push(cursor.until(|tree| is_punct(tree, ',')));
        cursor.punct(',');
    }
    parts
}

/// Returns `true` if `name` occurs in `tokens`, or in a string literal among them, as in `{name}`.
pub(crate) fn mentions(tokens: &TokenStream, name: &str) -> bool {
    tokens.clone().into_iter().any(|tree| match tree {
        TokenTree::Ident(ident) => ident == name,
        TokenTree::Group(group) => mentions(&group.stream(), name),
        TokenTree::Literal(literal) => literal.to_string().contains(name.trim_start_matches("r#")),
        TokenTree::Punct(_) => false,
    })
}

/// Returns the group with other content, and the same delimiters and span.
pub(crate) fn regroup(group: &Group, stream: TokenStream) -> Group {
    let mut new = Group::new(group.delimiter(), stream);
    new.set_span(group.span());
    new
}

/// Returns a span with mixed-site hygiene, so that the name cannot clash with a user's variable.
/// Errors about it are shown at `place`.
pub(crate) fn mixed_site_at(place: Span) -> Span {
    Span::mixed_site().located_at(place)
}
