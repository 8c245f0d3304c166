//! The choices of the user: the tab, the row, the order and the filter. Keys change them.

use std::collections::HashSet;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use regex::{Regex, RegexBuilder};

use super::{
    code::CodeView,
    code_keys,
    icicle::Icicle,
    table::{Row, Sort, Table},
    tables::Tab,
};

/// The most characters of a filter.
const MOST_FILTER: usize = 200;

/// What a key asks of the rest of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Nothing,
    Quit,
    /// Stop the program for the shell, as Ctrl-Z does.
    Suspend,
    Pause,
    Holders,
    /// Remember this moment, or forget it.
    Compare,
    /// Nothing is open to close, so a comparison may end.
    Forget,
}

/// The panel that is open over the table.
#[derive(Clone, Debug)]
pub(super) enum Panel {
    Row {
        row: Box<Row>,
        /// Whether the latest snapshot lacks it.
        is_gone: bool,
    },
    Findings,
    Keys,
}

/// The choices in one tab.
#[derive(Clone, Debug, Default)]
pub(super) struct TabView {
    /// The key of the chosen row, once the user has chosen one. The choice follows the row.
    chosen: Option<String>,
    pub(super) at: usize,
    /// The first row on the screen.
    pub(super) from: usize,
    pub(super) sort: Option<Sort>,
    pub(super) filter: String,
    /// The number of the tab's grouping, from 1 on; 0 for none.
    group: usize,
    /// Keys of groups whose rows are not shown.
    pub(super) folded: HashSet<String>,
}

/// All choices of the user.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub(super) tab: Tab,
    tabs: [TabView; Tab::ALL.len()],
    pub(super) code: CodeView,
    pub(super) panel: Option<Panel>,
    /// The number of the panel's lines above the first shown line.
    pub(super) scrolled: usize,
    /// Whether a filter is being typed.
    pub(super) is_typing: bool,
    /// The number of rows that fitted on the screen when it was last drawn.
    pub(super) page: usize,
    /// The number of the panel's lines that fitted, and of all its lines, when it was last drawn.
    pub(super) panel_page: usize,
    pub(super) lines: usize,
}

impl View {
    pub(super) fn now(&self) -> &TabView {
        &self.tabs[self.tab as usize]
    }

    fn now_mut(&mut self) -> &mut TabView {
        &mut self.tabs[self.tab as usize]
    }

    /// Returns the choices on which the rows depend, and whether a row is open.
    pub(super) fn choice(&self) -> impl PartialEq + use<> {
        let is_open = matches!(self.panel, Some(Panel::Row { .. }));
        let now = self.now();
        let rows = (now.sort, now.filter.clone(), now.group, now.folded.clone());
        (self.tab, rows, is_open, self.code.clone())
    }

