//! Options of attributes: `key = value, …`.

use super::{Cursor, Mistakes, is_punct};
use proc_macro2::{Ident, TokenStream};

/// Calls `each` with every option, and with the keys that were seen before. Mistakes are added.
pub(crate) fn for_each_option(
    arguments: TokenStream,
    mistakes: &mut Mistakes,
    mut each: impl FnMut(&TokenStream, &mut Vec<Ident>, &mut Mistakes),
) {
    let mut cursor = Cursor::new(arguments);
    let mut seen = Vec::new();
    while !cursor.is_empty() {
        let option = cursor.until(|tree| is_punct(tree, ','));
        let comma = cursor.punct(',');
        if option.is_empty() {
            mistakes.add(comma, "expected an option, found `,`");
        } else {
            each(&option, &mut seen, mistakes);
        }
    }
}
