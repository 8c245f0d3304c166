//! Rejects uses of `#[tracked]` that are well-formed but not allowed.

use super::desugared_async;
use super::options::Options;
use crate::syntax::{Block, Function, Item, Kind, Mistakes};

/// Adds the mistakes of an attribute with these options on this item. `in_block` tells whether a
/// tracked block encloses the item.
pub(crate) fn item(item: &Item, options: &Options, in_block: bool, mistakes: &mut Mistakes) {
    if let Some(skip) = &options.skip {
        if options.name.is_some()
            || options.task_type.is_some()
            || options.budget.is_some()
            || options.krate.is_some()
        {
            mistakes.add(skip, "`skip` goes without other options");
        } else if !in_block {
            mistakes.add(
                skip,
                "`skip` only means something inside of a tracked `impl`, `trait` or `mod`",
            );
        }
        return;
    }
    match &item.kind {
        Kind::Function(function) => check_function(function, mistakes),
        Kind::Block(block) => check_block(block, options, mistakes),
        Kind::Other { keyword, .. } => mistakes.add(
            keyword,
            format_args!(
                "expected an `async fn`, an `impl`, a `trait` or an inline `mod`, found `{keyword}`"
            ),
        ),
        Kind::Nothing => {}
    }
}

fn check_function(function: &Function, mistakes: &mut Mistakes) {
    if let Some(constness) = &function.constness {
        mistakes.add(constness, "a `const fn` cannot be tracked: it cannot be `async`");
    } else if function.body.is_some()
        && function.asyncness.is_none()
        && !desugared_async::has_future(function)
    {
        let name = &function.name;
        mistakes.add(
            &function.fn_token,
            format_args!("`{name}` is not an `async fn`: only those, and functions that end in an `async` block, are tracked"),
        );
    }
}

fn check_block(block: &Block, options: &Options, mistakes: &mut Mistakes) {
    let keyword = &block.keyword;
    if block.braces.is_none() {
        mistakes.add(
            keyword,
            "only an inline `mod` can be tracked: put `#[tracked]` on the functions and `impl`s in its file",
        );
    }
    if let Some(name) = &options.name {
        mistakes.add(
            name,
            format_args!("`name` is for one function: this `{keyword}` may have several, which go by their own names"),
        );
    }
}
