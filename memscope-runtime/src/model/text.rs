//! Text from outside: names, paths and messages of files, programs and the environment.
//!
//! A name is *bounded* where it is made, so that no row carries more than [`MOST_NAME`] characters.
//! It is *escaped* where it is shown, so that no text moves the cursor, hides, or reorders what
//! stands beside it. Data (serde, public fields) carries the text as it is.

use std::{
    borrow::Cow,
    fmt::{self, Write},
    path::Path,
    str::Chars,
};

/// The most characters of a name. A longer one is cut, and its last character becomes `…`.
pub(crate) const MOST_NAME: usize = 256;
/// The most combining marks after one character: Vietnamese needs two, pointed Hebrew three. More
/// of them climb into other lines.
const MOST_MARKS: u8 = 3;

/// A text on one line of a terminal, with escapes for characters that are invisible or move others.
///
/// These characters are escaped: control characters (C0, DEL, C1), and all format characters
/// (bidirectional controls, zero-width ones, tags, the byte order mark). So are the separators of
/// lines and paragraphs, spaces other than the plain one, and fillers that print nothing. So are
/// private and unassigned characters, and combining marks without a base or in large numbers.
#[derive(Clone, Copy, Debug)]
pub struct Visible<'t> {
    text: &'t str,
    keeps_lines: bool,
}

/// Shows a text of any origin on one line: see [`Visible`].
pub fn visible(text: &str) -> Visible<'_> {
    Visible { text, keeps_lines: false }
}

/// Shows a message of several lines: like [`visible`], but keeps its line feeds.
pub fn visible_lines(text: &str) -> Visible<'_> {
    Visible { text, keeps_lines: true }
}

impl fmt::Display for Visible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in Pieces::of(self.text) {
            match piece {
                Piece::Short('n') if self.keeps_lines => f.write_char('\n')?,
                piece => piece.write(f)?,
            }
        }
        Ok(())
    }
}

/// A path on one line of a terminal. Bytes that are not UTF-8 are written as `\xff`.
#[derive(Clone, Copy, Debug)]
pub struct VisiblePath<'p>(&'p Path);

/// Shows a path of any origin on one line.
pub fn visible_path(path: &Path) -> VisiblePath<'_> {
    VisiblePath(path)
}

impl fmt::Display for VisiblePath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.as_os_str().as_encoded_bytes().utf8_chunks() {
            write!(f, "{}", visible(chunk.valid()))?;
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// One character in the form in which it is shown.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Itself(char),
    /// A mark on the character before it.
    Mark(char),
    /// A backslash and this letter.
    Short(char),
    Escaped(char),
}

impl Piece {
    /// The columns that it takes on a terminal.
    pub(crate) fn columns(&self) -> usize {
        match self {
            Self::Itself(character) => columns(*character),
            Self::Mark(_) => 0,
            Self::Short(_) => 2,
            Self::Escaped(character) => character.escape_unicode().len(),
        }
    }

    pub(crate) fn write(&self, out: &mut impl Write) -> fmt::Result {
        match self {
            Self::Itself(character) | Self::Mark(character) => out.write_char(*character),
            Self::Short(letter) => {
                out.write_char('\\')?;
                out.write_char(*letter)
            }
            Self::Escaped(character) => write!(out, "{}", character.escape_unicode()),
        }
    }
}

/// An iterator over the pieces of a text.
#[derive(Clone, Debug)]
pub(crate) struct Pieces<'t> {
    characters: Chars<'t>,
    /// Marks that the last character may still get.
    marks: u8,
}

impl<'t> Pieces<'t> {
    pub(crate) fn of(text: &'t str) -> Self {
        Self { characters: text.chars(), marks: 0 }
    }
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let character = self.characters.next()?;
        let piece = match character {
            ' '..='~' => Piece::Itself(character),
            '\n' => Piece::Short('n'),
            '\r' => Piece::Short('r'),
            '\t' => Piece::Short('t'),
            '\0'..='\x7f' => Piece::Escaped(character),
            _ if !is_printed(character) => Piece::Escaped(character),
            _ if !is_mark(character) => Piece::Itself(character),
            _ if self.marks != 0 => Piece::Mark(character),
            _ => Piece::Escaped(character),
        };
        self.marks = match piece {
            Piece::Itself(' ') | Piece::Short(_) | Piece::Escaped(_) => 0,
            Piece::Itself(_) => MOST_MARKS,
            Piece::Mark(_) => self.marks - 1,
        };
        Some(piece)
    }
}

