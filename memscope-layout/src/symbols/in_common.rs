//! What the names of one piece of code have in common.
//!
//! Compilers and linkers keep functions with the same code once. That code has the names of all of
//! them, and which one a program called cannot be told.

/// Replaces the part in which `name` differs from `other` by `_`. Leaves an empty text if they have
/// nothing in common, neither at the start nor at the end.
pub(super) fn keep(name: &mut String, other: &str) {
    if name == other || name.is_empty() {
        return;
    }
    // Several symbols of the C library stand for one function.
    if !name.contains("::") || !other.contains("::") {
        let is_better = other.contains("::")
            || !name.contains("::")
                && (underscores(other), other.len()) < (underscores(name), name.len());
        if is_better {
            other.clone_into(name);
        }
        return;
    }
    let pairs = name.chars().zip(other.chars());
    let same: usize = pairs.take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum();
    // Whole words only.
    let start = name[..same].trim_end_matches(is_of_word).len();
    let (mine, theirs) = (&name[start..], &other[start..]);
    let backwards = mine.chars().rev().zip(theirs.chars().rev());
    let same: usize = backwards.take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum();
    let mut end = mine[mine.len() - same..].trim_start_matches(is_of_word).len();
    // A bracket that opens in the middle closes there too.
    while !is_balanced(&mine[..mine.len() - end]) || !is_balanced(&theirs[..theirs.len() - end]) {
        let Some(next) = mine[mine.len() - end..].chars().next() else { break };
        end -= next.len_utf8();
    }
    let common = [&name[..start], "_", &mine[mine.len() - end..]].concat();
    *name = if common.contains(is_letter) { common } else { String::new() };
}

fn underscores(name: &str) -> usize {
    name.len() - name.trim_start_matches('_').len()
}

fn is_of_word(it: char) -> bool {
    it.is_alphanumeric() || it == '_'
}

fn is_letter(it: char) -> bool {
    it.is_alphanumeric()
}

fn is_balanced(text: &str) -> bool {
    let mut depth = 0i32;
    let mut last = ' ';
    for it in text.chars() {
        match it {
            '<' | '(' | '[' | '{' => depth += 1,
            '>' if last == '-' => {}
            '>' | ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        if depth < 0 {
            return false;
        }
        last = it;
    }
    depth == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn common(names: &[&str]) -> String {
        let mut name = names[0].to_owned();
        for other in &names[1..] {
            keep(&mut name, other);
        }
        name
    }

    #[test]
    fn merged_functions_have_the_name_that_is_true_of_all() {
        for (names, expected) in [
            (&["a::f", "a::f"][..], "a::f"),
            (&["a::Vec<u8>::grow", "a::Vec<i8>::grow"], "a::Vec<_>::grow"),
            (&["a::Vec<b::A<C>>::grow", "a::Vec<b::B>::grow"], "a::Vec<b::_>::grow"),
            (&["a::Vec<A<X>>::grow", "a::Vec<A>::grow"], "a::Vec<_>::grow"),
            (&["a::Vec<A<X>>", "a::Vec<B<Y>>"], "a::Vec<_>"),
            (&["app::one::{closure#0}", "app::two::{closure#0}"], "app::_::{closure#0}"),
            (&["a::f::<u8>", "a::f::<u16>", "a::f::<fn() -> u8>"], "a::f::<_>"),
            (&["a::f", "a::f::g"], "a::_"),
            (&["a::f", "b::g"], ""),
            (&["a::f", "b::g", "a::f"], ""),
            (&["__libc_malloc", "malloc", "__malloc"], "malloc"),
            (&["rust_alloc", "a::alloc"], "a::alloc"),
        ] {
            assert_eq!(common(names), expected, "{names:?}");
        }
    }
}
