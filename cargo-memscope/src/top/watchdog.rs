//! Ends the process where the view cannot: it waits for a terminal that is gone.
//!
//! Reading the keys of a terminal that has hung up never returns, and neither does writing to one
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

/// How often it is looked.
const EVERY: Duration = Duration::from_millis(500);
/// The exit code after a hang-up, as shells give it.
const HUNG_UP: u8 = 128 + 1;

/// Starts to look after the view, as long as the process runs.
///
/// # Errors
///
/// When the system starts no thread.
pub(super) fn start(signals: Signals) -> std::io::Result<JoinHandle<()>> {
    thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
        // The view has ended by itself once it was twice time to.
        let mut is_due = false;
        loop {
            thread::sleep(EVERY);
            let gone = (!Terminal::is_there()).then_some(HUNG_UP);
            let code = signals.exit_code().or(gone);
            if let Some(code) = code.filter(|_| is_due) {
                // On a thread, as a terminal that takes nothing would hold this one up as well.
                drop(thread::Builder::new().spawn(give_back));
                thread::sleep(EVERY);
                process::exit(code.into());
            }
            is_due = code.is_some();
        }
    })
}
