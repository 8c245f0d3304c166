//! Paths of source files, joined from the parts that debug information has of them.

/// Joins folders and the name of a file. A part that is absolute begins the path anew, and an empty
/// one adds nothing.
pub(crate) fn join<'p>(parts: impl IntoIterator<Item = &'p str>) -> String {
    let mut path = String::new();
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        // NOTE: not by the rules of the system that memscope runs on: the file may be of another.
        if part.starts_with('/') {
            path.clear();
        } else if !path.is_empty() && !path.ends_with('/') {
            path.push('/');
        }
        path.push_str(part);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absolute_part_begins_the_path_anew() {
        assert_eq!(join(["/app", "src", "db.rs"]), "/app/src/db.rs");
        assert_eq!(join(["/app/", "", "main.rs"]), "/app/main.rs");
        assert_eq!(join(["/app", "/rustc/library", "vec.rs"]), "/rustc/library/vec.rs");
        assert_eq!(join(["", "src", "lib.rs"]), "src/lib.rs");
    }
}
