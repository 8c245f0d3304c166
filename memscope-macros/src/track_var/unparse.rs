//! Formats tokens as a programmer would write them, as in the name `self.parts[i + 1].name` in
//! reports.
//!
//! `TokenStream::to_string` keeps the spaces that the user, or a macro, happened to write.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use syn::ext::IdentExt;

/// Operators of several characters. A longer operator precedes its prefixes.
const OPERATORS: [&str; 20] = [
    "..=", "...", "<<=", ">>=", "::", "..", "->", "=>", "==", "!=", "<=", ">=", "&&", "||", "<<",
    ">>", "+=", "-=", "*=", "/=",
];

/// Formats `tokens` with conventional spaces. Raw identifiers lose their `r#`.
pub(crate) fn unparse(tokens: TokenStream) -> String {
    let mut unparser = Unparser::default();
    let mut trees = Vec::new();
    open_invisible(tokens, &mut trees);
    let mut next = 0;
    while let Some(tree) = trees.get(next) {
        next += 1;
        match tree {
            TokenTree::Ident(ident) => {
                let word = ident.unraw().to_string();
                unparser.word(word.trim_start_matches('$'));
            }
            TokenTree::Literal(literal) => unparser.word(&literal.to_string()),
            TokenTree::Group(group) => unparser.group(group.delimiter(), &unparse(group.stream())),
            TokenTree::Punct(first) => {
                let mut operator = String::from(first.as_char());
                let mut is_joint = first.spacing() == Spacing::Joint;
                // `>>` closes two lists of types.
                let may_grow = unparser.angles == 0 || first.as_char() != '>';
                while let Some(TokenTree::Punct(punct)) = trees.get(next)
                    && is_joint
                    && may_grow
                    && OPERATORS.iter().any(|known| {
                        known
                            .strip_prefix(&*operator)
                            .is_some_and(|rest| rest.starts_with(punct.as_char()))
                    })
                {
                    operator.push(punct.as_char());
                    is_joint = punct.spacing() == Spacing::Joint;
                    next += 1;
                }
                let is_macro =
                    operator == "!" && matches!(trees.get(next), Some(TokenTree::Group(_)));
                unparser.operator(&operator, is_macro);
            }
        }
    }
    unparser.text.truncate(unparser.text.trim_end().len());
    unparser.text
}

fn open_invisible(tokens: TokenStream, trees: &mut Vec<TokenTree>) {
    for tree in tokens {
        match tree {
            TokenTree::Group(group) if group.delimiter() == Delimiter::None => {
                open_invisible(group.stream(), trees);
            }
            tree => trees.push(tree),
        }
    }
}

/// The kind of token before the next one.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Before {
    /// Nothing, or an operator with its spaces: a value comes next.
    #[default]
    Operator,
    /// A name, a literal, or a closed group: the end of a value.
    Operand,
    /// `as`, `mut`, `return`: a word that is not a value.
    Keyword,
}

#[derive(Default)]
struct Unparser {
    text: String,
    before: Before,
    /// The number of open `<` around types.
    angles: usize,
    /// Whether the parameters of a closure are open.
    in_closure: bool,
}

impl Unparser {
    fn word(&mut self, word: &str) {
        const KEYWORDS: [&str; 17] = [
            "as", "async", "break", "const", "dyn", "else", "for", "if", "in", "let", "loop",
            "match", "move", "mut", "return", "unsafe", "while",
        ];
        if self.before != Before::Operator {
            self.space();
        }
        self.text.push_str(word);
        self.before = if KEYWORDS.contains(&word) { Before::Keyword } else { Before::Operand };
    }

    fn group(&mut self, delimiter: Delimiter, inside: &str) {
        let (open, close) = match delimiter {
            Delimiter::Bracket => ("[", "]"),
            Delimiter::Brace if inside.is_empty() => ("{", "}"),
            Delimiter::Brace => ("{ ", " }"),
            Delimiter::Parenthesis | Delimiter::None => ("(", ")"),
        };
        if self.before == Before::Keyword
            || self.before == Before::Operand && delimiter == Delimiter::Brace
        {
            self.space();
        }
        self.text.extend([open, inside, close]);
        self.before = Before::Operand;
    }

    fn operator(&mut self, operator: &str, is_macro: bool) {
        let follows_value = self.before == Before::Operand;
        let follows_path = self.text.ends_with("::");
        if self.before == Before::Keyword {
            self.space();
        }
        self.before = Before::Operator;
        match operator {
            "." | "::" | ".." | "..=" | "#" | "$" => self.text.push_str(operator),
            "?" => {
                self.text.push('?');
                self.before = Before::Operand;
            }
            "," | ";" | ":" => self.text.extend([operator, " "]),
            "'" => {
                if follows_value {
                    self.space();
                }
                self.text.push('\'');
            }
            "!" if is_macro || !follows_value => self.text.push('!'),
            "<" if follows_path || !follows_value || self.angles > 0 => {
                self.angles += 1;
                self.text.push('<');
            }
            ">" if self.angles > 0 => {
                self.angles -= 1;
                self.text.truncate(self.text.trim_end().len());
                self.text.push('>');
                self.before = Before::Operand;
            }
            "|" if self.in_closure => {
                self.in_closure = false;
                self.text.push_str("| ");
            }
            "|" if !follows_value => {
                self.in_closure = true;
                self.text.push('|');
            }
            "||" if !follows_value => self.text.push_str("|| "),
            "-" | "*" | "&" | "&&" if !follows_value => self.text.push_str(operator),
            _ => {
                self.space();
                self.text.extend([operator, " "]);
            }
        }
    }

    fn space(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with(' ') {
            self.text.push(' ');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_are_where_they_are_usual() {
        for text in [
            "self.parts[i + 1].name",
            "*boxed",
            "**boxed",
            "(*boxed).0.1",
            "items[-1 - -x * *y & &z]",
            "map[&(a, b)]",
            "map[\"key\"]",
            "items[..n]",
            "items[1..=2]",
            "crate::state::POOL",
            "::a::B",
            "items[len::<Vec<Vec<u8>>>() << 2 >> 1]",
            "items[x as usize]",
            "items[x as *const u8 as usize]",
            "items[a < b && !c || d != e]",
            "items[vec![1, 2].len()]",
            "items[find(|x, y| x == y)]",
            "items[run(|| -1)]",
            "items[if a { 1 } else { -2 }]",
            "items[{}]",
            "*lock.lock().unwrap()",
            "*lock.lock().await",
            "*find(x)?",
            "items[S { a: 1 }.a]",
            "items[<u8 as Into<usize>>::into(x)]",
            "items[f::<'a, T>()]",
        ] {
            let tokens: TokenStream = text.parse().expect("tokens");
            assert_eq!(unparse(tokens), text);
        }
    }

    #[test]
    fn raw_names_are_bare() {
        assert_eq!(unparse("r#type . r#fn".parse().expect("tokens")), "type.fn");
    }
}
