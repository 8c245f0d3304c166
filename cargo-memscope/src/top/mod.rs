//! `cargo memscope top`: a live view of a program in the terminal.
//!
//! `feed` and `report` receive the data, `screen` and its parts turn it into rows, and `draw` draws
//! them.

// Bottom first: a module imports only from modules above it.
mod number;
mod report;
mod own_code;
mod table;
mod groups;
mod code;
mod context;
mod stacks;
mod icicle;
mod code_keys;
mod tables;
mod moment;
mod detail;
mod findings;
mod history;
mod memory;
mod theme;
mod view;
mod connection;
mod stream;
mod feed;
mod screen;
mod draw;
mod signals;
mod terminal;
mod watchdog;
mod address;
mod served_programs;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod choice_tests;

use std::{
    path::Path,
    process::ExitCode,
    sync::mpsc::RecvTimeoutError,
    time::{Duration, Instant},
};

use crossterm::event::{self, Event, KeyEventKind};
use memscope_runtime::__terminal::{self, visible, visible_path};

use self::{
    address::Address,
    feed::{ANSWER, Feed, News},
    report::Report,
    screen::Screen,
    signals::Signals,
    terminal::Terminal,
    theme::Theme,
    view::Asked,
};
use crate::{arguments::Top, error::Error};

/// How soon a key, a signal or an answer is noticed.
const TICK: Duration = Duration::from_millis(100);
/// How often the screen is drawn if nothing happens, as it shows the age of the data.
const DRAWN: Duration = Duration::from_secs(1);
/// If a turn of the loop takes longer than this, the process was stopped. Answers on their way are
/// then out of date.
const STOPPED: Duration = Duration::from_secs(2);
/// How long to wait for the first answer before a message says so.
const SILENT: Duration = Duration::from_secs(1);

