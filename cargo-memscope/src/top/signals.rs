//! Signals that end the view: the terminal is put back first.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize},
};

use crate::error::Error;

/// The signals that came.
#[derive(Clone, Debug, Default)]
pub(super) struct Signals {
    last: Arc<AtomicUsize>,
    came: Arc<AtomicBool>,
}

#[cfg(unix)]
mod unix {
    use std::sync::{Arc, atomic::Ordering};

    use signal_hook::{
        consts::{SIGHUP, SIGINT, SIGTERM, SIGTSTP},
        flag, low_level,
    };

    use super::{Error, Signals};

    impl Signals {
        /// From now on these signals are noted. A second one ends the process at once: what waits
        /// for a terminal that takes nothing sees no note.
        pub(in crate::top) fn note() -> Result<Self, Error> {
            let signals = Self::default();
            let cannot = |why| Error::new(format!("cannot listen to signals: {why}"));
            for signal in [SIGHUP, SIGINT, SIGTERM] {
                let came = || Arc::clone(&signals.came);
                let last = Arc::clone(&signals.last);
                let number = usize::try_from(signal).unwrap_or_default();
                flag::register_conditional_shutdown(signal, 128 + signal, came())
                    .map_err(cannot)?;
                flag::register(signal, came()).map_err(cannot)?;
                flag::register_usize(signal, last, number).map_err(cannot)?;
            }
            Ok(signals)
        }

        /// The exit code after a signal, as shells give it; `None` if none came.
        pub(in crate::top) fn exit_code(&self) -> Option<u8> {
            let signal = Some(self.last.load(Ordering::Relaxed)).filter(|it| *it != 0)?;
            u8::try_from(128 + signal).ok()
        }

        /// Stops this process until the shell lets it go on.
        pub(in crate::top) fn suspend() {
            // An error: it goes on at once.
            let _ = low_level::raise(SIGTSTP);
        }
    }
}

#[cfg(not(unix))]
impl Signals {
    pub(super) fn note() -> Result<Self, Error> {
        Ok(Self::default())
    }

    pub(super) fn exit_code(&self) -> Option<u8> {
        None
    }

    pub(super) fn suspend() {}
}
