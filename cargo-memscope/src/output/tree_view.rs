//! The tree view: each future with all its states, and everything in them.

use std::io::{self, Write};

use memscope_layout::StateKind;

use super::{
    list_view::{SIZE_COLUMNS, head, hidden_line, part_line},
    terminal::{NAME, PLACE, SIZE, Width},
};
use crate::{
    byte_size::ByteSize,
    model::{Future, short_place},
};

/// Prints futures with their states. States after a return or a panic keep nothing alive, and are
/// omitted.
pub(crate) fn print(out: &mut impl Write, width: Width, futures: &[Future]) -> io::Result<()> {
    for future in futures {
        head(out, width, future)?;
        let padding = ByteSize(future.padding);
        writeln!(
            out,
            "{:SIZE_COLUMNS$}  {PLACE}{padding} of it not known to be used in the largest state{PLACE:#}",
            ""
        )?;
        for state in &future.states {
            let kind = match state.kind {
                StateKind::Returned | StateKind::Panicked => continue,
                StateKind::Unresumed => "not yet polled".to_owned(),
                StateKind::Suspended(_) => {
                    let place = state.place.as_ref().map_or_else(|| "?".to_owned(), short_place);
                    format!("waits at {place}")
                }
            };
            let (size, mark) =
                (ByteSize(state.live_bytes), if state.is_largest { ", the largest" } else { "" });
            writeln!(out, "  {SIZE}{size:>SIZE_COLUMNS$}{SIZE:#}  {NAME}{kind}{NAME:#}{mark}")?;
            for part in &state.members {
                part_line(out, width, part, 4, "")?;
            }
            for hidden in &state.hidden {
                hidden_line(out, width, hidden, 4)?;
            }
        }
        writeln!(out)?;
    }
    Ok(())
}
