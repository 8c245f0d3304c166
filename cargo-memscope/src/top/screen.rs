//! Everything that is drawn: the data, the choices of the user, and what is made of both.

use std::{collections::HashMap, time::Instant};

use crossterm::event::KeyEvent;
use memscope_runtime::{
    analysis::Severity,
    async_memory::{HeapGraph, Origin},
};

use super::{
    connection::{Connection, Standing},
    context::{Context, Rates, rates_between, rates_kept, severities},
    detail::Detail,
    feed::News,
    findings::{self, Finding},
    groups,
    history::History,
    icicle::Icicle,
    memory::Memory,
    moment::Moment,
    own_code::OwnCode,
    report::Report,
    table::{Sort, Table},
    tables::Tab,
    view::{Asked, Panel, View},
};

/// Everything that is drawn.
#[derive(Debug)]
pub(super) struct Screen {
    /// The source, as the user has named it.
    pub(super) from: String,
    pub(super) report: Box<Report>,
    pub(super) connection: Connection,
    pub(super) view: View,
    pub(super) memory: Memory,
    pub(super) history: History,
    pub(super) findings: Vec<Finding>,
    /// The words for a report without findings.
    pub(super) calm: String,
    /// The rows of the tab, filtered and sorted.
    pub(super) table: Table,
    pub(super) sort: Sort,
    pub(super) widths: Vec<u16>,
    /// The number of rows before the filter.
    pub(super) all_rows: usize,
    /// The number of rows after the filter, without those that stand for groups.
    pub(super) found_rows: usize,
    pub(super) is_bad_filter: bool,
    pub(super) detail: Option<Detail>,
    /// A message that is shown until the next key.
    pub(super) note: Option<String>,
    /// The stacks as a tree, if they are shown as an icicle.
    pub(super) icicle: Option<Icicle>,
    /// The words about the comparison, if rows are compared.
    pub(super) compared: Option<String>,
    moment: Option<Moment>,
    own_code: OwnCode,
    rates: Rates,
    severities: HashMap<String, Severity>,
    graph: Option<Box<HeapGraph>>,
}

impl Screen {
    pub(super) fn new(from: String, report: Box<Report>, is_saved: bool, now: Instant) -> Self {
        let rates = rates_kept(&report);
        let empty = Table::new(&[], Vec::new(), 0, String::new());
        let mut screen = Self {
            from,
            connection: Connection::new(is_saved, now),
            view: View::default(),
            memory: Memory::default(),
            history: History::default(),
            findings: Vec::new(),
            calm: String::new(),
            table: empty,
            sort: Sort { column: 0, is_descending: true },
            widths: Vec::new(),
            all_rows: 0,
            found_rows: 0,
            is_bad_filter: false,
            detail: None,
            note: None,
            icicle: None,
            compared: None,
            moment: None,
            own_code: OwnCode::default(),
            rates,
            severities: HashMap::new(),
            graph: None,
            report,
        };
        screen.look_at_report();
        screen.refresh();
        screen
    }

    /// Takes news of the program.
    pub(super) fn take(&mut self, news: News, now: Instant) {
        match news {
            // This news was on its way when the user paused.
            News::Report(_) | News::Failed(_) if self.connection.is_paused() => {}
            News::Report(report) => {
                self.connection.answered(now);
                self.take_report(report);
            }
            News::Failed(why) => self.connection.failed(why),
            News::Holders(Ok(graph)) => {
                self.note = None;
                self.graph = Some(graph);
                self.refresh();
            }
            News::Holders(Err(why)) => {
                let why = why.trim_end_matches('.');
                self.note = Some(format!("{why}. MEMSCOPE_HOLDERS=on switches it on."));
            }
        }
    }

    fn take_report(&mut self, report: Box<Report>) {
        if self.report.is_of_same_process(&report) {
            let mut rates = rates_kept(&report);
            rates.extend(rates_between(&self.report, &report, &self.rates));
            self.rates = rates;
        } else {
            self.note = Some(restarted(self.report.origin(), report.origin()));
            self.rates = rates_kept(&report);
            self.graph = None;
            self.moment = None;
        }
        self.report = report;
        self.look_at_report();
        self.refresh();
    }

    fn look_at_report(&mut self) {
        let report = &self.report;
        self.own_code = OwnCode::of(report);
        self.memory = Memory::of(report);
        self.history = History::of(&report.snapshot);
        self.severities = severities(&report.leaks);
        self.findings = findings::all(&report.leaks);
        self.calm = findings::none(&report.leaks, report.snapshot.measured().is_yes());
    }

