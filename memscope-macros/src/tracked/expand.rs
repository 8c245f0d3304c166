//! Walks the item under `#[tracked]`, and expands every function in it that is tracked.

use super::function::Tracked;
use super::options::Options;
use super::{check, desugared_async};
use crate::syntax::{Attribute, Block, Cursor, Item, Kind, Mistakes};
use proc_macro2::TokenStream;
use quote::{ToTokens, TokenStreamExt};

/// Expands `#[tracked(arguments)] input` to the tracked item, followed by the errors.
pub(crate) fn tracked(arguments: TokenStream, input: TokenStream) -> TokenStream {
    let mut expansion = Expansion::default();
    let options = Options::parse(arguments, &mut expansion.mistakes);
    let mut cursor = Cursor::new(input);
    let item = Item::parse(&mut cursor);
    let surroundings = Surroundings { owner: None, has_macro: false };
    expansion.item(item, Some(options), &Options::default(), &surroundings);
    expansion.output.extend(cursor.rest());
    expansion.output.extend(expansion.mistakes.into_tokens());
    expansion.output
}

/// Returns the item without the attribute. Inner attributes are removed as well, since they need
/// not be in scope there.
pub(crate) fn plain(input: TokenStream) -> TokenStream {
    let mut output = TokenStream::new();
    let mut cursor = Cursor::new(input);
    while !cursor.is_empty() {
        let mut item = Item::parse(&mut cursor);
        item.attributes.retain(|attribute| !attribute.is_tracked());
        match &item.kind {
            Kind::Block(block) => {
                output.append_all(&item.attributes);
                output.extend(item.head);
                block.to_tokens_with(plain(block.inside()), &mut output);
            }
            _ => item.to_tokens(&mut output),
        }
    }
    output
}

#[derive(Default)]
struct Expansion {
    output: TokenStream,
    mistakes: Mistakes,
}

/// What encloses an item.
struct Surroundings {
    /// The type or trait that functions belong to, if it is visible to the macro.
    owner: Option<String>,
    /// Whether another macro on an enclosing block will see the output.
    has_macro: bool,
}

impl Expansion {
    /// Expands one item. `given` are the options of its own attribute, `outer` those of the
    /// enclosing tracked block.
    fn item(
        &mut self,
        mut item: Item,
        given: Option<Options>,
        outer: &Options,
        around: &Surroundings,
    ) {
        let in_block = given.is_none();
        // Mistakes in the attribute's own arguments were already added.
        let before = if in_block { self.mistakes.count() } else { 0 };
        let mut given = given;
        for attribute in item.attributes.extract_if(.., |attribute| attribute.is_tracked()) {
            if given.is_some() {
                self.mistakes.add(attribute.path.last(), "`#[tracked]` is on this item already");
                continue;
            }
            let arguments = attribute.arguments.map(|group| group.stream()).unwrap_or_default();
            given = Some(Options::parse(arguments, &mut self.mistakes));
        }
        if let Some(options) = &given {
            check::item(&item, options, in_block, &mut self.mistakes);
        }
        let is_wrong = self.mistakes.count() > before;
        let is_named = given.is_some();
        let options = given.unwrap_or_default().within(outer);
        if options.skip.is_some() && in_block {
            return item.to_tokens(&mut self.output);
        }
        let has_macro = around.has_macro || item.attributes.iter().any(Attribute::is_macro);
        match &item.kind {
            Kind::Block(block) => {
                self.output.append_all(item.attributes.iter().map(Attribute::allowing));
                self.output.extend(item.head);
                self.block(block, &options, has_macro);
            }
            Kind::Function(function) if !is_wrong => {
                let is_tracked = function.asyncness.is_some()
                    || is_named
                    || desugared_async::is_async_trait(function);
                match &function.body {
                    Some(body) if is_tracked => {
                        let function = Tracked {
                            item: &item,
                            function,
                            body,
                            options: &options,
                            owner: around.owner.as_deref(),
                        };
                        self.output.extend(function.expand(has_macro));
                    }
                    _ => item.to_tokens(&mut self.output),
                }
            }
            _ => item.to_tokens(&mut self.output),
        }
    }

    fn block(&mut self, block: &Block, options: &Options, has_macro: bool) {
        let around = Surroundings { owner: block.owner.clone(), has_macro };
        let output = std::mem::take(&mut self.output);
        let mut cursor = Cursor::new(block.inside());
        while !cursor.is_empty() {
            let item = Item::parse(&mut cursor);
            self.item(item, None, options, &around);
        }
        let inside = std::mem::replace(&mut self.output, output);
        block.to_tokens_with(inside, &mut self.output);
    }
}

#[cfg(test)]
mod tests;
