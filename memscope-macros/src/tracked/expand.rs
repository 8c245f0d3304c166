//! From a function and its options to the tracked function.
//!
//! ```text
//! async fn name(mut a: A, (b, _): B, c: C, _: &D) -> T { body }
//!
//! fn name(mut a: A, arg1: B, c: C, arg3: &D) -> impl Future<Output = T> {
//!     track({ static CALLSITE: Callsite = …; &CALLSITE }, async move {
//!         let _ = &a;                                  // captured whole, and kept where it is
//!         let arg1 = arg1; let (b, _) = arg1;
//!         let c = c;
//!         let _ = &arg3;
//!         if false { if let Some(output) = None::<T> { return output; } loop {} }
//!         match () { () => { body } }
//!     })
//! }
//! ```
//!
//! An `async fn` captures its arguments in order and then moves each into a local variable: never
//! polled, it drops them in order; polled, in reverse. The second home of each argument is what
//! makes its future so large. Here only those are moved whose place in that order depends on it:
//! all but the first that may need dropping at all.
//!
//! Where another macro must see the `async fn`, its own future keeps the order before the first
//! poll, and the inner one captures the variables in reverse:
//!
//! ```text
//! async fn name(mut a: A, (b, _): B, c: C, _: &D) -> T {
//!     track(…, async move { let _ = &c; let _ = &b; let _ = &a; … { body } }).await
//! }
//! ```

use super::options::Options;
use super::{check, desugared_async as wrap};
use crate::syntax::{
    Angles, Argument, ArgumentKind, Attribute, Block, Cursor, Function, Item, Kind, Location,
    Mistakes, at, is_punct, is_variable, mentions, regroup, split_commas,
};
use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, TokenStreamExt, format_ident, quote, quote_spanned};
use syn::LitStr;
use syn::ext::IdentExt;

/// `#[tracked(arguments)] input`: the tracked item, followed by what is wrong.
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

/// The item as it would be without the attribute: those inside are taken off too, since they need
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

/// What is around an item.
struct Surroundings {
    /// The type or trait that functions belong to, if it is in sight.
    owner: Option<String>,
    /// Whether another macro stands on a block around and will see what comes out here.
    has_macro: bool,
}

