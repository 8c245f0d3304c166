//! Readable names of symbols.

use std::fmt::{self, Write};

/// The most bytes of a name.
const MOST_BYTES: usize = 1_024;

/// The name that a symbol stands for; `None` if the symbol is not UTF-8 or has no name.
pub(crate) fn readable(symbol: &[u8]) -> Option<String> {
    let symbol = without_suffix(str::from_utf8(symbol).ok().filter(|it| !it.is_empty())?);
    let mut name = Name(String::new());
    // An error says that the name is full.
    let is_whole = write!(name, "{:#}", rustc_demangle::demangle(symbol)).is_ok();
    let Name(mut name) = name;
    if !is_whole {
        name.push('…');
    }
    Some(name)
}

/// Leaves out what compilers add to the symbol of a part of a function, or of a copy of it:
/// `work.cold`, `work.part.0`, `work.llvm.123`.
fn without_suffix(symbol: &str) -> &str {
    const ADDED: [&str; 6] = ["cold", "constprop", "isra", "llvm", "lto_priv", "part"];
    let mut name = symbol;
    let mut rest = symbol;
    while let Some((before, last)) = rest.rsplit_once('.').filter(|it| !it.0.is_empty()) {
        if ADDED.contains(&last) {
            name = before;
        } else if last.is_empty() || !last.bytes().all(|it| it.is_ascii_digit()) {
            break;
        }
        rest = before;
    }
    name
}

/// A text that does not grow beyond `MOST_BYTES`.
struct Name(String);

impl Write for Name {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let room = MOST_BYTES - self.0.len();
        let fits = part.floor_char_boundary(room);
        self.0.push_str(&part[..fits]);
        if fits == part.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_without_its_hash_and_keeps_its_type_parameters() {
        let of = |symbol: &str| readable(symbol.as_bytes()).unwrap();
        assert_eq!(of("_ZN3app4work17h0123456789abcdefE"), "app::work");
        assert_eq!(of("_ZN3app4work17h0123456789abcdefE.llvm.123"), "app::work");
        assert_eq!(of("_RINvCs1234_3app4workmE"), "app::work::<u32>");
        assert_eq!(of("_ZN3app4work17h0123456789abcdefE.llvm.123.cold.1"), "app::work");
        assert_eq!(of("_RINvCs1234_3app4workmE.cold"), "app::work::<u32>");
        assert_eq!(of("malloc"), "malloc");
        // Other languages.
        for name in
            ["_ZN3foo3barEv", "work@@V_2.5", "a.b", "v.1", ".cold", "work.", "\u{202e}\u{1b}[2J"]
        {
            assert_eq!(of(name), name);
        }
        assert_eq!(of("work.constprop.0.isra.1.part.2.cold"), "work");
        // Neither of the schemes, though they begin like that.
        for broken in ["_ZN99999999999999999999app", "_RNv", "_RINvB_B_B_", "_ZN3app4work17hE.."] {
            assert_eq!(of(broken), broken);
        }
        assert_eq!(readable(b"\xff"), None);
        assert_eq!(readable(b""), None);
    }

    #[test]
    fn a_long_name_is_cut_off() {
        let name = readable("ä".repeat(MOST_BYTES).as_bytes()).unwrap();
        assert_eq!(name.len(), MOST_BYTES + '…'.len_utf8());
        assert!(name.ends_with("ä…"));
        assert_eq!(readable("a".repeat(MOST_BYTES).as_bytes()).unwrap(), "a".repeat(MOST_BYTES));
    }
}