    /// Returns the data that rows are made from.
    fn context(&self) -> Context<'_> {
        Context {
            report: &self.report,
            rates: &self.rates,
            severities: &self.severities,
            graph: self.graph.as_deref().or(self.report.snapshot.heap_graph()),
            own_code: &self.own_code,
            group: self.view.group(),
            code: &self.view.code,
            is_live: !self.connection.is_saved(),
        }
    }

    /// Makes the rows of the tab and the open details anew.
    fn refresh(&mut self) {
        let (context, view, tab) = (self.context(), &self.view, self.view.tab);
        let mut table = tab.table(&context);
        let all_rows = table.rows.len();
        let compared = self.moment.as_ref().map(|moment| {
            moment.compare(tab, &mut table);
            moment.words(tab, &self.report, &table)
        });
        let opened = match &view.panel {
            Some(Panel::Row { row, .. }) => {
                let found = table.rows.iter().find(|it| it.key == row.key);
                let titles: Vec<&str> = table.columns.iter().map(|it| it.title).collect();
                let shown = found.unwrap_or(row).clone();
                let detail = Detail::of(&context, &shown, &titles);
                Some((shown, found.is_none(), detail))
            }
            _ => None,
        };
        let filter = view.filter();
        let is_bad_filter = filter.is_err();
        let filter = filter.ok().flatten();
        let is_icicle = tab == Tab::Functions && view.code.is_icicle;
        let icicle = is_icicle.then(|| Icicle::of(&context, filter.as_ref()));
        if let Some(filter) = &filter {
            table.keep(filter);
        }
        let found_rows = table.rows.len();
        if table.is_grouped {
            groups::group(&mut table);
        }
        let sort = view.now().sort.filter(|it| it.column < table.columns.len());
        let sort = sort.unwrap_or_else(|| table.first_sort());
        table.arrange(sort);
        groups::fold(&mut table, &view.now().folded);
        (self.all_rows, self.found_rows) = (all_rows, found_rows);
        (self.is_bad_filter, self.sort) = (is_bad_filter, sort);
        (self.compared, self.icicle) = (compared, icicle);
        self.detail = opened.map(|(shown, is_gone, detail)| {
            self.view.panel = Some(Panel::Row { row: Box::new(shown), is_gone });
            detail
        });
        self.widths = table.widths();
        self.view.settle(&table);
        self.table = table;
    }

    /// Handles a key. Returns what the caller must do.
    pub(super) fn press(&mut self, key: KeyEvent) -> Asked {
        self.note = None;
        let before = self.view.choice();
        let asked = self.view.press(key, &self.table, self.icicle.as_ref());
        match asked {
            Asked::Compare => self.compare(),
            Asked::Forget if self.moment.take().is_some() => self.refresh(),
            _ => {}
        }
        if asked == Asked::Holders && self.connection.is_saved() {
            return Asked::Nothing;
        }
        // Rows are made only if the choice has changed, as those of a large report take a while.
        if self.view.choice() != before {
            self.refresh();
        }
        asked
    }

    /// Remembers this moment to compare rows with, or forgets it.
    fn compare(&mut self) {
        if self.connection.is_saved() {
            self.note =
                Some("A saved report stays: `cargo memscope diff` compares two.".to_owned());
            return;
        }
        self.moment = match self.moment {
            Some(_) => None,
            None => Some(Moment::of(&self.context())),
        };
        self.refresh();
    }

    /// Returns the numbers of rows of the tabs, if they are known without making the rows.
    pub(super) fn tab_counts(&self) -> [Option<u64>; Tab::ALL.len()] {
        let snapshot = &self.report.snapshot;
        let count = |rows: usize, list: &str| {
            let left_out = self.report.left_out(list);
            Some((rows as u64).saturating_add(left_out))
        };
        Tab::ALL.map(|tab| match tab {
            Tab::Sites => count(snapshot.sites().len(), "sites"),
            Tab::Tasks => count(snapshot.tasks().len(), "tasks"),
            Tab::Variables => count(snapshot.variable_sites().len(), "variable_sites"),
            Tab::Frees => count(snapshot.hand_overs().len(), "hand_overs"),
            _ => None,
        })
    }

    pub(super) fn standing(&self, now: Instant) -> Standing {
        self.connection.standing(now)
    }
}

fn restarted(before: Origin, now: Origin) -> String {
    format!("The process was restarted: pid {} before, {} now.", before.pid, now.pid)
}
