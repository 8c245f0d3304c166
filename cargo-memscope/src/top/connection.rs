//! The state of the connection to the process: live, paused, stalled, lost, or none for a saved
//! report.

use std::time::{Duration, Instant};

use super::number::duration;

/// How old the last answer may be. An answer comes each second.
const FRESH: Duration = Duration::from_secs(3);

/// The state of the connection to the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Saved,
    Live,
    Paused(Duration),
    /// There is a connection, but no answer comes.
    Stalled(Duration),
    /// There is no connection, for this reason.
    Lost(Duration, String),
}

impl Standing {
    /// Whether the screen shows the process as it is now, or as the file has it.
    pub(super) fn is_fresh(&self) -> bool {
        matches!(self, Self::Saved | Self::Live)
    }

    /// Returns a word or two for the state, and its age.
    pub(super) fn words(&self) -> String {
        let old = |age: &Duration| duration(nanos(*age).max(1_000_000_000));
        match self {
            Self::Saved => "saved".to_owned(),
            Self::Live => "live".to_owned(),
            Self::Paused(age) => format!("paused, {} old", old(age)),
            Self::Stalled(age) => format!("stalled, {} old", old(age)),
            Self::Lost(age, _) => format!("no connection, {} old", old(age)),
        }
    }

    /// Returns the reason for the state, if there is one.
    pub(super) fn why(&self) -> Option<String> {
        let since = |age: &Duration| duration(nanos(*age).max(1_000_000_000));
        match self {
            Self::Saved | Self::Live => None,
            Self::Paused(_) => Some("Paused: space goes on.".to_owned()),
            Self::Stalled(age) => {
                Some(format!("The process has not answered for {}: this is that old.", since(age)))
            }
            Self::Lost(_, why) => Some(why.clone()),
        }
    }
}

fn nanos(age: Duration) -> u64 {
    u64::try_from(age.as_nanos()).unwrap_or(u64::MAX)
}

/// What is known of the connection.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    is_saved: bool,
    is_paused: bool,
    last: Instant,
    trouble: Option<String>,
}

impl Connection {
    /// Makes a connection that has just had its first answer, or that of a file.
    pub(super) fn new(is_saved: bool, now: Instant) -> Self {
        Self { is_saved, is_paused: false, last: now, trouble: None }
    }

    pub(super) fn is_saved(&self) -> bool {
        self.is_saved
    }

    pub(super) fn is_paused(&self) -> bool {
        self.is_paused
    }

    pub(super) fn answered(&mut self, now: Instant) {
        self.last = now;
        self.trouble = None;
    }

    pub(super) fn failed(&mut self, why: String) {
        self.trouble = Some(why);
    }

    pub(super) fn pause(&mut self, is_paused: bool) {
        self.is_paused = is_paused;
        self.trouble = None;
    }

    pub(super) fn standing(&self, now: Instant) -> Standing {
        let age = now.saturating_duration_since(self.last);
        match &self.trouble {
            _ if self.is_saved => Standing::Saved,
            _ if self.is_paused => Standing::Paused(age),
            Some(why) => Standing::Lost(age, why.clone()),
            None if age > FRESH => Standing::Stalled(age),
            None => Standing::Live,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_old_is_never_live() {
        let start = Instant::now();
        let later = start + Duration::from_secs(7);
        let mut connection = Connection::new(false, start);
        assert_eq!(connection.standing(start), Standing::Live);
        assert_eq!(connection.standing(later), Standing::Stalled(Duration::from_secs(7)));
        connection.failed("refused".to_owned());
        assert!(!connection.standing(start).is_fresh(), "at once");
        assert_eq!(connection.standing(later).words(), "no connection, 7.0 s old");
        connection.answered(later);
        assert_eq!(connection.standing(later), Standing::Live);
        connection.pause(true);
        assert!(!connection.standing(later).is_fresh());
        let saved = Connection::new(true, start);
        assert_eq!(saved.standing(later), Standing::Saved);
    }
}
