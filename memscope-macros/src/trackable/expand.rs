//! Expands `#[derive(Trackable)]`. Each field is visited by the same steps as in `track_var!`.
//!
//! ```text
//! struct Cache<T> { entries: Vec<T>, #[trackable(skip)] hits: u64 }
//!
//! impl<T> Trackable for Cache<T> where T: Trackable {
//!     fn visit(&self, blocks: &mut Blocks<'_>) {
//!         match self {
//!             Self { entries: field0, .. } => { (&&&Value(field0)).show(blocks); }
//!         }
//!     }
//! }
//! impl<T> Contents for Cache<T> where T: Contents { … show_deep … }
//! ```

use super::derive_input::{DeriveInput, Field};
use crate::facade;
use crate::syntax::{Attribute, Cursor, Mistakes, is_ident, nearest, split_commas};
use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::{format_ident, quote_spanned};

/// Returns the implementations for `input`. After a mistake, returns empty implementations and the
/// errors. If tracking is off, the implementations are empty too.
pub(crate) fn derive(input: TokenStream, is_enabled: bool) -> TokenStream {
    let Some(input) = DeriveInput::parse(input) else {
        let mut mistakes = Mistakes::default();
        mistakes.add(TokenStream::new(), "expected a struct or an enum");
        return mistakes.into_tokens();
    };
    let mut mistakes = Mistakes::default();
    let derived = Derived::new(&input, is_enabled, &mut mistakes);
    let visit = derived.implementation("Trackable", "visit", "__memscope_show", 3);
    let contents = derived.implementation("Contents", "visit_contents", "__memscope_show_deep", 4);
    let mistakes = mistakes.into_tokens();
    quote_spanned!(Span::mixed_site()=> #visit #contents #mistakes)
}

struct Derived<'a> {
    input: &'a DeriveInput,
    facade: TokenStream,
    /// The fields to visit, for each variant.
    fields: Vec<Vec<&'a Field>>,
    is_wrong: bool,
    is_enabled: bool,
}

impl<'a> Derived<'a> {
    fn new(input: &'a DeriveInput, is_enabled: bool, mistakes: &mut Mistakes) -> Self {
        let options = Options::parse(&input.attributes, &["crate"], mistakes);
        if input.keyword == "union" {
            mistakes.add(
                &input.keyword,
                "found a `union`, expected a struct or an enum: which field of it is valid cannot be known",
            );
        }
        if let Some(packed) = packed(&input.attributes) {
            mistakes.add(
                packed,
                "found a packed struct, expected one whose fields can be borrowed: implement `Trackable` by hand",
            );
        }
        let is_wrong = mistakes.count() > 0;
        let mut fields = Vec::new();
        for variant in &input.variants {
            Options::parse(&variant.attributes, &[], mistakes);
            let is_shown =
                |field: &&Field| !Options::parse(&field.attributes, &["skip"], mistakes).is_skipped;
            fields.push(variant.fields.iter().filter(is_shown).collect());
        }
        let facade = options.krate.unwrap_or_else(facade::default_path);
        Self { input, facade, fields, is_wrong, is_enabled }
    }

