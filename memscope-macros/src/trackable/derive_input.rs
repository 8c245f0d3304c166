//! Parses the struct or enum under `#[derive(Trackable)]`. Only names are used; types are not read.

use crate::syntax::{Attribute, Cursor, is_braces, is_punct, split_commas};
use proc_macro2::{Delimiter, Group, Ident, Literal, Span, TokenStream, TokenTree};
use quote::{ToTokens, TokenStreamExt, quote_spanned};

/// `struct Name<…> where … { … }`, an enum, or a union.
pub(crate) struct DeriveInput {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) keyword: Ident,
    pub(crate) name: Ident,
    pub(crate) parameters: Vec<Parameter>,
    /// The predicates after the `where`, without a trailing comma.
    pub(crate) predicates: TokenStream,
    /// The variants. A struct or union has one, which stands for itself.
    pub(crate) variants: Vec<Variant>,
}

/// `'a`, `T: Bound`, `const N: usize`.
pub(crate) struct Parameter {
    /// The parameter's declaration, without a default.
    pub(crate) declaration: TokenStream,
    /// The parameter as the item's uses name it.
    pub(crate) name: TokenStream,
    pub(crate) is_type: bool,
}

pub(crate) struct Variant {
    /// `Self` or `Self::Name`.
    pub(crate) path: TokenStream,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) fields: Vec<Field>,
}

pub(crate) struct Field {
    pub(crate) attributes: Vec<Attribute>,
    /// The field's name or number.
    pub(crate) member: TokenTree,
}

impl DeriveInput {
    /// Parses the item. The compiler has accepted its syntax before, so `None` is only for tokens
    /// that it would reject.
    pub(crate) fn parse(input: TokenStream) -> Option<Self> {
        let mut cursor = Cursor::new(input);
        let attributes = Attribute::parse_all(&mut cursor);
        skip_visibility(&mut cursor);
        let keyword = cursor.ident()?;
        let name = cursor.ident()?;
        let parameters = parameters(cursor.angle_brackets())?;
        let tuple = cursor.group(Delimiter::Parenthesis);
        let mut predicates = TokenStream::new();
        if cursor.keyword("where").is_some() {
            predicates = cursor.until(|tree| is_braces(tree) || is_punct(tree, ';'));
        }
        let predicates = without_last_comma(predicates);
        let body = tuple.or_else(|| cursor.group(Delimiter::Brace));
        let itself = quote_spanned!(Span::mixed_site()=> Self);
        let variants = if keyword == "enum" {
            variants(body?.stream())
        } else {
            vec![Variant { path: itself, attributes: Vec::new(), fields: fields(body.as_ref())? }]
        };
        Some(Self { attributes, keyword, name, parameters, predicates, variants })
    }
}

fn skip_visibility(cursor: &mut Cursor) {
    if cursor.keyword("pub").is_some() {
        cursor.group(Delimiter::Parenthesis);
    }
}

fn without_last_comma(tokens: TokenStream) -> TokenStream {
    let mut trees: Vec<TokenTree> = tokens.into_iter().collect();
    trees.pop_if(|last| is_punct(last, ','));
    trees.into_iter().collect()
}

/// Returns the parameters in `<…>`, if there are any; `None` if the brackets are not closed.
fn parameters(angles: TokenStream) -> Option<Vec<Parameter>> {
    let mut trees: Vec<TokenTree> = angles.into_iter().collect();
    if trees.is_empty() {
        return Some(Vec::new());
    }
    trees.pop_if(|last| is_punct(last, '>'))?;
    trees.remove(0);
    Some(split_commas(trees.into_iter().collect()).into_iter().filter_map(parameter).collect())
}

fn parameter(tokens: TokenStream) -> Option<Parameter> {
    let mut cursor = Cursor::new(tokens);
    Attribute::parse_all(&mut cursor);
    let declaration = cursor.clone().until(|tree| is_punct(tree, '='));
    let quote = cursor.punct('\'');
    let constness = cursor.keyword("const");
    let is_type = quote.is_none() && constness.is_none();
    let mut name = quote.to_token_stream();
    name.append(cursor.ident()?);
    Some(Parameter { declaration, name, is_type })
}

/// Returns the fields in braces or parentheses.
fn fields(body: Option<&Group>) -> Option<Vec<Field>> {
    let Some(body) = body else { return Some(Vec::new()) };
    let is_tuple = body.delimiter() == Delimiter::Parenthesis;
    let parse = |(index, tokens)| {
        let mut cursor = Cursor::new(tokens);
        let attributes = Attribute::parse_all(&mut cursor);
        let member = if is_tuple {
            Literal::usize_unsuffixed(index).into()
        } else {
            skip_visibility(&mut cursor);
            cursor.ident()?.into()
        };
        Some(Field { attributes, member })
    };
    split_commas(body.stream()).into_iter().enumerate().map(parse).collect()
}

fn variants(body: TokenStream) -> Vec<Variant> {
    let mut cursor = Cursor::new(body);
    let mut variants = Vec::new();
    while !cursor.is_empty() {
        let attributes = Attribute::parse_all(&mut cursor);
        skip_visibility(&mut cursor);
        if let Some(name) = cursor.ident() {
            let group =
                cursor.group(Delimiter::Brace).or_else(|| cursor.group(Delimiter::Parenthesis));
            let path = quote_spanned!(Span::mixed_site()=> Self::#name);
            variants.extend(fields(group.as_ref()).map(|fields| Variant {
                path,
                attributes,
                fields,
            }));
        }
        skip_discriminant(&mut cursor);
        cursor.punct(',');
    }
    variants
}

/// Takes `= 1 << 4`. A `<` compares or shifts there, unless a `::` precedes it.
fn skip_discriminant(cursor: &mut Cursor) {
    let mut may_have_types = cursor.punct('=').is_some();
    while !cursor.is_empty() && !cursor.peek_punct(',') {
        if may_have_types && cursor.peek_punct('<') {
            cursor.angle_brackets();
        }
        may_have_types = cursor.path_separator().is_some();
        if !may_have_types && !cursor.peek_punct(',') {
            cursor.bump();
        }
    }
}
