//! Expands `track_var!` to a visit of each place.
//!
//! ```text
//! track_var!(a.b)
//!
//! {
//!     match &a.b {
//!         value => {
//!             static VARIABLE: VariableCallsite =
//!                 VariableCallsite::new("a.b", "src/main.rs", 7, 16);
//!             use {ByContents as _, ByParts as _, ByHandle as _, ByValue as _};
//!             track_value(&VARIABLE, value, |blocks| (&&&Value(value)).show(blocks));
//!         }
//!     };
//! }
//! ```
//!
//! The semicolon drops temporaries, such as lock guards, before the block ends. In the 2021
//! edition, the last expression of a block would keep them longer.

use super::place_expr::{PlaceExpr, is_end, unexpected};
use super::unparse::unparse;
use crate::facade;
use crate::syntax::{Cursor, Location, Mistakes, is_punct, mixed_site_at, nearest};
use proc_macro2::{Ident, Span, TokenStream};
use quote::{TokenStreamExt, quote_spanned};

/// The arguments of the macro.
#[derive(Default)]
struct Arguments {
    variables: Vec<Variable>,
    /// The path of the facade.
    krate: Option<TokenStream>,
    has_crate: bool,
}

struct Variable {
    place: PlaceExpr,
    /// Whether the elements are visited as well.
    is_deep: bool,
}

