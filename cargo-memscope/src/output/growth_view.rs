//! Prints what grew, as text and as Markdown.

use std::fmt::{self, Write};

use memscope_runtime::{__terminal::visible, async_memory::HumanBytes};

use crate::{
    model::growth::{Excess, Figure, Growth, Row},
    threshold::Threshold,
};

/// The most rows of the table in Markdown.
const MOST_ROWS: usize = 20;

/// Writes what grew too much, or that nothing did. Writes nothing if no limit was given.
pub(crate) fn verdict(growth: &Growth, f: &mut impl Write) -> fmt::Result {
    let Some(limit) = growth.fail_over else { return Ok(()) };
    if growth.within {
        return writeln!(f, "nothing grew by more than {limit}");
    }
    writeln!(f, "{}", over(growth, limit))?;
    for excess in &growth.over {
        writeln!(f, "  {}", sentence(excess))?;
    }
    Ok(())
}

fn over(growth: &Growth, limit: Threshold) -> String {
    match growth.over.len() {
        1 => format!("1 figure grew by more than {limit}"),
        figures => format!("{figures} figures grew by more than {limit}"),
    }
}

fn sentence(excess: &Excess) -> String {
    let Excess { name, file, line, measure, figure, .. } = excess;
    let place = match (file, line) {
        (Some(file), Some(line)) => format!(" ({}:{line})", visible(file)),
        _ => String::new(),
    };
    format!("{}{place}: {} {}", visible(name), measure.word(), change(*figure))
}

/// Returns a change as text: `1.0 MiB → 3.0 MiB (+2.0 MiB, +200 %)`.
fn change(figure: Figure) -> String {
    let [before, after] = [figure.before, figure.after].map(HumanBytes);
    format!("{before} → {after} ({})", delta(figure))
}

#[expect(clippy::cast_precision_loss, reason = "shown in whole percent")]
fn delta(figure: Figure) -> String {
    let Figure { before, after } = figure;
    let (sign, by) = if after >= before { ('+', after - before) } else { ('−', before - after) };
    let bytes = HumanBytes(by);
    if before == 0 {
        return format!("{sign}{bytes}");
    }
    format!("{sign}{bytes}, {sign}{:.0} %", 100.0 * by as f64 / before as f64)
}

/// Returns the growth as Markdown, for a comment on a pull request.
pub(crate) fn markdown(growth: &Growth) -> String {
    let mut out = String::from("### Memory\n\n");
    // Writing to a `String` does not fail.
    let _ = write_markdown(growth, &mut out);
    out
}

fn write_markdown(growth: &Growth, out: &mut String) -> fmt::Result {
    if let Some(limit) = growth.fail_over {
        if growth.within {
            writeln!(out, "Nothing grew by more than {limit}.\n")?;
        } else {
            writeln!(out, "**{}:**\n", over(growth, limit))?;
            for excess in growth.over.iter().take(MOST_ROWS) {
                writeln!(out, "- {}", escaped(&sentence(excess)))?;
            }
            writeln!(out)?;
        }
    }
    if growth.rows.is_empty() {
        return writeln!(out, "No site changed.");
    }
    writeln!(out, "| site | live | peak of a task | allocated |\n|---|--:|--:|--:|")?;
    for row in growth.rows.iter().take(MOST_ROWS) {
        writeln!(out, "{}", line(row))?;
    }
    if growth.rows.len() > MOST_ROWS {
        writeln!(out, "\n… and {} more sites", growth.rows.len() - MOST_ROWS)?;
    }
    if !growth.diff.same_process {
        writeln!(out, "\nThese are reports of two processes.")?;
    }
    Ok(())
}

fn line(row: &Row) -> String {
    let cell = |figure: Option<Figure>| match figure {
        None => "–".to_owned(),
        Some(Figure { before, after }) if before == after => HumanBytes(after).to_string(),
        Some(figure) => change(figure),
    };
    let title = escaped(&visible(&row.title()).to_string());
    let (live, peak) = (cell(Some(row.live)), cell(row.peak));
    format!("| {title} | {live} | {peak} | {} |", cell(Some(row.allocated)))
}

/// Escapes text for Markdown.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        if "\\`*_{}[]<>#|~@&".contains(char) {
            out.push('\\');
        }
        out.push(char);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_markup() {
        assert_eq!(escaped("a|b `c` <d> @e"), "a\\|b \\`c\\` \\<d\\> \\@e");
    }

    #[test]
    fn changes_have_signs_and_percent_of_what_was_there() {
        let of = |before, after| change(Figure { before, after });
        assert_eq!(of(1 << 20, 3 << 20), "1.0 MiB → 3.0 MiB (+2.0 MiB, +200 %)");
        assert_eq!(of(2048, 1024), "2.0 KiB → 1.0 KiB (−1.0 KiB, −50 %)");
        assert_eq!(of(0, 10), "0 B → 10 B (+10 B)");
    }
}
