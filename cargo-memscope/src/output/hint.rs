//! Replaces the hint at rows that a report leaves out by an option of the command.

use std::fmt::Display;

/// The end of the library's hint: a format of Rust, which prints all rows and is no option of a
/// command.
const IN_CODE: &str = "`{:#}`)";

/// Returns a value as text. Where the text leaves rows out, it names the option that shows them.
pub(crate) fn naming(option: &str, value: &(impl Display + ?Sized)) -> String {
    let text = value.to_string();
    let mut named = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (words, end) = line.strip_suffix('\n').map_or((line, ""), |it| (it, "\n"));
        let rest = words.strip_suffix(IN_CODE);
        match rest.filter(|it| it.trim_start().starts_with("… and ")) {
            Some(rest) => named.extend([rest, "`", option, "`)", end]),
            None => named.push_str(line),
        }
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_rows_left_out_name_the_option_and_others_stay() {
        let text = "a\n… and 7 more sites (all of them with `{:#}`)\n  … and 2 more rows (all rows \
                    with `{:#}`)\na name (with `{:#}`)\nend";
        let named = "a\n… and 7 more sites (all of them with `--full`)\n  … and 2 more rows (all \
                     rows with `--full`)\na name (with `{:#}`)\nend";
        assert_eq!(naming("--full", &text), named);
    }
}