    /// Returns the grouping of the tab's rows.
    pub(super) fn group(&self) -> Option<&'static str> {
        self.tab.groups().get(self.now().group.checked_sub(1)?).copied()
    }

    fn group_next(&mut self) {
        let all = self.tab.groups().len() + 1;
        let now = self.now_mut();
        now.group = (now.group + 1) % all;
        now.folded.clear();
    }

    /// Returns the filter as an expression, or `None` if there is no filter. Returns an error if
    /// the filter is not an expression.
    pub(super) fn filter(&self) -> Result<Option<Regex>, regex::Error> {
        let text = &self.now().filter;
        if text.is_empty() {
            return Ok(None);
        }
        RegexBuilder::new(text).case_insensitive(true).build().map(Some)
    }

    /// Finds the chosen row in this table, and scrolls the screen to it.
    pub(super) fn settle(&mut self, table: &Table) {
        let page = self.page.max(1);
        let now = self.now_mut();
        if let Some(key) = &now.chosen
            && let Some(at) = table.rows.iter().position(|it| it.key == *key)
        {
            now.at = at;
        }
        now.at = now.at.min(table.rows.len().saturating_sub(1));
        now.from = now.from.min(now.at).max((now.at + 1).saturating_sub(page));
        // There are no empty lines below the last row.
        now.from = now.from.min(table.rows.len().saturating_sub(page));
    }

    fn choose(&mut self, table: &Table, at: usize) {
        let at = at.min(table.rows.len().saturating_sub(1));
        let now = self.now_mut();
        now.at = at;
        now.chosen = table.rows.get(at).map(|it| it.key.clone());
    }

    /// Handles a key. `table` is the table of the tab, in its order.
    pub(super) fn press(&mut self, key: KeyEvent, table: &Table, icicle: Option<&Icicle>) -> Asked {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c' | 'd') => Asked::Quit,
                KeyCode::Char('z') => Asked::Suspend,
                KeyCode::Char('u') if self.is_typing => {
                    self.now_mut().filter.clear();
                    Asked::Nothing
                }
                _ => Asked::Nothing,
            };
        }
        if self.is_typing {
            self.type_filter(key.code);
            return Asked::Nothing;
        }
        let is_in_code = self.tab == Tab::Functions && self.panel.is_none();
        if is_in_code && code_keys::press(&mut self.code, key.code, icicle) {
            return Asked::Nothing;
        }
        match key.code {
            KeyCode::Char('q') => return Asked::Quit,
            KeyCode::Char(' ') => return Asked::Pause,
            KeyCode::Char('?') => self.turn(Panel::Keys),
            KeyCode::Char('f') => self.turn(Panel::Findings),
            KeyCode::Char(digit @ '1'..='8') => self.open(digit as usize - '1' as usize),
            KeyCode::Tab | KeyCode::Right => self.open((self.tab as usize + 1) % Tab::ALL.len()),
            KeyCode::BackTab | KeyCode::Left => {
                self.open((self.tab as usize + Tab::ALL.len() - 1) % Tab::ALL.len());
            }
            KeyCode::Char('c') => return Asked::Compare,
            KeyCode::Esc if !self.close() => return Asked::Forget,
            KeyCode::Esc => {}
            code if self.panel.is_some() => self.scroll(code),
            code => return self.in_table(code, table),
        }
        Asked::Nothing
    }

    fn in_table(&mut self, code: KeyCode, table: &Table) -> Asked {
        let (at, page) = (self.now().at, self.page.max(1));
        match code {
            KeyCode::Char('j') | KeyCode::Down => self.choose(table, at.saturating_add(1)),
            KeyCode::Char('k') | KeyCode::Up => self.choose(table, at.saturating_sub(1)),
            KeyCode::Char('g') | KeyCode::Home => {
                self.choose(table, 0);
                // The first row is chosen, whichever comes first.
                self.now_mut().chosen = None;
            }
            KeyCode::Char('G') | KeyCode::End => self.choose(table, usize::MAX),
            KeyCode::PageDown => self.choose(table, at.saturating_add(page)),
            KeyCode::PageUp => self.choose(table, at.saturating_sub(page)),
            KeyCode::Char('/') => self.is_typing = true,
            KeyCode::Char('s') => self.sort_next(table),
            KeyCode::Char('i') => {
                let sort = self.now().sort.unwrap_or_else(|| table.first_sort());
                let sort = Sort { is_descending: !sort.is_descending, ..sort };
                self.now_mut().sort = Some(sort);
            }
            KeyCode::Char('b') => self.group_next(),
            KeyCode::Char('r') if self.tab == Tab::Holders => return Asked::Holders,
            KeyCode::Enter => match table.rows.get(at) {
                Some(row) if row.is_group() => {
                    self.choose(table, at);
                    let now = self.now_mut();
                    if !now.folded.remove(&row.key) {
                        now.folded.insert(row.key.clone());
                    }
                }
                Some(row) => {
                    self.choose(table, at);
                    self.turn(Panel::Row { row: Box::new(row.clone()), is_gone: false });
                }
                None if self.tab == Tab::Holders => return Asked::Holders,
                None => {}
            },
            _ => {}
        }
        Asked::Nothing
    }

    /// Opens a panel, or closes it if it is open.
    fn turn(&mut self, panel: Panel) {
        let is_open = self.panel.as_ref().map(std::mem::discriminant);
        let is_same = is_open == Some(std::mem::discriminant(&panel));
        self.panel = (!is_same).then_some(panel);
        self.scrolled = 0;
    }

    fn open(&mut self, tab: usize) {
        if let Some(tab) = Tab::ALL.get(tab) {
            self.tab = *tab;
            self.panel = None;
            self.scrolled = 0;
        }
    }

    /// Closes the panel, or else removes the filter, or else undoes a hiding or a zoom. Returns
    /// false if there is none of these.
    fn close(&mut self) -> bool {
        self.scrolled = 0;
        if self.panel.take().is_some() {
            return true;
        }
        let is_filtered = !std::mem::take(&mut self.now_mut().filter).is_empty();
        is_filtered || self.tab == Tab::Functions && self.code.back()
    }

    fn scroll(&mut self, code: KeyCode) {
        let page = self.panel_page.max(1);
        self.scrolled = match code {
            KeyCode::Char('j') | KeyCode::Down => self.scrolled.saturating_add(1),
            KeyCode::Char('k') | KeyCode::Up => self.scrolled.saturating_sub(1),
            KeyCode::PageDown => self.scrolled.saturating_add(page),
            KeyCode::PageUp => self.scrolled.saturating_sub(page),
            KeyCode::Char('g') | KeyCode::Home => 0,
            KeyCode::Char('G') | KeyCode::End => usize::MAX,
            KeyCode::Enter => {
                self.panel = None;
                0
            }
            _ => self.scrolled,
        };
        self.scrolled = self.scrolled.min(self.lines.saturating_sub(page));
    }

    fn sort_next(&mut self, table: &Table) {
        let sort = self.now().sort.unwrap_or_else(|| table.first_sort());
        let next = (sort.column + 1) % table.columns.len().max(1);
        self.now_mut().sort = Some(table.sort_by(next));
    }

    fn type_filter(&mut self, code: KeyCode) {
        let now = self.now_mut();
        match code {
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => {
                now.filter.clear();
                self.is_typing = false;
            }
            KeyCode::Backspace => drop(now.filter.pop()),
            KeyCode::Char(it) if !it.is_control() && now.filter.chars().count() < MOST_FILTER => {
                now.filter.push(it);
            }
            _ => {}
        }
    }
}