/// Whether a character beyond ASCII is seen on a terminal and moves nothing else.
fn is_printed(character: char) -> bool {
    // Letters and symbols are known by their category, blanks by their looks: fillers of Hangul,
    // and Braille without a dot.
    const BLANK: [char; 5] = ['\u{115f}', '\u{1160}', '\u{2800}', '\u{3164}', '\u{ffa0}'];
    // NOTE: the standard library has the tables. Its `escape_debug` escapes what is not printed,
    // and a mark only at the start of a text.
    let mut buffer = [b' '; 5];
    character.encode_utf8(&mut buffer[1..]);
    let text = std::str::from_utf8(&buffer[..=character.len_utf8()]).unwrap_or_default();
    text.escape_debug().nth(1) == Some(character) && !BLANK.contains(&character)
}

/// Whether a printed character combines with the one before it.
fn is_mark(character: char) -> bool {
    character.escape_debug().next() != Some(character)
}

/// The columns of one character that is no mark: two for emoji and for the wide blocks of Unicode's
/// East Asian Width (UAX #11).
fn columns(character: char) -> usize {
    match u32::from(character) {
        0x1100..=0x115f
        | 0x2e80..=0x303e
        | 0x3041..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1f64f
        | 0x1f680..=0x1f6ff
        | 0x1f900..=0x1f9ff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

/// The columns of a text that has been escaped.
pub fn width(text: &str) -> usize {
    text.chars().map(|it| if it.is_ascii() || !is_mark(it) { columns(it) } else { 0 }).sum()
}

/// A text from outside on one line of at most `most` columns: escaped, and cut with `…` if it is
/// too long. No escape is cut in two.
pub fn cell(text: &str, most: usize) -> String {
    let mut out = String::new();
    let mut used = 0;
    // The length at which the text must end so that `…` fits.
    let mut cut = 0;
    // Only marks take no column, and few of them follow one character. So this ends soon, however
    // long the text is.
    for piece in Pieces::of(text) {
        let columns = piece.columns();
        if used + columns > most {
            out.truncate(cut);
            out.push('…');
            break;
        }
        used += columns;
        // Writing to a `String` cannot fail.
        let _ = piece.write(&mut out);
        if used < most {
            cut = out.len();
        }
    }
    out
}

/// A path on one line of at most `most` columns: `…` and its end if it is too long.
pub(crate) fn path_end(path: &str, most: usize) -> String {
    // Every piece but a mark takes a column.
    let room = most.saturating_mul(usize::from(MOST_MARKS) + 1);
    let from = path.char_indices().nth_back(room).map_or(0, |(at, _)| at);
    let pieces: Vec<Piece> = Pieces::of(&path[from..]).collect();
    if from == 0 && pieces.iter().map(Piece::columns).sum::<usize>() <= most {
        return cell(path, most);
    }
    let mut used = 1;
    let is_shown = |piece: &&Piece| {
        used += piece.columns();
        used <= most
    };
    let shown = pieces.iter().rev().take_while(is_shown).count();
    pieces.iter().skip(pieces.len() - shown).fold("…".to_owned(), |mut end, piece| {
        // Writing to a `String` cannot fail.
        let _ = piece.write(&mut end);
        end
    })
}

/// Calls `call` with a name of at most [`MOST_NAME`] characters: a longer one is cut and ends in
/// `…`.
///
/// PERF: on the stack. It is called while a task is charged, and must not change that task's bytes.
pub(crate) fn with_name<T>(text: &str, call: impl FnOnce(&str) -> T) -> T {
    let Some(cut) = cut_of(text, MOST_NAME) else { return call(text) };
    let mut buffer = [0; 4 * MOST_NAME];
    let end = cut + '…'.len_utf8();
    buffer[..cut].copy_from_slice(&text.as_bytes()[..cut]);
    '…'.encode_utf8(&mut buffer[cut..end]);
    call(std::str::from_utf8(&buffer[..end]).unwrap_or("…"))
}

/// A text of at most `most` characters: a longer one is cut and ends in `…`.
pub(crate) fn start(text: &str, most: usize) -> Cow<'_, str> {
    match cut_of(text, most) {
        None => text.into(),
        Some(cut) => [&text[..cut], "…"].concat().into(),
    }
}

/// What a value displays, cut after `most` bytes while it is written: a parser's error repeats what
/// it has read.
pub fn said(value: &impl fmt::Display, most: usize) -> String {
    struct Bounded(String, usize);
    impl Write for Bounded {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let end = text.floor_char_boundary(self.1.min(text.len()));
            self.0.push_str(&text[..end]);
            self.1 -= end;
            if end == text.len() { Ok(()) } else { Err(fmt::Error) }
        }
    }
    let mut bounded = Bounded(String::new(), most);
    // An error means that the buffer is full.
    if write!(bounded, "{value}").is_err() {
        bounded.0.push('…');
    }
    bounded.0
}

