//! Generates the tracked function from a function and its options.
//!
//! ```text
//! async fn name(mut a: A, (b, _): B, c: C, _: &D) -> T { body }
//!
//! fn name(mut a: A, arg1: B, c: C, arg3: &D) -> impl Future<Output = T> {
//!     track({ static CALLSITE: Callsite = …; &CALLSITE }, async move {
//!         let _ = &a;                                  // captured whole, and not moved
//!         let arg1 = arg1; let (b, _) = arg1;
//!         let c = c;
//!         let _ = &arg3;
//!         if false { if let Some(output) = None::<T> { return output; } loop {} }
//!         match () { () => { body } }
//!     })
//! }
//! ```
//!
//! An `async fn` captures its arguments in order and then moves each into a local variable. If it
//! is never polled, it drops them in order; after a poll, in reverse. The second copy of each
//! argument is what makes its future so large. The generated function moves only arguments whose
//! drop order depends on it: all except the first one that may need dropping.
//!
//! If another macro must see the `async fn`, its own future keeps the order before the first poll,
//! and the inner future captures the variables in reverse:
//!
//! ```text
//! async fn name(mut a: A, (b, _): B, c: C, _: &D) -> T {
//!     track(…, async move { let _ = &c; let _ = &b; let _ = &a; … { body } }).await
//! }
//! ```

use super::arguments::Arguments;
use super::desugared_async;
use super::interpolated::mark_interpolated;
use super::options::Options;
use super::output_type::{capture_all_lifetimes, infer_impls, is_never, may_be_future};
use crate::syntax::{
    ArgumentKind, Attribute, Cursor, Function, Item, Location, mentions, mixed_site_at, regroup,
};
use proc_macro2::{Group, Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::LitStr;
use syn::ext::IdentExt;

/// A function that is tracked.
pub(super) struct Tracked<'a> {
    pub(super) item: &'a Item,
    pub(super) function: &'a Function,
    pub(super) body: &'a Group,
    pub(super) options: &'a Options,
    /// The type or trait that the function belongs to.
    pub(super) owner: Option<&'a str>,
}

