//! Source locations of macro calls and functions, for the rows of reports.

use proc_macro2::{Literal, Span, TokenStream};
use quote::{ToTokens, quote};

/// File, line and column. They are exact even if another macro generated the code.
pub(crate) struct Location {
    pub(crate) file: TokenStream,
    pub(crate) line: Literal,
    pub(crate) column: Literal,
}

impl Location {
    pub(crate) fn of(span: Span) -> Self {
        let mut file = quote!(::core::file!());
        let (mut line, mut column) = (0, 0);
        if proc_macro::is_available() {
            let span = span.unwrap();
            (line, column) = (span.line(), span.column());
            if !span.file().is_empty() {
                file = Literal::string(&span.file()).into_token_stream();
            }
        }
        let number = |number| Literal::u32_unsuffixed(u32::try_from(number).unwrap_or(u32::MAX));
        Self { file, line: number(line), column: number(column) }
    }
}
