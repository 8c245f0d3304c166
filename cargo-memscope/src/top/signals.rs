//! Signals that end the view, after the terminal is restored.

use std::sync::{Arc, atomic::AtomicUsize};

use crate::error::Error;

/// The last signal that came.
#[derive(Clone, Debug, Default)]
pub(super) struct Signals {
    last: Arc<AtomicUsize>,
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
        /// Notes these signals from now on.
        pub(in crate::top) fn note() -> Result<Self, Error> {
            let signals = Self::default();
            for signal in [SIGHUP, SIGINT, SIGTERM] {
                let number = usize::try_from(signal).unwrap_or_default();
                flag::register_usize(signal, Arc::clone(&signals.last), number)
                    .map_err(|why| Error::new(format!("cannot listen to signals: {why}")))?;
            }
            Ok(signals)
        }

        /// Returns the exit code of shells after a signal, or `None` if no signal came.
        pub(in crate::top) fn exit_code(&self) -> Option<u8> {
            let signal = Some(self.last.load(Ordering::Relaxed)).filter(|it| *it != 0)?;
            u8::try_from(128 + signal).ok()
        }

        /// Stops this process until the shell continues it.
        pub(in crate::top) fn suspend() {
            // After an error the process goes on at once.
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
