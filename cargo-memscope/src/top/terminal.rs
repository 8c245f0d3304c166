//! Takes the terminal for the view, and restores it however the view ends.

use std::{
    env,
    io::{self, IsTerminal, Write},
    panic,
    sync::{
        Once,
        atomic::{AtomicBool, Ordering},
    },
};

use crossterm::{
    cursor::Show,
    execute,
    terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
};
use ratatui::{backend::CrosstermBackend, buffer::Buffer};

/// Whether the terminal is taken.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// The terminal while the view has it. Dropping this restores the terminal.
#[derive(Debug)]
pub(super) struct Terminal(ratatui::Terminal<CrosstermBackend<io::Stdout>>);

impl Terminal {
    /// Whether there is a terminal that can show a view.
    pub(super) fn is_there() -> bool {
        io::stdout().is_terminal() && env::var_os("TERM").is_none_or(|it| it != "dumb")
    }

    /// Takes the terminal. A panic anywhere restores the terminal before the panic's message is
    /// printed.
    pub(super) fn take() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                give_back();
                before(info);
            }));
        });
        enable_raw_mode()?;
        IS_TAKEN.store(true, Ordering::Relaxed);
        Self::on_other_screen().inspect_err(|_| give_back())
    }

    fn on_other_screen() -> io::Result<Self> {
        execute!(io::stdout(), EnterAlternateScreen)?;
        let mut terminal = ratatui::Terminal::new(CrosstermBackend::new(io::stdout()))?;
        terminal.clear()?;
        Ok(Self(terminal))
    }

    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Buffer)) -> io::Result<()> {
        self.0.draw(|frame| draw(frame.buffer_mut())).map(drop)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        give_back();
    }
}

/// Restores the terminal, if it is taken.
pub(super) fn give_back() {
    if IS_TAKEN.swap(false, Ordering::Relaxed) {
        // Errors mean that the terminal is gone.
        let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
        let _ = io::stdout().flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `ci/top.sh` runs this test in a terminal, and checks the terminal afterwards.
    #[test]
    #[ignore = "ci/top.sh gives it a terminal"]
    fn a_panic_puts_the_terminal_back() {
        let _terminal = Terminal::take().expect("a terminal");
        panic!("told after the terminal was put back");
    }
}
