//! Parses items of any kind: heads are split into parts, bodies are kept as raw tokens.

use super::attribute::Attribute;
use super::block::Block;
use super::function::Function;
use super::tokens::{Cursor, is_braces, is_ident, is_punct};
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::{ToTokens, TokenStreamExt};

/// One item of any kind. Of an item that is neither a function nor a block, only the end is found,
/// so that it can be passed on.
pub(crate) struct Item {
    pub(crate) attributes: Vec<Attribute>,
    /// The visibility, and the qualifiers before an `async`.
    pub(crate) head: TokenStream,
    pub(crate) kind: Kind,
}

pub(crate) enum Kind {
    Function(Box<Function>),
    Block(Block),
    /// Any other item, with the keyword or name that tells its kind.
    Other {
        keyword: TokenTree,
        tokens: TokenStream,
    },
    /// Inner attributes and stray tokens at the end of a block.
    Nothing,
}

impl Item {
    /// Takes the next item. Never fails: an unknown item is [`Kind::Other`].
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

/// Takes an item of which only the end is needed.
fn other(cursor: &mut Cursor) -> Kind {
    let Some(keyword) = cursor.peek().cloned() else { return Kind::Nothing };
    // In an expression, `<` compares and braces may occur, so only `;` ends the item.
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