/// Runs the command: shows a program or a saved report, or lists the programs that serve.
pub(crate) fn run(options: &Top) -> Result<ExitCode, Error> {
    match &options.from {
        Some(from) if !options.list => show(from),
        Some(_) => Err(Error::new("`--list` lists all programs: it takes no address")),
        None => {
            let programs = served_programs::list()?;
            // If only one program serves, it is shown. Without a terminal nothing is opened.
            if let [only] = &*programs
                && !options.list
                && Terminal::is_there()
            {
                return show(Path::new(&only.url));
            }
            served_programs::print(&programs)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn show(from: &Path) -> Result<ExitCode, Error> {
    let address = Address::of(from)?;
    if !Terminal::is_there() {
        let what = match &address {
            Address::File(file) => format!("`cargo memscope report {}`", visible_path(file)),
            Address::Url(url) => format!("`curl {}/report.txt`", visible(url)),
        };
        return Err(Error::new(format!(
            "`top` needs a terminal, and its output is none: {what} prints a report as text"
        )));
    }
    match address {
        Address::File(file) => {
            let report = read(&file)?;
            let name = visible_path(&file).to_string();
            look(Screen::new(name, report, true, Instant::now()), None)
        }
        Address::Url(url) => {
            let feed = Feed::start(&url)?;
            let report = first(&feed, &url)?;
            let name = visible(&url).to_string();
            look(Screen::new(name, report, false, Instant::now()), Some(&feed))
        }
    }
}

fn read(file: &Path) -> Result<Box<Report>, Error> {
    let shown = visible_path(file);
    let bytes = __terminal::read(file, __terminal::MOST_BYTES, Some(b'{'));
    let bytes = bytes.map_err(|why| {
        let is_name = !file.exists() && file.extension().is_none();
        let hint = "; an address is written as http://127.0.0.1:6071";
        Error::new(format!("cannot read {shown}: {why}{}", if is_name { hint } else { "" }))
    })?;
    let text =
        str::from_utf8(&bytes).map_err(|why| Error::new(format!("cannot read {shown}: {why}")))?;
    let report = Report::read(text).map_err(|why| Error::new(format!("{shown}: {why}")))?;
    Ok(Box::new(report))
}

/// Waits for the first snapshot, as without it there is nothing to show.
fn first(feed: &Feed, url: &str) -> Result<Box<Report>, Error> {
    let silent = match feed.news.recv_timeout(SILENT) {
        Err(RecvTimeoutError::Timeout) => {
            anstream::eprintln!("waiting for a snapshot of {}", visible(url));
            // The server may take `ANSWER` to begin, and the snapshot may take a second more.
            feed.news.recv_timeout(ANSWER + SILENT)
        }
        news => news,
    };
    match silent {
        Ok(News::Report(report)) => Ok(report),
        Ok(News::Failed(why)) => Err(Error::new(format!(
            "{why}\n`cargo memscope top --list` lists the programs that serve"
        ))),
        Ok(News::Holders(_)) | Err(_) => Err(Error::new(format!(
            "{} has sent no snapshot for {} s: it is no server of memscope, or it is stuck",
            visible(url),
            (ANSWER + SILENT + SILENT).as_secs()
        ))),
    }
}

/// Shows the screen until a key or a signal ends it.
fn look(mut screen: Screen, feed: Option<&Feed>) -> Result<ExitCode, Error> {
    let signals = Signals::note()?;
    let theme = Theme::of_environment();
    let gone = |why: std::io::Error| Error::new(format!("the terminal cannot be used: {why}"));
    watchdog::start(signals.clone()).map_err(gone)?;
    let mut terminal = Terminal::take().map_err(gone)?;
    let mut drawn: Option<Instant> = None;
    let mut awake = Instant::now();
    loop {
        if awake.elapsed() > STOPPED
            && let Some(feed) = feed
        {
            feed.renew();
        }
        awake = Instant::now();
        if let Some(code) = signals.exit_code() {
            return Ok(ExitCode::from(code));
        }
        let mut is_changed = take_news(&mut screen, feed)?;
        if drawn.is_none_or(|it| it.elapsed() >= DRAWN) || is_changed {
            let now = Instant::now();
            let shown = terminal.draw(|buffer| draw::draw(buffer, &mut screen, theme, now));
            if let Err(why) = shown {
                // If the terminal hangs up, a signal comes as well.
                return signals.exit_code().map(ExitCode::from).ok_or_else(|| gone(why));
            }
            drawn = Some(now);
        }
        is_changed = false;
        // Pasted text is many keys. All of them are handled before the screen is drawn once.
        let mut wait = TICK;
        while event::poll(wait).map_err(gone)? {
            wait = Duration::ZERO;
            is_changed = true;
            let Event::Key(key) = event::read().map_err(gone)? else { continue };
            if key.kind == KeyEventKind::Release {
                continue;
            }
            match screen.press(key) {
                Asked::Quit => return Ok(ExitCode::SUCCESS),
                Asked::Nothing | Asked::Compare | Asked::Forget => {}
                Asked::Pause => pause(&mut screen, feed),
                Asked::Holders => ask_holders(&mut screen, feed)?,
                Asked::Suspend => {
                    drop(terminal);
                    Signals::suspend();
                    terminal = Terminal::take().map_err(gone)?;
                }
            }
        }
        if is_changed {
            drawn = None;
        }
    }
}

/// Takes all news. Returns whether there were any.
fn take_news(screen: &mut Screen, feed: Option<&Feed>) -> Result<bool, Error> {
    let Some(feed) = feed else { return Ok(false) };
    let mut has_come = false;
    loop {
        match feed.news.try_recv() {
            Ok(news) => screen.take(news, Instant::now()),
            Err(_) if feed.has_ended() => {
                return Err(Error::new("the thread that asks the program has ended"));
            }
            Err(_) => return Ok(has_come),
        }
        has_come = true;
    }
}

fn pause(screen: &mut Screen, feed: Option<&Feed>) {
    let Some(feed) = feed else { return };
    let is_paused = !screen.connection.is_paused();
    screen.connection.pause(is_paused);
    feed.pause(is_paused);
}

fn ask_holders(screen: &mut Screen, feed: Option<&Feed>) -> Result<(), Error> {
    if let Some(feed) = feed {
        feed.ask_holders()?;
        screen.note = Some("The process is asked what holds its heap.".to_owned());
    }
    Ok(())
}
