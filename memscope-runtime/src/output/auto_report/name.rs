//! The names of a job's files: `%p`, `%t` and `%n`, and the word that goes before the extension of
//! a name that is taken.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process,
    time::{SystemTime, UNIX_EPOCH},
};

/// From this number on `%t` and `%n` give no new names, because a program may panic all the time.
const MOST_NAMES: u32 = 16;

/// Why a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occasion {
    Exit,
    Periodic,
    Guard,
    Panic,
    /// Memory has come near its limit.
    Pressure,
    #[cfg_attr(not(unix), expect(dead_code, reason = "signals are for Unix"))]
    Signal,
}

impl Occasion {
    const COUNT: usize = 6;

    /// Returns the word in the name that such a report gets when a later one replaces it. Returns
    /// `None` if the report need not be kept.
    pub(super) fn word(self) -> Option<&'static str> {
        match self {
            Self::Exit | Self::Periodic => None,
            Self::Guard => Some("guard"),
            Self::Panic => Some("panic"),
            Self::Pressure => Some("limit"),
            Self::Signal => Some("signal"),
        }
    }
}

/// An absolute path that may contain `%t` and `%n`.
#[derive(Debug)]
pub(super) struct Name {
    pattern: PathBuf,
    number: u32,
    made: [Option<PathBuf>; Occasion::COUNT],
}

impl Name {
    /// Resolves the path in the current directory, and replaces `%p` by the process id.
    pub(super) fn new(path: &Path) -> Self {
        let path = with_values(path, &[(b'p', &process::id().to_string())]);
        // Without a current directory the path stays as it is, and fails when it is written.
        let pattern = std::path::absolute(&path).unwrap_or(path);
        Self { pattern, number: 0, made: [const { None }; Occasion::COUNT] }
    }

    pub(super) fn pattern(&self) -> &Path {
        &self.pattern
    }

    /// Returns the path for a report at this time. If the pattern contains `%t` or `%n`, each
    /// signal, each panic and each report near the limit gets a path of its own, and each other
    /// occasion has one.
    pub(super) fn at(&mut self, occasion: Occasion, now: SystemTime) -> PathBuf {
        let is_one_of_many =
            matches!(occasion, Occasion::Panic | Occasion::Pressure | Occasion::Signal);
        let made = &mut self.made[occasion as usize];
        if let Some(made) = made
            && (!is_one_of_many || self.number >= MOST_NAMES)
        {
            return made.clone();
        }
        self.number += 1;
        let values: [(u8, &str); 2] = [(b't', &stamp(now)), (b'n', &self.number.to_string())];
        made.insert(with_values(&self.pattern, &values)).clone()
    }
}

/// Inserts a word before the extension: `report.json` with `signal` is `report.signal.json`.
pub(super) fn with_word(path: &Path, word: &str) -> PathBuf {
    let mut name = path.file_stem().map(OsString::from).unwrap_or_default();
    name.push(".");
    name.push(word);
    if let Some(ending) = path.extension() {
        name.push(".");
        name.push(ending);
    }
    path.with_file_name(name)
}

/// Replaces each letter after `%` that has a value; other letters stay.
#[cfg(unix)]
fn with_values(path: &Path, values: &[(u8, &str)]) -> PathBuf {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    OsString::from_vec(replaced(path.as_os_str().as_bytes(), values)).into()
}

#[cfg(not(unix))]
fn with_values(path: &Path, values: &[(u8, &str)]) -> PathBuf {
    let text = path.to_str().map(|text| replaced(text.as_bytes(), values));
    text.and_then(|text| String::from_utf8(text).ok()).map_or_else(|| path.to_owned(), Into::into)
}

fn replaced(mut text: &[u8], values: &[(u8, &str)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    while let Some((&first, rest)) = text.split_first() {
        let value = values.iter().find(|(letter, _)| first == b'%' && rest.first() == Some(letter));
        if let Some((_, value)) = value {
            out.extend(value.as_bytes());
            text = &rest[1..];
        } else {
            out.push(first);
            text = rest;
        }
    }
    out
}

/// Formats a time as UTC to the second, in the basic ISO 8601 format: `20261126T053512Z`.
fn stamp(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Years counted from March end with the leap day, and 400 of them have 146,097 days.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = (era * 400 + year + month / 10, (month + 2) % 12 + 1);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn the_time_in_a_name_is_utc() {
        // The expected texts are those of `date -u -d @… +%Y%m%dT%H%M%SZ`.
        for (seconds, expected) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (951_868_800, "20000301T000000Z"),
            (1_709_164_800, "20240229T000000Z"),
            (1_795_671_312, "20261126T053512Z"),
            (4_107_542_400, "21000301T000000Z"),
            (253_402_300_799, "99991231T235959Z"),
        ] {
            assert_eq!(stamp(at(seconds)), expected);
        }
    }

    #[test]
    fn letters_that_mean_nothing_stay_as_they_are() {
        let pid = process::id();
        let mut name = Name::new(Path::new("/a%pb/%%n-%x-%n-%t.json%"));
        let expected = format!("/a{pid}b/%1-%x-1-19700101T000000Z.json%");
        assert_eq!(name.at(Occasion::Exit, at(0)), PathBuf::from(expected));
    }

    #[test]
    fn names_with_a_number_are_new_for_each_signal_and_panic_but_not_without_end() {
        use Occasion::{Exit, Panic, Periodic, Signal};
        let mut name = Name::new(Path::new("/r%n.json"));
        let mut at = |occasion| name.at(occasion, at(0)).to_string_lossy().into_owned();
        assert_eq!(
            [at(Periodic), at(Periodic), at(Signal), at(Signal)],
            ["/r1.json", "/r1.json", "/r2.json", "/r3.json"]
        );
        assert_eq!([at(Periodic), at(Panic), at(Exit)], ["/r1.json", "/r4.json", "/r5.json"]);
        let mut names: Vec<_> =
            (0..1_000).flat_map(|_| [at(Signal), at(Panic), at(Exit)]).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 12, "r6.json to r16.json, and that of the exit: {names:?}");
    }

    #[test]
    fn a_word_stands_before_the_ending() {
        for (path, expected) in [
            ("/a/report.json", "/a/report.2.json"),
            ("/a.b/report", "/a.b/report.2"),
            ("/a/x.y.TXT", "/a/x.y.2.TXT"),
            ("/a/.json", "/a/.json.2"),
        ] {
            assert_eq!(with_word(Path::new(path), "2"), PathBuf::from(expected));
        }
    }
}