impl Tracked<'_> {
    pub(super) fn expand(&self, has_macro: bool) -> TokenStream {
        if self.function.asyncness.is_none() {
            let (_, body) = self.split_body();
            let body = desugared_async::wrap_future(&body, |future| self.track(&future))
                .unwrap_or_else(|| body.stream());
            return self.print(None, &self.function.parentheses, &self.output(), body);
        }
        // `impl Future<Output = !>` is unstable. `#[must_use]` refers to the output only on an
        // `async fn`.
        let never = self.function.output.clone().is_some_and(is_never);
        let must_use = self.item.attributes.iter().any(|attribute| attribute.is("must_use"));
        if has_macro || never || must_use {
            let arguments = Arguments::in_reverse(self.function, self.body, has_macro);
            let hint = if never { Some(quote!(::core::convert::Infallible)) } else { self.hint() };
            let tracked = self.track(&self.future(&arguments, hint));
            let body = if never { quote!(match #tracked.await {}) } else { quote!(#tracked.await) };
            self.print(
                self.function.asyncness.as_ref(),
                &arguments.parameters,
                &self.output(),
                body,
            )
        } else {
            let arguments = Arguments::in_order(self.function, self.body);
            let output =
                self.function.output.clone().map_or_else(|| quote!(()), capture_all_lifetimes);
            let place = mixed_site_at(self.output_span());
            let output = quote_spanned!(place=> -> impl ::core::future::Future<Output = #output>);
            // The compiler attributes a signature to the user if it starts and ends in the user's
            // code. After a generated type, an empty `where` with a user's span is such an end.
            let is_open = self.function.where_clause.is_empty();
            let end = is_open.then(|| Ident::new("where", self.signature_end()));
            let output = quote!(#output #end);
            let tracked = self.track(&self.future(&arguments, self.hint()));
            self.print(None, &arguments.parameters, &output, tracked)
        }
    }

    /// Generates `async move { … }` around the user's body.
    fn future(&self, arguments: &Arguments, hint: Option<TokenStream>) -> TokenStream {
        let Arguments { captures, unused, .. } = arguments;
        let (_, body) = self.split_body();
        // The body is not the tail itself, because the compiler would warn about its braces as
        // unnecessary. `if false` never runs. It tells the compiler the output type before the
        // body, as a signature does, and lets it find unused variables.
        let hint = hint.map(|output| {
            // The compiler's note "return type inferred here" points at this variable, so it gets
            // the span of the type.
            let value = Ident::new("__memscope_output", self.output_span());
            quote_spanned! {Span::mixed_site()=>
                if let ::core::option::Option::Some(#value) = ::core::option::Option::None::<#output> {
                    return #value;
                }
            }
        });
        let never_run = (hint.is_some() || !unused.is_empty())
            .then(|| quote!(if false { #unused #hint loop {} }));
        quote_spanned! {mixed_site_at(self.body.span())=>
            async move {
                #captures
                #never_run
                match () { () => #body }
            }
        }
    }

    /// Generates `Some` of the arguments' size in bytes. Generates `None` if an argument's type
    /// cannot be written again, or if an argument may be absent.
    fn argument_bytes(&self) -> TokenStream {
        let facade = self.options.facade();
        let mut bytes = quote_spanned!(Span::mixed_site()=> 0_usize);
        for argument in &self.function.inputs {
            let size = match &argument.kind {
                _ if argument.attributes.iter().any(|attribute| attribute.is("cfg")) => None,
                ArgumentKind::Receiver(name) => {
                    Some(quote_spanned!(Span::mixed_site()=> #facade::__private::size_of(&#name)))
                }
                ArgumentKind::Named { ty, .. } | ArgumentKind::Pattern { ty, .. } => {
                    (!mentions(ty, "impl"))
                        .then(|| quote_spanned!(Span::mixed_site()=> ::core::mem::size_of::<#ty>()))
                }
            };
            let Some(size) = size else { return quote!(::core::option::Option::None) };
            bytes = quote_spanned!(Span::mixed_site()=> #bytes + #size);
        }
        quote_spanned!(Span::mixed_site()=> ::core::option::Option::Some(#bytes))
    }

    /// Generates the call that makes a tracked future of `future`.
    fn track(&self, future: &TokenStream) -> TokenStream {
        let facade = self.options.facade();
        let argument_bytes = if self.function.asyncness.is_some() {
            self.argument_bytes()
        } else {
            quote!(::core::option::Option::None)
        };
        let name = self.name();
        let task_type =
            Ident::new(self.options.task_type.unwrap_or("Unspecified"), Span::mixed_site());
        let budget = self.options.budget.map(|bytes| quote!(.budget(#bytes)));
        let Location { file, line, .. } = Location::of(self.function.name.span());
        quote_spanned! {Span::mixed_site()=>
            #facade::__private::track(
                {
                    static __MEMSCOPE_CALLSITE: #facade::__private::Callsite = #facade::__private::Callsite::new(
                        #name,
                        #facade::__private::TaskType::#task_type,
                        #file,
                        #line,
                    )#budget;
                    &__MEMSCOPE_CALLSITE
                },
                #argument_bytes,
                #future
            )
        }
    }

    /// Prints the function with another signature and body.
    fn print(
        &self,
        asyncness: Option<&Ident>,
        parameters: &Group,
        output: &TokenStream,
        body: TokenStream,
    ) -> TokenStream {
        let Item { attributes, head, .. } = self.item;
        let Function { qualifiers, fn_token, name, generics, where_clause, .. } = self.function;
        let (inner_attributes, _) = self.split_body();
        let attributes = attributes.iter().map(Attribute::allowing);
        let inner_attributes = inner_attributes.iter().map(Attribute::allowing);
        // The body's span ends where the item ends, which is how the compiler finds the item in the
        // user's code.
        let body = regroup(self.body, body);
        // Clippy suspects a missing `.await` if the value of an `async` block is a future. For an
        // `async fn` it trusts the signature.
        let is_async = self.function.asyncness.is_some();
        let yields = (is_async && self.function.output.clone().is_some_and(may_be_future))
            .then(|| quote!(#[allow(clippy::async_yields_async)]));
        quote! {
            #(#attributes)* #(#inner_attributes)* #yields
            #head #asyncness #qualifiers #fn_token #name #generics #parameters #output #where_clause #body
        }
    }

    /// Returns `-> T` as the user wrote it.
    fn output(&self) -> TokenStream {
        let Function { arrow, output, .. } = self.function;
        quote!(#arrow #output)
    }

    /// Returns the span of the output's type, or of the name if there is no type.
    fn output_span(&self) -> Span {
        let first = self.function.output.clone().and_then(|ty| ty.into_iter().next());
        first.map_or_else(|| self.function.name.span(), |tree| tree.span())
    }

    fn signature_end(&self) -> Span {
        let last = self.function.output.clone().and_then(|ty| ty.into_iter().last());
        last.map_or_else(|| self.function.parentheses.span_close(), |tree| tree.span())
    }

    /// Returns the type that the body returns, with `_` for types that cannot be named.
    fn hint(&self) -> Option<TokenStream> {
        let output = self.function.output.clone().map_or_else(|| quote!(()), infer_impls);
        (output.to_string() != "_").then_some(output)
    }

    /// Returns the name in reports.
    fn name(&self) -> LitStr {
        let own = self.function.name.unraw();
        let name = match self.owner {
            Some(owner) => format!("{owner}::{own}"),
            None => own.to_string(),
        };
        self.options.name.clone().unwrap_or_else(|| LitStr::new(&name, Span::mixed_site()))
    }

    /// Splits the body into its inner attributes, turned into outer ones, and the rest.
    fn split_body(&self) -> (Vec<Attribute>, Group) {
        let mut cursor = Cursor::new(self.body.stream());
        let mut inner = Vec::new();
        loop {
            let rest = cursor.clone();
            match Attribute::parse(&mut cursor) {
                Some(attribute) if attribute.is_inner => inner.push(attribute.into_outer()),
                _ => {
                    let body = rest.rest();
                    let body = mark_interpolated(&body).unwrap_or(body);
                    return (inner, regroup(self.body, body));
                }
            }
        }
    }
}
