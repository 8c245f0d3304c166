//! Finds and wraps the `async` block of a function that is no longer `async`. `#[async_trait]` and
//! `#[tokio::main]`, if they precede `#[tracked]`, have already replaced the body by such a block.

use crate::syntax::{Function, is_ident, is_punct, mentions};
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use quote::TokenStreamExt;

/// Returns `true` if the body has an `async` block in one of the expected places.
pub(crate) fn has_future(function: &Function) -> bool {
    function.body.as_ref().is_some_and(|body| wrap_future(body, |future| future).is_some())
}

/// Returns `true` if `#[async_trait]` generated the function.
pub(crate) fn is_async_trait(function: &Function) -> bool {
    mentions(&function.generics, "async_trait") && has_future(function)
}

/// Returns the body with `wrap` around its `async` block, which is expected in one of these places:
///
/// * `… async move { }` at the end,
/// * `… Box::pin(async move { })` at the end: `#[async_trait]`, and `futures`' boxes,
/// * `let body = async { }; …` at the start: `#[tokio::main]` and `#[tokio::test]`.
pub(crate) fn wrap_future(
    body: &Group,
    wrap: impl FnOnce(TokenStream) -> TokenStream,
) -> Option<TokenStream> {
    let trees: Vec<TokenTree> = body.stream().into_iter().collect();
    if let [binding, name, equals, rest @ ..] = &*trees
        && is_ident(binding, "let")
        && is_ident(name, "body")
        && is_punct(equals, '=')
    {
        let end = rest.iter().position(|tree| is_punct(tree, ';'))?;
        if async_block_start(&rest[..end]) != Some(0) {
            return None;
        }
        let mut wrapped: TokenStream = trees[..3].iter().cloned().collect();
        wrapped.extend(wrap(rest[..end].iter().cloned().collect()));
        wrapped.append_all(&rest[end..]);
        return Some(wrapped);
    }
    let (last, before) = trees.split_last()?;
    if let (TokenTree::Group(group), Some(function)) = (last, before.last())
        && group.delimiter() == Delimiter::Parenthesis
        && is_ident(function, "pin")
    {
        let inside: Vec<TokenTree> = group.stream().into_iter().collect();
        let without_comma = inside.split_last().filter(|(last, _)| is_punct(last, ','));
        let inside = without_comma.map_or(&*inside, |(_, before)| before);
        if async_block_start(inside) != Some(0) {
            return None;
        }
        let mut wrapped: TokenStream = before.iter().cloned().collect();
        wrapped.append(crate::syntax::regroup(group, wrap(inside.iter().cloned().collect())));
        return Some(wrapped);
    }
    let start = async_block_start(&trees)?;
    let mut wrapped: TokenStream = trees[..start].iter().cloned().collect();
    wrapped.extend(wrap(trees[start..].iter().cloned().collect()));
    Some(wrapped)
}

/// Returns the start of the `async { }` or `async move { }` at the end of `trees`.
fn async_block_start(trees: &[TokenTree]) -> Option<usize> {
    let TokenTree::Group(block) = trees.last()? else { return None };
    let before = trees.len().checked_sub(2)?;
    let start = if is_ident(&trees[before], "move") { before.checked_sub(1)? } else { before };
    (block.delimiter() == Delimiter::Brace && is_ident(&trees[start], "async")).then_some(start)
}
