//! The sizes of state machines, as text.

use std::fmt;

use super::{
    NONE,
    table::{Column, Table},
};
use crate::{
    alloc::own_work,
    analysis::{AsyncAnalysisReport, FutureStates, future_sizes::human, leaks::at},
    model::human::count,
};

/// How many rows and sentences are printed; `{:#}` prints all.
const MOST_ROWS: usize = 12;

impl fmt::Display for AsyncAnalysisReport {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _work = own_work::work();
        writeln!(
            f,
            "state machines of living tasks: {}, {} together, {} on average, {} the largest",
            count(self.async_allocation_count as u64),
            human(self.future_state_overhead),
            human(self.average_future_size),
            human(self.largest_future_size),
        )?;
        if self.by_site.is_empty() {
            return Ok(());
        }
        let most = if f.alternate() { usize::MAX } else { MOST_ROWS };
        let mut table = Table::new(&[
            Column::Left("SITE"),
            Column::Right("ALIVE"),
            Column::Right("LARGEST"),
            Column::Right("AVERAGE"),
            Column::Right("TOGETHER"),
            Column::Right("ARGUMENTS"),
            Column::Right("BOXED BY TOKIO"),
        ]);
        self.by_site.iter().take(most).for_each(|row| table.push(cells(row)));
        write!(f, "{table}")?;
        if self.by_site.len() > most {
            let left = (self.by_site.len() - most) as u64;
            writeln!(f, "… and {} more sites (all of them with `{{:#}}`)", count(left))?;
        }
        let sentences = self.by_site.iter().flat_map(|row| row.sentences(self.tokio_limit_bytes));
        sentences.take(most).try_for_each(|sentence| writeln!(f, "  {sentence}"))
    }
}

#[inline]
fn cells(of: &FutureStates) -> Vec<String> {
    vec![
        at(&of.place),
        count(of.count as u64),
        human(of.largest),
        human(of.average),
        human(of.total),
        of.argument_bytes.map_or("not measured".to_owned(), human),
        if of.boxed_by_tokio == 0 { NONE.to_owned() } else { count(of.boxed_by_tokio as u64) },
    ]
}
