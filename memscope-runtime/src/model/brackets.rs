//! The brackets in names of functions and types: `<app::Cache<K> as core::ops::Drop>::drop::<u8>`.
//!
//! The `>` of an arrow, as in `fn(u8) -> u8`, closes nothing.

/// Splits `<inside>rest` at the bracket that closes the first one.
pub(crate) fn qualified(name: &str) -> Option<(&str, &str)> {
    let inside = name.strip_prefix('<')?;
    let end = closing(inside)?;
    Some((&inside[..end], &inside[end + 1..]))
}

/// The place of the `>` that closes a `<` which stood before the text.
pub(crate) fn closing(text: &str) -> Option<usize> {
    let mut depth = 1_usize;
    let mut last = ' ';
    for (place, character) in text.char_indices() {
        match character {
            '<' => depth += 1,
            // The arrow of a function's type closes nothing.
            '>' if last != '-' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(place);
        }
        last = character;
    }
    None
}

/// Splits `Type as Trait`, where the `as` is in no brackets.
pub(crate) fn split_as(text: &str) -> (&str, Option<&str>) {
    let mut depth = 0_usize;
    let mut last = ' ';
    for (place, character) in text.char_indices() {
        match character {
            '<' | '(' | '[' => depth += 1,
            '>' if last == '-' => {}
            '>' | ')' | ']' => depth = depth.saturating_sub(1),
            ' ' if depth == 0 => {
                if let Some(implemented) = text[place..].strip_prefix(" as ") {
                    return (&text[..place], Some(implemented));
                }
            }
            _ => {}
        }
        last = character;
    }
    (text, None)
}

/// Leaves out angle brackets with their content, and the `::` before them.
pub(crate) fn without_arguments(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut depth = 0_usize;
    let mut last = ' ';
    for character in name.chars() {
        match character {
            '<' => {
                if depth == 0 && out.ends_with("::") {
                    out.truncate(out.len() - 2);
                }
                depth += 1;
            }
            '>' if last != '-' => depth = depth.saturating_sub(1),
            _ if depth == 0 => out.push(character),
            _ => {}
        }
        last = character;
    }
    out
}

/// The first generic argument in a name. The type of `<Type as Trait>::method` is none.
#[cfg_attr(
    not(all(feature = "symbols", feature = "tokio")),
    allow(dead_code, reason = "for the names of tasks")
)]
pub(crate) fn first_argument(name: &str) -> Option<&str> {
    let name = name.strip_prefix('<').unwrap_or(name);
    let start = name.find('<')? + 1;
    let rest = name.get(start..)?;
    let (mut depth, mut last) = (0u32, ' ');
    for (at, it) in rest.char_indices() {
        match it {
            '<' | '(' | '[' | '{' => depth += 1,
            '>' if last == '-' => {}
            '>' | ',' if depth == 0 => return rest.get(..at),
            '>' | ')' | ']' | '}' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        last = it;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_at_their_own_brackets() {
        let name = "<app::A<<b::B as b::C>::D> as e::F<fn(u8) -> u8>>::call::<G>";
        let (inside, rest) = qualified(name).expect("it begins with one");
        assert_eq!(rest, "::call::<G>");
        assert_eq!(split_as(inside), ("app::A<<b::B as b::C>::D>", Some("e::F<fn(u8) -> u8>")));
        assert_eq!(without_arguments(rest), "::call");
        assert_eq!(first_argument(inside), Some("<b::B as b::C>::D"));
        assert_eq!(first_argument("a::f::<(b::B, c::C), D>"), Some("(b::B, c::C)"));
        for open in ["a::f", "a::f::<B", "a::f::<B)>", "<", ""] {
            assert_eq!(first_argument(open), None, "{open}");
            assert_eq!(qualified(open), None, "{open}");
        }
    }
}