/// Expands `track_var!(input)` to an expression of type `()`. If tracking is off, mistakes are
/// reported and places are type-checked, but nothing runs.
pub(crate) fn track_var(input: TokenStream, is_enabled: bool) -> TokenStream {
    let mut mistakes = Mistakes::default();
    let arguments = Arguments::parse(input, &mut mistakes);
    let facade = arguments.krate.clone().unwrap_or_else(facade::default_path);
    let looks = arguments
        .variables
        .iter()
        .map(|variable| if is_enabled { variable.expand(&facade) } else { variable.check() });
    let looks: TokenStream = looks.collect();
    let mistakes = mistakes.into_tokens();
    if is_enabled {
        quote_spanned!(Span::mixed_site()=> { #mistakes #looks })
    } else {
        quote_spanned!(Span::mixed_site()=> { #mistakes if false { #looks } })
    }
}

impl Arguments {
    fn parse(input: TokenStream, mistakes: &mut Mistakes) -> Self {
        let mut arguments = Self::default();
        let mut cursor = Cursor::new(input);
        let before = mistakes.count();
        // Peeking at a token opens the invisible group around it, but `PlaceExpr` must see the
        // group closed.
        while !cursor.clone().is_empty() {
            if let Some(comma) = cursor.clone().punct(',') {
                mistakes.add(&comma, "found `,`, expected a variable");
                cursor.punct(',');
                continue;
            }
            arguments.parse_one(&mut cursor, mistakes);
            if !cursor.clone().is_empty() && !cursor.clone().peek_punct(',') {
                // The mistake in it was already added.
                cursor.until(|tree| is_punct(tree, ','));
            }
            cursor.punct(',');
        }
        if arguments.variables.is_empty() && mistakes.count() == before {
            mistakes
                .add(TokenStream::new(), "found no variable, expected one, as in `track_var!(x)`");
        }
        arguments
    }

    /// Parses the tokens between two commas.
    fn parse_one(&mut self, cursor: &mut Cursor, mistakes: &mut Mistakes) {
        let mut deep = None;
        while let Some((word, sign)) = option(&mut cursor.clone()) {
            match (&*word.to_string(), sign) {
                ("crate", '=') => {
                    take_option(cursor);
                    return self.parse_crate(&word, cursor, mistakes);
                }
                ("deep", ':') if deep.is_some() => {
                    mistakes.add(&word, "duplicate option `deep`");
                }
                ("deep", ':') => deep = Some(word),
                (found, ':') => mistakes.add(&word, unknown_option(found)),
                (found, _) if nearest(found, &["crate"]).is_some() => {
                    mistakes.add(&word, unknown_option(found));
                    return;
                }
                // Possibly an assignment.
                _ => break,
            }
            take_option(cursor);
        }
        let is_deep = deep.is_some();
        if is_end(&mut cursor.clone()) {
            // After another option, a mistake was already added.
            if let Some(deep) = deep {
                mistakes.add(deep, "found nothing behind `deep:`, expected a variable");
            }
            return;
        }
        let Some(place) = PlaceExpr::parse(cursor, mistakes) else { return };
        if is_end(&mut cursor.clone()) {
            self.variables.push(Variable { place, is_deep });
        } else {
            unexpected(cursor, mistakes);
        }
    }

    fn parse_crate(&mut self, word: &Ident, cursor: &mut Cursor, mistakes: &mut Mistakes) {
        let value = cursor.until(|tree| is_punct(tree, ','));
        if std::mem::replace(&mut self.has_crate, true) {
            mistakes.add(word, "duplicate option `crate`");
        } else if value.is_empty() {
            mistakes.add(word, "`crate` needs a value, as in `crate = ::memscope_rs`");
        } else {
            self.krate = facade::parse_path(value, mistakes);
        }
    }
}

/// Takes `word:` or `word =`, but not `word::` or `word ==`.
fn option(cursor: &mut Cursor) -> Option<(Ident, char)> {
    let word = cursor.ident()?;
    let sign = [':', '='].into_iter().find(|sign| cursor.peek_punct(*sign))?;
    let sign = cursor.punct(sign)?;
    let is_half = sign.spacing() == proc_macro2::Spacing::Joint
        && [':', '=', '>'].iter().any(|other| cursor.peek_punct(*other));
    (!is_half).then(|| (word, sign.as_char()))
}

fn take_option(cursor: &mut Cursor) {
    option(cursor);
}

fn unknown_option(found: &str) -> String {
    match nearest(found, &["deep", "crate"]) {
        Some(meant) => format!("unknown option `{found}`, did you mean `{meant}`?"),
        None => format!("unknown option `{found}`, expected `deep` or `crate`"),
    }
}

impl Variable {
    fn expand(&self, facade: &TokenStream) -> TokenStream {
        let PlaceExpr { tokens: place, span, .. } = &self.place;
        let name = unparse(place.clone());
        let Location { file, line, column } = Location::of(*span);
        let value =
            quote_spanned!(Span::mixed_site()=> #facade::__private::Value(__memscope_value));
        let show = if self.is_deep {
            quote_spanned!(Span::mixed_site()=> (&&&&#value).__memscope_show_deep(__memscope_blocks))
        } else {
            quote_spanned!(Span::mixed_site()=> (&&&#value).__memscope_show(__memscope_blocks))
        };
        self.matched(&quote_spanned! {Span::mixed_site()=>
            __memscope_value => {
                static __MEMSCOPE_VARIABLE: #facade::__private::VariableCallsite =
                    #facade::__private::VariableCallsite::new(#name, #file, #line, #column);
                use #facade::__private::{ByContents as _, ByHandle as _, ByParts as _, ByValue as _};
                #facade::__private::track_value(&__MEMSCOPE_VARIABLE, __memscope_value, |__memscope_blocks| #show);
            }
        })
    }

    /// Generates the same uses of the place, without tracking.
    fn check(&self) -> TokenStream {
        self.matched(&quote_spanned!(Span::mixed_site()=> _ => {}))
    }

    fn matched(&self, arm: &TokenStream) -> TokenStream {
        let place = &self.place.tokens;
        // Errors about the borrow are shown at the place.
        let borrow = quote_spanned!(mixed_site_at(self.place.span)=> &);
        let mut tokens = quote_spanned!(Span::mixed_site()=> match #borrow #place);
        tokens.append_all(quote_spanned!(Span::mixed_site()=> { #arm };));
        tokens
    }
}

#[cfg(test)]
mod tests;
