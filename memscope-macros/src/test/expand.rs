//! Expands `#[memscope_rs::test]`.

use super::options::Options;
use crate::syntax::{Attribute, Cursor, Function, Item, Kind, Location, Mistakes};
use proc_macro2::TokenStream;
use quote::{ToTokens, quote};

/// Expands `#[test(arguments)] input` to a test, followed by the errors. If `enabled`, the test's
/// memory is measured.
pub(crate) fn test(arguments: TokenStream, input: TokenStream, enabled: bool) -> TokenStream {
    let mut mistakes = Mistakes::default();
    let options = Options::parse(arguments, &mut mistakes);
    let mut cursor = Cursor::new(input);
    let item = Item::parse(&mut cursor);
    let function = function_of(&item, &mut mistakes);
    let mut output = match function {
        Some((function, body)) if mistakes.count() == 0 => {
            let facade = options.facade();
            let test = Test { item: &item, function, body, facade };
            if enabled { test.measured(&options) } else { test.plain() }
        }
        _ => item.into_token_stream(),
    };
    output.extend(cursor.rest());
    output.extend(mistakes.into_tokens());
    output
}

/// Returns the function and its body, if the item can be a test.
fn function_of<'i>(item: &'i Item, mistakes: &mut Mistakes) -> Option<(&'i Function, TokenStream)> {
    let expected = "`#[memscope_rs::test]` expects a function";
    let function = match &item.kind {
        Kind::Function(function) => function,
        Kind::Block(block) => {
            mistakes.add(&block.keyword, format_args!("{expected}, found `{}`", block.keyword));
            return None;
        }
        Kind::Other { keyword, .. } => {
            mistakes.add(keyword, format_args!("{expected}, found `{keyword}`"));
            return None;
        }
        Kind::Nothing => {
            mistakes.add(TokenStream::new(), format_args!("{expected}, found nothing"));
            return None;
        }
    };
    let ours = |attribute: &&Attribute| {
        is_test(attribute) && attribute.path.first().is_some_and(|first| first == "memscope_rs")
    };
    if let Some(again) = item.attributes.iter().find(ours) {
        mistakes.add(again.path.last(), "`#[memscope_rs::test]` is on this function already");
    }
    if !function.inputs.is_empty() {
        let inputs = function.parentheses.stream();
        mistakes.add(inputs, "a test takes no arguments");
    }
    let body = function.body.as_ref();
    if body.is_none() {
        mistakes.add(&function.name, "a test needs a body");
    }
    Some((function, body?.to_token_stream()))
}

/// Whether the attribute makes a test, by its name.
fn is_test(attribute: &Attribute) -> bool {
    attribute.path.last().is_some_and(|last| last == "test")
}

/// Whether the attribute is the `test` of the standard library.
fn is_plain_test(attribute: &Attribute) -> bool {
    let is_of_std = |first: &str| first == "core" || first == "std";
    match &*attribute.path {
        [only] => only == "test",
        [first, .., last] => is_of_std(&first.to_string()) && last == "test",
        [] => false,
    }
}

struct Test<'i> {
    item: &'i Item,
    function: &'i Function,
    /// The body of the function, in braces.
    body: TokenStream,
    facade: TokenStream,
}

impl Test<'_> {
    fn is_async(&self) -> bool {
        self.function.asyncness.is_some()
    }

    /// Whether another macro runs the test, such as `#[tokio::test]`.
    fn has_runner(&self) -> bool {
        let attributes = &self.item.attributes;
        attributes.iter().any(|attribute| is_test(attribute) && !is_plain_test(attribute))
    }

    /// Returns the test without measurements.
    fn plain(&self) -> TokenStream {
        if self.has_runner() {
            return self.item.to_token_stream();
        }
        if !self.is_async() {
            let body = &self.body;
            return self.outer(false, body);
        }
        let (facade, inner, name) = (&self.facade, self.inner(), &self.function.name);
        self.outer(false, &quote!({ #inner #facade::__private::testing::block_on(#name()) }))
    }

    fn measured(&self, options: &Options) -> TokenStream {
        let (facade, inner, name) = (&self.facade, self.inner(), &self.function.name);
        let (callsite, limits) = (self.callsite(), self.limits(options));
        if self.is_async() && self.has_runner() {
            let checked = quote!({
                #inner
                let (__memscope_output, __memscope_verdict) =
                    #facade::__private::testing::check(#callsite, #limits, #name()).await;
                __memscope_verdict.or_fail();
                __memscope_output
            });
            return self.outer(true, &checked);
        }
        let call = if self.is_async() {
            quote!(run(#callsite, #limits, #name()))
        } else {
            quote!(run_sync(#callsite, #limits, #name))
        };
        self.outer(false, &quote!({ #inner #facade::__private::testing::#call }))
    }

    /// Returns the user's function, without its attributes.
    fn inner(&self) -> TokenStream {
        let Function { asyncness, fn_token, name, arrow, output, .. } = self.function;
        let body = &self.body;
        quote!(#asyncness #fn_token #name() #arrow #output #body)
    }

    /// Returns the function that is the test.
    fn outer(&self, is_async: bool, body: &TokenStream) -> TokenStream {
        let Function { fn_token, name, arrow, output, qualifiers, asyncness, .. } = self.function;
        let (attributes, head) = (&self.item.attributes, &self.item.head);
        let asyncness = asyncness.as_ref().filter(|_| is_async);
        let test = (!attributes.iter().any(is_test)).then(|| quote!(#[::core::prelude::v1::test]));
        quote!(
            #test
            #(#attributes)*
            #head #asyncness #qualifiers #fn_token #name() #arrow #output #body
        )
    }

    fn callsite(&self) -> TokenStream {
        let (facade, name) = (&self.facade, self.function.name.to_string());
        let Location { file, line, .. } = Location::of(self.function.name.span());
        quote!({
            static __MEMSCOPE_CALLSITE: #facade::__private::Callsite =
                #facade::__private::Callsite::new(
                    #name,
                    #facade::__private::TaskType::Unspecified,
                    #file,
                    #line,
                );
            &__MEMSCOPE_CALLSITE
        })
    }

    fn limits(&self, options: &Options) -> TokenStream {
        let facade = &self.facade;
        let [peak, allocations, leaks] =
            [options.peak, options.allocations, options.leaks].map(|limit| {
                limit.map_or_else(
                    || quote!(::core::option::Option::None),
                    |limit| quote!(::core::option::Option::Some(#limit)),
                )
            });
        quote!(&#facade::__private::testing::Limits {
            peak: #peak,
            allocations: #allocations,
            leaks: #leaks,
        })
    }
}
