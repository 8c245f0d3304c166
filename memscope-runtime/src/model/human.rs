//! Numbers in the form in which people read them.

use std::fmt;

pub(crate) use super::text::{cell, path_end};

/// Folders that hold the sources of libraries, not of the program.
const LIBRARIES: [&str; 4] = ["/registry/src/", "/git/checkouts/", "/rustc/", "/rustlib/src/"];

/// The path of a source file on one line of at most `most` columns: `…` and its last folders if it
/// is too long.
pub(crate) fn file_end(path: &str, most: usize) -> String {
    let end = path_end(path, most);
    let cut = end.strip_prefix('…').filter(|_| !path.starts_with('…'));
    match cut.and_then(|cut| cut.find('/').map(|at| &cut[at..])) {
        Some(folders) => format!("…{folders}"),
        None => end,
    }
}

/// Returns the path of a library's file from the folder of its crate on. The crate may be in
/// Cargo's registry (`registry/src/INDEX/NAME-1.2.3/…`), in a git repository, or in the standard
/// library.
pub(crate) fn of_crate(file: &str) -> &str {
    let inside = LIBRARIES.iter().find_map(|folder| {
        let (_, inside) = file.split_once(folder)?;
        let (first, rest) = inside.split_once('/')?;
        // A repository's folder has its name, and the others have that of an index or a version.
        let has_name = folder.contains("checkouts") && !first.is_empty();
        Some(if has_name { inside } else { rest })
    });
    inside.map_or(file, |file| file.strip_prefix("library/").unwrap_or(file))
}

/// Whether a source file is that of a library, as far as its path tells: of a crate that is not in
/// the program's workspace.
pub(crate) fn is_of_library(file: &str) -> bool {
    let file = file.replace('\\', "/");
    LIBRARIES.iter().any(|folder| file.contains(*folder))
}

/// Bytes that print in binary units: `512 B`, `1.5 KiB`, `3.0 MiB`.
///
/// ```
/// use memscope_runtime::async_memory::HumanBytes;
///
/// assert_eq!(HumanBytes(1_536).to_string(), "1.5 KiB");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HumanBytes(pub u64);

impl fmt::Display for HumanBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        let bytes = u128::from(self.0);
        if bytes < 1024 {
            return f.pad(&format!("{bytes} B"));
        }
        // Tenths, rounded, in whole numbers: exact for every value.
        let tenths_of = |power: u32| (bytes * 10 + (1 << (10 * power)) / 2) >> (10 * power);
        let power = (1..6).find(|&power| tenths_of(power) < 10_240).unwrap_or(6);
        let tenths = tenths_of(power);
        f.pad(&format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[power as usize - 1]))
    }
}

/// A whole number with commas between its thousands: `1,048,576`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place != 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{super::text::width, *};

    #[test]
    fn the_file_of_a_library_begins_with_its_crate() {
        for (file, shown) in [
            (
                "/home/me/.cargo/registry/src/index.crates.io-1949cf8c/flume-0.12.0/src/lib.rs",
                "flume-0.12.0/src/lib.rs",
            ),
            ("/home/me/.cargo/git/checkouts/tokio-1a2b/9f8e/src/a.rs", "tokio-1a2b/9f8e/src/a.rs"),
            ("/rustc/59807616/library/core/src/a.rs", "core/src/a.rs"),
            ("/root/toolchain/lib/rustlib/src/rust/library/std/src/a.rs", "std/src/a.rs"),
        ] {
            assert_eq!(of_crate(file), shown);
        }
        for own in ["/app/src/registry/src.rs", "src/main.rs", "/registry/src/a", ""] {
            assert_eq!(of_crate(own), own);
        }
    }

    #[test]
    fn bytes_round_to_the_nearest_tenth_of_their_unit() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1_048_575, "1.0 MiB"),
            (1_048_576, "1.0 MiB"),
            (3 << 30, "3.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ];
        for (value, shown) in cases {
            assert_eq!(HumanBytes(value).to_string(), shown, "{value}");
        }
    }

    #[test]
    fn thousands_stand_apart() {
        for (number, shown) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")]
        {
            assert_eq!(count(number), shown);
        }
    }

    #[test]
    fn any_name_fits_one_line_of_its_columns() {
        for name in [
            "plain",
            "new\nline",
            "\u{1b}[31mred",
            "\"quoted\"",
            "🦀🦀🦀🦀🦀🦀",
            &"x".repeat(10_000),
        ] {
            let shown = cell(name, 10);
            assert!(width(&shown) <= 10, "{shown:?}");
            assert!(!shown.chars().any(char::is_control), "{shown:?}");
        }
        assert_eq!(cell("exactly 10", 10), "exactly 10");
        assert_eq!(cell("exactly 11!", 10), "exactly 1…");
        assert_eq!(path_end("src/main.rs", 20), "src/main.rs");
        assert_eq!(path_end("/home/me/src/main.rs", 12), "…src/main.rs");
    }

    #[test]
    fn a_path_that_is_cut_begins_with_a_folder() {
        assert_eq!(file_end("src/main.rs", 11), "src/main.rs");
        assert_eq!(file_end("/home/me/src/main.rs", 14), "…/src/main.rs");
        assert_eq!(file_end("/home/me/src/main.rs", 12), "…/main.rs");
        assert_eq!(file_end("/home/a_very_long_name.rs", 12), "…ong_name.rs");
        assert_eq!(file_end("…folder/main.rs", 20), "…folder/main.rs");
    }
}
