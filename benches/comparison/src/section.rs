//! The part of a file between two marks, which a program writes.

use std::{fs, io, path::Path};

/// Puts text between `<!-- name: begin -->` and `<!-- name: end -->`, and leaves everything else as
/// it is.
///
/// # Errors
///
/// When the file cannot be read or written, or has no such section.
pub fn write(file: &Path, name: &str, text: &str) -> io::Result<()> {
    let old = fs::read_to_string(file)?;
    let new = replaced(&old, name, text)
        .ok_or_else(|| io::Error::other(format!("no section `{name}` in {}", file.display())))?;
    fs::write(file, new)
}

fn replaced(old: &str, name: &str, text: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- {name}: begin -->"), format!("<!-- {name}: end -->"));
    let start = old.find(&begin)? + begin.len();
    let stop = start + old[start..].find(&end)?;
    Some(format!("{}\n{}\n{}", &old[..start], text.trim_end(), &old[stop..]))
}

#[cfg(test)]
mod tests {
    use super::replaced;

    #[test]
    fn only_the_section_changes() {
        let old = "a\n<!-- t: begin -->\nold\n<!-- t: end -->\nb\n";
        let new = "a\n<!-- t: begin -->\nnew\n<!-- t: end -->\nb\n";
        assert_eq!(replaced(old, "t", "new\n").as_deref(), Some(new));
        assert_eq!(replaced(new, "t", "new").as_deref(), Some(new), "again");
    }

    #[test]
    fn a_missing_mark_is_no_section() {
        assert_eq!(replaced("<!-- t: begin -->", "t", ""), None);
        assert_eq!(replaced("<!-- u: begin --><!-- u: end -->", "t", ""), None);
    }
}
