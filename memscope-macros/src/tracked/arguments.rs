//! Moves the arguments of an `async fn` into its future, and keeps the order in which they are
//! dropped.

use crate::syntax::{
    Argument, ArgumentKind, Attribute, Cursor, Function, is_punct, is_variable, mentions, regroup,
};
use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::{format_ident, quote};

/// The generated code for the arguments.
pub(super) struct Arguments {
    pub(super) parameters: Group,
    /// Statements at the start of the future that capture the arguments, whole and in the right
    /// order.
    pub(super) captures: TokenStream,
    /// Bindings of arguments that the body does not mention, so that the compiler can warn about
    /// them.
    pub(super) unused: TokenStream,
}

impl Arguments {
    /// For a function that returns the future itself: in order, and moved where needed.
    pub(super) fn in_order(function: &Function, body: &Group) -> Self {
        let mut parameters = TokenStream::new();
        let mut captures = TokenStream::new();
        let mut unused = TokenStream::new();
        let mut may_drop_before = false;
        for (index, argument) in function.inputs.iter().enumerate() {
            let is_moved = argument.may_need_drop && may_drop_before;
            may_drop_before |= argument.may_need_drop;
            let Argument { attributes, tokens, .. } = argument;
            let parameter = match &argument.kind {
                ArgumentKind::Receiver(name) => {
                    captures.extend(capture(argument, name));
                    tokens.clone()
                }
                ArgumentKind::Named { mutability, name, ty } if is_bound(name, body) => {
                    if is_moved {
                        // Clippy's lints about vectors apply to `let vec = vec`, but not to this
                        // form.
                        let moved = quote!(let (#mutability #name,) = (#name,););
                        captures.extend(binding(argument, &moved));
                        quote!(#name: #ty)
                    } else {
                        if !is_mentioned(name, body) {
                            unused.extend(binding(argument, &quote!(let #name = #name;)));
                        }
                        captures.extend(capture(argument, name));
                        tokens.clone()
                    }
                }
                ArgumentKind::Named { ty, .. } | ArgumentKind::Pattern { ty, .. } => {
                    let name = argument_name(index);
                    captures.extend(if is_moved {
                        binding(argument, &quote!(let #name = #name;))
                    } else {
                        capture(argument, &name)
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
        Self { parameters: regroup(&function.parentheses, parameters), captures, unused }
    }

    /// For a future inside of an `async fn`, which is polled as soon as it is created.
    pub(super) fn in_reverse(function: &Function, body: &Group, has_macro: bool) -> Self {
        let mut parameters = Vec::new();
        let mut captures = TokenStream::new();
        let mut unused = TokenStream::new();
        for (index, argument) in function.inputs.iter().enumerate().rev() {
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
                captures.extend(capture(argument, name));
                if name != "self" && is_bound(name, body) && !is_mentioned(name, body) {
                    unused.extend(binding(argument, &quote!(let #name = #name;)));
                }
            }
            let attributes = attributes.iter().map(Attribute::allowing);
            parameters.push(quote!(#(#attributes)* #parameter,));
        }
        parameters.reverse();
        let parameters = regroup(&function.parentheses, parameters.into_iter().collect());
        Self { parameters, captures, unused }
    }
}

/// Returns `true` if the body can use the variable. A name such as `_guard` usually only keeps a
/// value alive.
fn is_bound(name: &Ident, body: &Group) -> bool {
    !name.to_string().starts_with('_') || is_mentioned(name, body)
}

fn is_mentioned(name: &Ident, body: &Group) -> bool {
    mentions(&body.stream(), &name.to_string())
}

fn argument_name(index: usize) -> Ident {
    format_ident!("__memscope_arg{index}", span = Span::mixed_site())
}

/// Captures a variable of the argument. The `cfg` of the argument applies.
fn capture(argument: &Argument, name: &Ident) -> TokenStream {
    let cfg = argument.attributes.iter().filter(|attribute| attribute.is("cfg"));
    quote!(#(#cfg)* let _ = &#name;)
}

/// Generates a `let` for variables of the argument, with its `cfg` and its lint levels.
fn binding(argument: &Argument, statement: &TokenStream) -> TokenStream {
    let kept = argument.attributes.iter().filter(|it| it.is("cfg") || it.sets_lints());
    let kept = kept.map(Attribute::allowing);
    quote!(#(#kept)* #statement)
}

/// Returns the variables that a pattern binds, in order.
fn bindings(pattern: TokenStream) -> Vec<Ident> {
    let mut names: Vec<Ident> = Vec::new();
    let mut cursor = Cursor::new(pattern);
    let mut in_path = false;
    while let Some(tree) = cursor.bump() {
        let follows_path = std::mem::replace(&mut in_path, is_punct(&tree, ':'));
        match tree {
            TokenTree::Group(group) => names.extend(bindings(group.stream())),
            // Not a variable: `name!`, `path::`, `field: pattern`, `Variant(…)`, `Struct {…}`.
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
