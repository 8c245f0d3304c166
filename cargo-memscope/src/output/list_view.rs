//! The list view: each future and the reasons for its size.

use std::{
    collections::HashSet,
    io::{self, Write},
};

use memscope_layout::{MemberKind, Place};

use super::{
    source_line::SourceFiles,
    terminal::{ADVICE, NAME, PLACE, SIZE, Width},
};
use crate::{
    byte_size::ByteSize,
    model::{Future, Hidden, Part, Step, short_place},
};

/// The width of the column of sizes.
pub(crate) const SIZE_COLUMNS: usize = 12;

/// Prints futures one after the other.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) width: Width,
    pub(crate) source: SourceFiles,
    /// Name and size of each future that was printed as a part of another one.
    pub(crate) shown: HashSet<(String, u64)>,
}

impl List {
    pub(crate) fn print(&mut self, out: &mut impl Write, futures: &[Future]) -> io::Result<()> {
        for future in futures {
            self.future(out, future)?;
            writeln!(out)?;
        }
        Ok(())
    }

    /// Prints one future.
    pub(crate) fn future(&mut self, out: &mut impl Write, future: &Future) -> io::Result<()> {
        head(out, self.width, future)?;
        for (depth, step) in future.why.iter().enumerate() {
            let is_new = self.shown.insert((step.future.clone(), step.size));
            if depth > 0 && !is_new {
                writeln!(out, "{:1$}{PLACE}as above{PLACE:#}", "", start(depth))?;
                break;
            }
            self.step(out, step, depth)?;
        }
        for advice in &future.advice {
            let place = advice
                .place
                .as_ref()
                .map_or_else(String::new, |it| format!("{}: ", short_place(it)));
            let less = ByteSize(advice.saves_up_to);
            let text = format!("{place}{} (up to {less} less)", advice.short_text());
            let indent = SIZE_COLUMNS + 4;
            for (at, line) in self.width.minus(indent).lines(&text).iter().enumerate() {
                let mark = if at == 0 { "→" } else { " " };
                let start = SIZE_COLUMNS + 2;
                writeln!(out, "{:start$}{ADVICE}{mark} {line}{ADVICE:#}", "")?;
            }
        }
        Ok(())
    }

    fn step(&mut self, out: &mut impl Write, step: &Step, depth: usize) -> io::Result<()> {
        let indent = start(depth);
        if let Some(place) = &step.at {
            let text = format!("waits at {}", short_place(place));
            let left = self.width.minus(indent + text.chars().count() + 4);
            let line = self
                .source
                .line(place)
                .map_or_else(String::new, |it| format!("  `{}`", left.middle(&it)));
            writeln!(out, "{:indent$}{PLACE}{text}{line}{PLACE:#}", "")?;
        }
        for (index, part) in step.parts.iter().enumerate() {
            let is_next = step.next == Some(index);
            part_line(out, self.width, part, indent, if is_next { ", and in it:" } else { "" })?;
        }
        if step.others > 0 {
            let (count, bytes) = (step.others, ByteSize(step.other_bytes));
            writeln!(out, "{:indent$}{PLACE}{bytes:>SIZE_COLUMNS$}  in {count} more{PLACE:#}", "")?;
        }
        for hidden in &step.hidden {
            hidden_line(out, self.width, hidden, indent)?;
        }
        Ok(())
    }
}

/// Returns the column at which a step begins.
fn start(depth: usize) -> usize {
    SIZE_COLUMNS + 2 + 2 * depth
}

/// Prints the line of a future itself.
pub(crate) fn head(out: &mut impl Write, width: Width, future: &Future) -> io::Result<()> {
    let place =
        future.declared_at.as_ref().map_or_else(String::new, |it| format!("  {}", short_place(it)));
    let name = width.minus(SIZE_COLUMNS + 2 + place.chars().count()).middle(&future.name);
    let size = ByteSize(future.size);
    writeln!(
        out,
        "{SIZE}{size:>SIZE_COLUMNS$}{SIZE:#}  {NAME}{name}{NAME:#}{PLACE}{place}{PLACE:#}"
    )
}

/// Prints the line of a value that a state keeps.
pub(crate) fn part_line(
    out: &mut impl Write,
    width: Width,
    part: &Part,
    indent: usize,
    behind: &str,
) -> io::Result<()> {
    let size = part.size.map_or_else(|| "?".to_owned(), |it| ByteSize(it).to_string());
    let start = match part.kind {
        MemberKind::Awaited => "what it waits for: ".to_owned(),
        MemberKind::Temporary => "a value without a name: ".to_owned(),
        MemberKind::Captured => format!("argument {}: ", part.name),
        MemberKind::Local if part.perhaps => format!("perhaps {}: ", part.name),
        MemberKind::Local => format!("{}: ", part.name),
    };
    let place = declared(part);
    let used =
        indent + SIZE_COLUMNS + 2 + (start.chars().count() + place.chars().count() + behind.len());
    let type_name = width.minus(used).middle(&part.type_name);
    writeln!(
        out,
        "{:indent$}{SIZE}{size:>SIZE_COLUMNS$}{SIZE:#}  {start}{type_name}{PLACE}{place}{PLACE:#}{behind}",
        ""
    )
}

/// Prints the line of a hidden value, with the variables that it may be.
pub(crate) fn hidden_line(
    out: &mut impl Write,
    width: Width,
    hidden: &Hidden,
    indent: usize,
) -> io::Result<()> {
    let perhaps: Vec<String> = hidden
        .candidates
        .iter()
        .map(|it| {
            let size = it.size.map_or_else(String::new, |it| format!(", {}", ByteSize(it)));
            let place = it
                .declared_at
                .as_ref()
                .map_or_else(String::new, |it| format!(", {}", short_place(it)));
            format!("{}{size}{place}", it.type_name)
        })
        .collect();
    let perhaps = if perhaps.is_empty() {
        "of unknown type".to_owned()
    } else {
        format!("perhaps {}", perhaps.join(" or "))
    };
    let text = format!("{}: one more of this name, {perhaps}", hidden.name);
    let text = width.minus(indent + SIZE_COLUMNS + 2).middle(&text);
    let size = "?";
    writeln!(out, "{:indent$}{SIZE}{size:>SIZE_COLUMNS$}{SIZE:#}  {text}", "")
}

fn declared(part: &Part) -> String {
    match (&part.declared_at, &part.maybe_declared_at[..]) {
        (Some(place), _) => format!("  {}", short_place(place)),
        (None, []) => String::new(),
        (None, places) => {
            let places: Vec<String> = places.iter().map(|it: &Place| short_place(it)).collect();
            format!("  {}", places.join(" or "))
        }
    }
}