/// A type's name of at most [`MOST_NAME`] characters. A longer one keeps its start, and its end,
/// which says what kind of type it is.
pub(crate) fn type_name(text: &str) -> Cow<'_, str> {
    let Some(cut) = cut_of(text, MOST_NAME / 2 + 1) else { return text.into() };
    match text.char_indices().nth_back(MOST_NAME / 2 - 2) {
        Some((from, _)) if cut_of(text, MOST_NAME).is_some() => {
            [&text[..cut], "…", &text[from..]].concat().into()
        }
        _ => text.into(),
    }
}

/// A path of at most [`MOST_NAME`] characters: a longer one keeps its end, after `…`.
pub(crate) fn file(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth_back(MOST_NAME - 2) {
        Some((from, _)) if cut_of(text, MOST_NAME).is_some() => {
            ["…", &text[from..]].concat().into()
        }
        _ => text.into(),
    }
}

/// The byte at which a text of more than `most` characters is cut, so that one more fits; `None` if
/// it need not be cut.
fn cut_of(text: &str, most: usize) -> Option<usize> {
    if text.len() <= most {
        return None;
    }
    let mut characters = text.char_indices().skip(most - 1);
    let (cut, _) = characters.next()?;
    characters.next().map(|_| cut)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::*;

    /// Characters that a terminal does not show, or that change what it shows beside them.
    const HIDDEN: [(u32, u32); 12] = [
        (0x00, 0x1f),
        (0x7f, 0x9f),
        (0xad, 0xad),
        (0x61c, 0x61c),
        (0x180e, 0x180e),
        (0x200b, 0x200f),
        (0x2028, 0x202e),
        (0x2060, 0x206f),
        (0x3164, 0x3164),
        (0xfeff, 0xfeff),
        (0xfff9, 0xfffb),
        (0xe0000, 0xe007f),
    ];

    #[test]
    fn what_is_not_seen_or_moves_what_is_seen_is_escaped() {
        for (first, last) in HIDDEN {
            for character in (first..=last).filter_map(char::from_u32) {
                let shown = visible(&format!("a{character}b")).to_string();
                assert!(shown.is_ascii() && shown.starts_with("a\\"), "{shown:?}");
                assert_eq!(width(&shown), shown.len());
            }
        }
        assert_eq!(visible("a\u{1b}[2J\n\tb").to_string(), "a\\u{1b}[2J\\n\\tb");
        assert_eq!(visible_lines("a\u{202e}\nb\r").to_string(), "a\\u{202e}\nb\\r");
    }

    #[test]
    fn what_people_write_stays_as_it_is() {
        for text in [
            "app::serve<'_, \"a\\b\">",
            "日本語の名前",
            "🦀 crab",
            "❤\u{fe0f}",
            "Việt ngữ, e\u{302}\u{301}",
            "हिन्दी",
            "עברית",
        ] {
            assert_eq!(visible(text).to_string(), text);
        }
    }

    #[test]
    fn marks_stand_on_something_and_are_few() {
        let shown = visible("\u{301}e\u{301}\u{301}\u{301}\u{301} \u{301}").to_string();
        assert_eq!(shown, "\\u{301}e\u{301}\u{301}\u{301}\\u{301} \\u{301}");
        assert_eq!(width("e\u{301}\u{301}"), 1);
    }

    #[test]
    fn a_path_is_shown_whatever_its_bytes_are() {
        let shown = |path: PathBuf| visible_path(&path).to_string();
        assert_eq!(shown("a\u{1b}[2Jb/x\n.json".into()), "a\\u{1b}[2Jb/x\\n.json");
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStringExt;
            let bytes = std::ffi::OsString::from_vec(b"a\xff\x1b/b".to_vec());
            assert_eq!(shown(bytes.into()), "a\\xff\\u{1b}/b");
        }
    }

    #[test]
    fn what_a_value_says_is_cut_between_characters() {
        assert_eq!(said(&"é".repeat(10), 5), "éé…");
        assert_eq!(said(&format_args!("{}{}", "abc", "def"), 4), "abcd…");
        assert_eq!(said(&"abc", 3), "abc");
    }

    #[test]
    fn a_cell_cuts_no_escape_in_two() {
        assert_eq!(cell("abc\u{1b}defg", 10), "abc\\u{1b}…");
        assert_eq!(cell("abc\u{1b}defg", 9), "abc…");
        assert_eq!(cell("abc\u{1b}", 9), "abc\\u{1b}");
        assert_eq!(cell("🦀🦀🦀", 5), "🦀🦀…");
        assert_eq!(cell("🦀🦀🦀", 4), "🦀…");
    }

    #[test]
    fn a_long_name_is_cut_and_a_name_of_just_the_length_is_not() {
        for letter in ["x", "é", "🦀"] {
            let just = letter.repeat(MOST_NAME);
            assert_eq!(with_name(&just, str::to_owned), just);
            assert_eq!((&*type_name(&just), &*file(&just)), (&*just, &*just));
            let long = format!("<{}>", letter.repeat(100_000));
            let body = |count: usize| letter.repeat(count);
            assert_eq!(with_name(&long, str::to_owned), format!("<{}…", body(MOST_NAME - 2)));
            assert_eq!(start(&long, 10), format!("<{}…", body(8)));
            assert_eq!(file(&long), format!("…{}>", body(MOST_NAME - 2)));
            assert_eq!(
                type_name(&long),
                format!("<{}…{}>", body(MOST_NAME / 2 - 1), body(MOST_NAME / 2 - 2))
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_fits_its_columns_and_moves_nothing(text in any::<String>(), most in 1..50_usize) {
            let (shown, cut) = (visible(&text).to_string(), cell(&text, most));
            let end = path_end(&text, most);
            prop_assert!(width(&cut) <= most && width(&end) <= most, "{:?} {:?}", cut, end);
            for character in shown.chars().chain(cut.chars()).chain(end.chars()) {
                let code = u32::from(character);
                prop_assert!(!HIDDEN.iter().any(|(first, last)| (*first..=*last).contains(&code)));
            }
            let pieces: usize = Pieces::of(&text).map(|piece| piece.columns()).sum();
            prop_assert_eq!(pieces, width(&shown));
            prop_assert_eq!(&visible(&shown).to_string(), &shown, "shown once more it is the same");
        }

        #[test]
        fn any_name_is_bounded_and_keeps_its_start(text in "\\PC{0,600}") {
            let kept = with_name(&text, str::to_owned);
            let length = text.chars().count();
            prop_assert_eq!(kept.chars().count(), length.min(MOST_NAME));
            prop_assert_eq!(&*start(&text, MOST_NAME), &*kept);
            prop_assert_eq!(kept == text, length <= MOST_NAME);
            prop_assert_eq!(type_name(&text).chars().count(), length.min(MOST_NAME));
            prop_assert_eq!(file(&text).chars().count(), length.min(MOST_NAME));
        }
    }
}
