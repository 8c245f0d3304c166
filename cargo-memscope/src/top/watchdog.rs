//! Ends the process if the view cannot end because it waits for a terminal that is gone.
//!
//! Reading keys from a terminal that has hung up never returns. Neither does writing to a terminal
//! that takes nothing.

use std::{
    process,
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{
    signals::Signals,
    terminal::{Terminal, give_back},
};

/// How often the watchdog looks for a signal.
const EVERY: Duration = Duration::from_millis(500);
/// The exit code after a hang-up, as shells give it.
const HUNG_UP: u8 = 128 + 1;

/// Starts the watchdog, which runs as long as the process.
///
/// # Errors
///
/// Returns an error if the system cannot start a thread.
pub(super) fn start(signals: Signals) -> std::io::Result<JoinHandle<()>> {
    thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
        // The view gets one more period to end by itself.
        let mut is_due = false;
        loop {
            thread::sleep(EVERY);
            let gone = (!Terminal::is_there()).then_some(HUNG_UP);
            let code = signals.exit_code().or(gone);
            if let Some(code) = code.filter(|_| is_due) {
                // The terminal is restored on another thread, as a terminal that takes nothing
                // would block this one.
                drop(thread::Builder::new().spawn(give_back));
                thread::sleep(EVERY);
                process::exit(code.into());
            }
            is_due = code.is_some();
        }
    })
}