impl Expansion {
    /// One item. `given` are the options it has from its own attribute, `outer` those of the
    /// tracked block around.
    fn item(
        &mut self,
        mut item: Item,
        given: Option<Options>,
        outer: &Options,
        around: &Surroundings,
    ) {
        let in_block = given.is_none();
        // Mistakes in the arguments of the attribute itself have been noted already.
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
                let is_tracked =
                    function.asyncness.is_some() || is_named || wrap::is_async_trait(function);
                match &function.body {
                    Some(body) if is_tracked => {
                        let function =
                            Tracked { item: &item, function, body, options: &options, around };
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

/// A function that is tracked.
struct Tracked<'a> {
    item: &'a Item,
    function: &'a Function,
    body: &'a Group,
    options: &'a Options,
    around: &'a Surroundings,
}

/// How the arguments get into the future.
struct Arguments {
    parameters: Group,
    /// Statements at the start of the future that capture them, whole and in the right order.
    captures: TokenStream,
    /// Bindings of those that the body does not mention, for the compiler to say so.
    unused: TokenStream,
}

impl Tracked<'_> {
    fn expand(&self, has_macro: bool) -> TokenStream {
        if self.function.asyncness.is_none() {
            let (_, body) = self.split_body();
            let body = wrap::wrap_future(&body, |future| self.track(&future))
                .unwrap_or_else(|| body.stream());
            return self.print(None, &self.function.parentheses, &self.output(), body);
        }
        // `impl Future<Output = !>` is not stable, and `#[must_use]` is about the output only on an
        // `async fn`.
        let never = self.function.output.clone().is_some_and(is_never);
        let must_use = self.item.attributes.iter().any(|attribute| attribute.is("must_use"));
        if has_macro || never || must_use {
            let arguments = self.arguments_in_reverse(has_macro);
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
            let arguments = self.arguments_in_order();
            let output =
                self.function.output.clone().map_or_else(|| quote!(()), capture_all_lifetimes);
            let place = at(self.output_span());
            let output = quote_spanned!(place=> -> impl ::core::future::Future<Output = #output>);
            // The compiler takes a signature for the user's when it starts and ends in the user's
            // code: an empty `where` is such an end behind a type that is not.
            let is_open = self.function.where_clause.is_empty();
            let end = is_open.then(|| Ident::new("where", self.signature_end()));
            let output = quote!(#output #end);
            let tracked = self.track(&self.future(&arguments, self.hint()));
            self.print(None, &arguments.parameters, &output, tracked)
        }
    }

    /// For the future itself: in order, and moved where needed.
    fn arguments_in_order(&self) -> Arguments {
        let mut parameters = TokenStream::new();
        let mut captures = TokenStream::new();
        let mut unused = TokenStream::new();
        let mut may_drop_before = false;
        for (index, argument) in self.function.inputs.iter().enumerate() {
            let is_moved = argument.may_need_drop && may_drop_before;
            may_drop_before |= argument.may_need_drop;
            let Argument { attributes, tokens, .. } = argument;
            let parameter = match &argument.kind {
                ArgumentKind::Receiver(name) => {
                    captures.extend(mention(argument, name));
                    tokens.clone()
                }
                ArgumentKind::Named { mutability, name, ty } if self.is_bound(name) => {
                    if is_moved {
                        // Clippy judges `let vec = vec`, but not this, by what becomes of a vector.
                        let moved = quote!(let (#mutability #name,) = (#name,););
                        captures.extend(binding(argument, &moved));
                        quote!(#name: #ty)
                    } else {
                        if !self.is_mentioned(name) {
                            unused.extend(binding(argument, &quote!(let #name = #name;)));
                        }
                        captures.extend(mention(argument, name));
                        tokens.clone()
                    }
                }
                ArgumentKind::Named { ty, .. } | ArgumentKind::Pattern { ty, .. } => {
                    let name = argument_name(index);
                    captures.extend(if is_moved {
                        binding(argument, &quote!(let #name = #name;))
                    } else {
                        mention(argument, &name)
                    });
                    if let ArgumentKind::Pattern { pattern, .. } = &argument.kind
                        && pattern.to_string() != "_"
                    {
                        captures.extend(binding(argument, &quote!(let #pattern = #name;)));
                    }
                    quote!(#name: #ty)
                }
            };
            let attributes = attributes.iter().map(Attribute::allowing);
            parameters.extend(quote!(#(#attributes)* #parameter,));
        }
        Arguments { parameters: regroup(&self.function.parentheses, parameters), captures, unused }
    }

    /// For a future inside of an `async fn`, which is polled as soon as it is made.
    fn arguments_in_reverse(&self, has_macro: bool) -> Arguments {
        let mut parameters = Vec::new();
        let mut captures = TokenStream::new();
        let mut unused = TokenStream::new();
        for (index, argument) in self.function.inputs.iter().enumerate().rev() {
            let Argument { attributes, tokens, .. } = argument;
            let mut parameter = tokens.clone();
            let names = match &argument.kind {
                ArgumentKind::Receiver(name) | ArgumentKind::Named { name, .. } => {
                    vec![name.clone()]
                }
                // Another macro may ask for the names.
                ArgumentKind::Pattern { pattern, ty }
                    if !has_macro && pattern.to_string() == "_" =>
                {
                    let name = argument_name(index);
                    parameter = quote!(#name: #ty);
                    vec![name]
                }
                ArgumentKind::Pattern { pattern, .. } => bindings(pattern.clone()),
            };
            for name in names.iter().rev() {
                captures.extend(mention(argument, name));
                if name != "self" && self.is_bound(name) && !self.is_mentioned(name) {
                    unused.extend(binding(argument, &quote!(let #name = #name;)));
                }
            }
            let attributes = attributes.iter().map(Attribute::allowing);
            parameters.push(quote!(#(#attributes)* #parameter,));
        }
        parameters.reverse();
        let parameters = regroup(&self.function.parentheses, parameters.into_iter().collect());
        Arguments { parameters, captures, unused }
    }

    /// `async move { … }`, around the user's body.
    fn future(&self, arguments: &Arguments, hint: Option<TokenStream>) -> TokenStream {
        let Arguments { captures, unused, .. } = arguments;
        let (_, body) = self.split_body();
        // The body is not the tail itself: the compiler would take its braces for superfluous ones
        // of the user. `if false` is never run: it tells the compiler what the body returns before
        // it reads the body, as a signature does, and lets it find the variables that are never
        // used.
        let hint = hint.map(|output| {
            // "Return type inferred here" points at this variable: let it be where the type is
            // written.
            let value = Ident::new("__memscope_output", self.output_span());
            quote_spanned! {Span::mixed_site()=>
                if let ::core::option::Option::Some(#value) = ::core::option::Option::None::<#output> {
                    return #value;
                }
            }
        });
        let never_run = (hint.is_some() || !unused.is_empty())
            .then(|| quote!(if false { #unused #hint loop {} }));
        quote_spanned! {at(self.body.span())=>
            async move {
                #captures
                #never_run
                match () { () => #body }
            }
        }
    }

    /// `Some` of the bytes that the arguments take; `None` where one of them has no type that can
    /// be written again, or may not be there.
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

    /// The call that makes a tracked future of `future`.
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
        let Location { file, line, .. } = Location::of(self.function.name.span());
        quote_spanned! {Span::mixed_site()=>
            #facade::__private::track(
                {
                    static __MEMSCOPE_CALLSITE: #facade::__private::Callsite = #facade::__private::Callsite::new(
                        #name,
                        #facade::__private::TaskType::#task_type,
                        #file,
                        #line,
                    );
                    &__MEMSCOPE_CALLSITE
                },
                #argument_bytes,
                #future
            )
        }
    }

    /// The function with another signature and body.
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
        // Their span is the end of the item's, which is how the compiler finds the item in the
        // user's code.
        let body = regroup(self.body, body);
        // Clippy takes an `async` block whose value is a future for one that lacks an `.await`; of
        // an `async fn` it believes the signature.
        let is_async = self.function.asyncness.is_some();
        let yields = (is_async && self.function.output.clone().is_some_and(may_be_future))
            .then(|| quote!(#[allow(clippy::async_yields_async)]));
        quote! {
            #(#attributes)* #(#inner_attributes)* #yields
            #head #asyncness #qualifiers #fn_token #name #generics #parameters #output #where_clause #body
        }
    }

    /// `-> T` as it was written.
    fn output(&self) -> TokenStream {
        let Function { arrow, output, .. } = self.function;
        quote!(#arrow #output)
    }

    /// Where the output's type is written, or the name if it is not.
    fn output_span(&self) -> Span {
        let first = self.function.output.clone().and_then(|ty| ty.into_iter().next());
        first.map_or_else(|| self.function.name.span(), |tree| tree.span())
    }

    fn signature_end(&self) -> Span {
        let last = self.function.output.clone().and_then(|ty| ty.into_iter().last());
        last.map_or_else(|| self.function.parentheses.span_close(), |tree| tree.span())
    }

    /// The type that the body returns, with `_` for what cannot be named.
    fn hint(&self) -> Option<TokenStream> {
        let output = self.function.output.clone().map_or_else(|| quote!(()), infer_impls);
        (output.to_string() != "_").then_some(output)
    }

    /// The name in reports.
    fn name(&self) -> LitStr {
        let own = self.function.name.unraw();
        let name = match &self.around.owner {
            Some(owner) => format!("{owner}::{own}"),
            None => own.to_string(),
        };
        self.options.name.clone().unwrap_or_else(|| LitStr::new(&name, Span::mixed_site()))
    }

    /// Whether the body can see the variable: `_guard` is only there to be dropped, as a rule.
    fn is_bound(&self, name: &Ident) -> bool {
        !name.to_string().starts_with('_') || self.is_mentioned(name)
    }

    fn is_mentioned(&self, name: &Ident) -> bool {
        mentions(&self.body.stream(), &name.to_string())
    }

    /// Attributes at the start of the body, made outer ones, and the body without them.
    fn split_body(&self) -> (Vec<Attribute>, Group) {
        let mut cursor = Cursor::new(self.body.stream());
        let mut inner = Vec::new();
        loop {
            let rest = cursor.clone();
            match Attribute::parse(&mut cursor) {
                Some(attribute) if attribute.is_inner => inner.push(attribute.into_outer()),
                _ => {
                    let body = rest.rest();
                    let body = without_written_delimiters(&body).unwrap_or(body);
                    return (inner, regroup(self.body, body));
                }
            }
        }
    }
}

/// The tokens with the delimiters of interpolated blocks and expressions (`$body:block`) marked as
/// not written here; `None` where there are none.
///
/// Where no attribute macro is in between, the compiler knows where `{ 7 }` comes from. Behind one
/// it takes the braces for superfluous ones of the user.
fn without_written_delimiters(tokens: &TokenStream) -> Option<TokenStream> {
    let mut is_changed = false;
    let trees: Vec<TokenTree> = tokens
        .clone()
        .into_iter()
        .map(|tree| {
            let TokenTree::Group(group) = &tree else { return tree };
            let inside = without_written_delimiters(&group.stream());
            let is_interpolated = group.delimiter() == Delimiter::None;
            let stream = match (inside, is_interpolated) {
                (None, false) => return tree,
                (inside, is_interpolated) => {
                    let stream = inside.unwrap_or_else(|| group.stream());
                    if is_interpolated { not_written(stream) } else { stream }
                }
            };
            is_changed = true;
            regroup(group, stream).into()
        })
        .collect();
    is_changed.then(|| trees.into_iter().collect())
}

/// The group that `tokens` are, if they are one, as ours.
fn not_written(tokens: TokenStream) -> TokenStream {
    let mut trees: Vec<TokenTree> = tokens.into_iter().collect();
    if let [TokenTree::Group(group)] = &mut *trees {
        group.set_span(at(group.span()));
    }
    trees.into_iter().collect()
}

fn argument_name(index: usize) -> Ident {
    format_ident!("__memscope_arg{index}", span = Span::mixed_site())
}

/// Captures a variable of the argument; left out where the argument is.
fn mention(argument: &Argument, name: &Ident) -> TokenStream {
    let cfg = argument.attributes.iter().filter(|attribute| attribute.is("cfg"));
    quote!(#(#cfg)* let _ = &#name;)
}

/// A `let` that makes variables of the argument, with its `cfg` and its lint levels.
fn binding(argument: &Argument, statement: &TokenStream) -> TokenStream {
    let kept = argument.attributes.iter().filter(|it| it.is("cfg") || it.sets_lints());
    let kept = kept.map(Attribute::allowing);
    quote!(#(#kept)* #statement)
}

fn is_never(ty: TokenStream) -> bool {
    let mut cursor = Cursor::new(ty);
    cursor.punct('!').is_some() && cursor.is_empty()
}

/// Whether a type may be a future, as far as its spelling tells: in doubt it may.
fn may_be_future(ty: TokenStream) -> bool {
    const NO_FUTURES: &[&str] = &[
        "bool", "char", "f32", "f64", "i8", "i16", "i32", "i64", "i128", "isize", "str", "u8",
        "u16", "u32", "u64", "u128", "usize", "BTreeMap", "Bytes", "Duration", "HashMap", "Option",
        "Result", "String", "Vec",
    ];
    let mut cursor = Cursor::new(ty);
    while cursor.punct('&').is_some() || cursor.keyword("mut").is_some() {
        if cursor.punct('\'').is_some() {
            cursor.bump();
        }
    }
    while cursor.punct(':').is_some() {}
    if let Some(inside) = cursor.group(Delimiter::Parenthesis) {
        // A tuple is none; a type in parentheses may be.
        let parts = split_commas(inside.stream());
        let [only] = &*parts else { return false };
        return only.to_string() == inside.stream().to_string() && may_be_future(only.clone());
    }
    let is_path = cursor.peek_ident().is_some() || cursor.peek_punct('<');
    let mut last = None;
    while let Some(segment) = cursor.ident() {
        last = Some(segment);
        while cursor.punct(':').is_some() {}
    }
    is_path && last.is_none_or(|last| !NO_FUTURES.iter().any(|known| last == known))
}

/// The variables that a pattern binds, in order.
fn bindings(pattern: TokenStream) -> Vec<Ident> {
    let mut names: Vec<Ident> = Vec::new();
    let mut cursor = Cursor::new(pattern);
    let mut in_path = false;
    while let Some(tree) = cursor.bump() {
        let follows_path = std::mem::replace(&mut in_path, is_punct(&tree, ':'));
        match tree {
            TokenTree::Group(group) => names.extend(bindings(group.stream())),
            // `name!`, `path::`, `field: pattern`, `Variant(…)`, `Struct {…}`
            TokenTree::Ident(ident) if is_variable(&ident) && !follows_path => {
                let mut ahead = cursor.clone();
                let is_name = ![':', '!', '<'].iter().any(|char| ahead.peek_punct(*char))
                    && !ahead.peek_group(Delimiter::Parenthesis)
                    && !ahead.peek_group(Delimiter::Brace);
                if is_name && !names.contains(&ident) {
                    names.push(ident);
                }
            }
            _ => {}
        }
    }
    names
}

/// `impl` that captures every lifetime in scope, which is how it is in an `async fn` of any
/// edition.
fn capture_all_lifetimes(ty: TokenStream) -> TokenStream {
    ty.into_iter()
        .map(|tree| match tree {
            TokenTree::Ident(word) if word == "impl" => Ident::new("impl", at(word.span())).into(),
            TokenTree::Group(group) => {
                regroup(&group, capture_all_lifetimes(group.stream())).into()
            }
            other => other,
        })
        .collect()
}

/// The type with `_` for every `impl Trait` in it.
fn infer_impls(ty: TokenStream) -> TokenStream {
    let mut trees = ty.into_iter().peekable();
    let mut inferred = TokenStream::new();
    while let Some(tree) = trees.next() {
        match tree {
            TokenTree::Ident(word) if word == "impl" => {
                inferred.append(Ident::new("_", at(word.span())));
                let mut angles = Angles::default();
                while let Some(bound) = trees.next_if(|tree| !angles.is_end(tree)) {
                    angles.see(&bound);
                }
            }
            TokenTree::Group(group) => {
                inferred.append(regroup(&group, infer_impls(group.stream())));
            }
            other => inferred.append(other),
        }
    }
    inferred
}

#[cfg(test)]
mod tests;