    /// Generates `impl #interface for …` with one method, which calls `step` on every field. The
    /// method resolution starts with that many references.
    fn implementation(
        &self,
        interface: &str,
        method: &str,
        step: &str,
        references: usize,
    ) -> TokenStream {
        let Self { input: DeriveInput { name, parameters, predicates, .. }, facade, .. } = self;
        let interface = Ident::new(interface, Span::mixed_site());
        let method = Ident::new(method, Span::mixed_site());
        let declarations = parameters.iter().map(|parameter| &parameter.declaration);
        let names = parameters.iter().map(|parameter| &parameter.name);
        let types = parameters
            .iter()
            .filter(|parameter| parameter.is_type)
            .map(|parameter| &parameter.name);
        let predicates =
            (!predicates.is_empty()).then(|| quote_spanned!(Span::mixed_site()=> #predicates,));
        let body = self.body(step, references);
        quote_spanned! {Span::mixed_site()=>
            #[automatically_derived]
            impl<#(#declarations),*> #facade::#interface for #name<#(#names),*>
            where
                #predicates
                #(#types: #facade::#interface,)*
            {
                fn #method(&self, __memscope_blocks: &mut #facade::Blocks<'_>) {
                    #body
                }
            }
        }
    }

    fn body(&self, step: &str, references: usize) -> TokenStream {
        let Self { input, facade, .. } = self;
        if self.is_wrong {
            return TokenStream::new();
        }
        if input.variants.is_empty() {
            return quote_spanned!(Span::mixed_site()=> match *self {});
        }
        let step = Ident::new(step, Span::mixed_site());
        let references = (0..references).map(|_| quote_spanned!(Span::mixed_site()=> &));
        let references: TokenStream = references.collect();
        let arms = input.variants.iter().zip(&self.fields).map(|(variant, fields)| {
            let path = &variant.path;
            let members = fields.iter().map(|field| &field.member);
            let names: Vec<Ident> = (0..fields.len())
                .map(|index| format_ident!("__memscope_field{index}", span = Span::mixed_site()))
                .collect();
            let shown = if self.is_enabled {
                quote_spanned! {Span::mixed_site()=>
                    #((#references #facade::__private::Value(#names)).#step(__memscope_blocks);)*
                }
            } else {
                // Uses the fields as when tracking is on, so that no warning depends on it.
                quote_spanned!(Span::mixed_site()=> #(let _ = #names;)*)
            };
            quote_spanned!(Span::mixed_site()=> #path { #(#members: #names,)* .. } => { #shown })
        });
        let arms: TokenStream = arms.collect();
        let is_empty = self.fields.iter().all(Vec::is_empty);
        let steps = (self.is_enabled && !is_empty).then(|| {
            quote_spanned! {Span::mixed_site()=>
                use #facade::__private::{ByContents as _, ByHandle as _, ByParts as _, ByValue as _};
            }
        });
        quote_spanned!(Span::mixed_site()=> #steps match self { #arms })
    }
}

/// The options of the `#[trackable(…)]` attributes of one item or field.
#[derive(Default)]
struct Options {
    krate: Option<TokenStream>,
    is_skipped: bool,
}

impl Options {
    /// `known` are the options that are valid there.
    fn parse(attributes: &[Attribute], known: &[&str], mistakes: &mut Mistakes) -> Self {
        let mut options = Self::default();
        let mut seen = Vec::new();
        for attribute in attributes.iter().filter(|attribute| attribute.is("trackable")) {
            match &attribute.arguments {
                Some(arguments) => {
                    for option in split_commas(arguments.stream()) {
                        options.parse_one(&option, known, &mut seen, mistakes);
                    }
                }
                None => mistakes.add(
                    &attribute.path[0],
                    "found no option, expected one, as in `#[trackable(skip)]`",
                ),
            }
        }
        options
    }

    fn parse_one(
        &mut self,
        option: &TokenStream,
        known: &[&str],
        seen: &mut Vec<Ident>,
        mistakes: &mut Mistakes,
    ) {
        let mut cursor = Cursor::new(option.clone());
        let Some(key) = cursor.ident() else {
            return mistakes.add(option, format_args!("found `{option}`, expected an option"));
        };
        let text = key.to_string();
        if !known.contains(&&*text) {
            return mistakes.add(&key, unknown_option(&text, known));
        }
        if seen.contains(&key) {
            return mistakes.add(&key, format_args!("duplicate option `{key}`"));
        }
        seen.push(key.clone());
        if text == "skip" {
            self.is_skipped = true;
            if !cursor.is_empty() {
                mistakes.add(cursor.rest(), "`skip` takes no value");
            }
            return;
        }
        let equals = cursor.punct('=');
        let value = cursor.rest();
        if equals.is_none() || value.is_empty() {
            mistakes.add(key, "`crate` needs a value, as in `crate = ::memscope_rs`");
        } else {
            self.krate = facade::parse_path(value, mistakes);
        }
    }
}

fn unknown_option(found: &str, known: &[&str]) -> String {
    match found {
        "skip" => return "found `skip`, expected it on a field".to_owned(),
        "crate" => return "found `crate`, expected it on the struct or enum itself".to_owned(),
        _ => {}
    }
    match (nearest(found, &["skip", "crate"]), known) {
        (Some(meant), _) => format!("unknown option `{found}`, did you mean `{meant}`?"),
        (None, [option]) => format!("unknown option `{found}`, expected `{option}`"),
        (None, _) => format!("unknown option `{found}`, a variant has none"),
    }
}

/// Returns the `packed` of `#[repr(packed)]`.
fn packed(attributes: &[Attribute]) -> Option<TokenTree> {
    attributes
        .iter()
        .filter(|attribute| attribute.is("repr"))
        .filter_map(|attribute| attribute.arguments.as_ref())
        .flat_map(Group::stream)
        .find(|tree| is_ident(tree, "packed"))
}

#[cfg(test)]
mod tests;
