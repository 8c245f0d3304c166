//! The documents name files that exist, and functions that stand in the files beside them.

use std::{fs, path::Path};

/// The pages in which "`file.rs` `function`" is a pair.
const WITH_FUNCTIONS: [&str; 2] = ["docs/ALLOCATOR.md", "docs/ARCHITECTURE.md"];
/// Files of the reader's own program.
const OF_READERS: [&str; 4] = ["after.rs", "before.rs", "examples/why.rs", "main.rs"];
/// Where a path may begin, beside the folder of the file that the paragraph names before it.
const FOLDERS: [&str; 3] = ["memscope-runtime/src/", "memscope-runtime/", ""];
const ENDINGS: [&str; 4] = [".md", ".rs", ".sh", ".toml"];
const ITEMS: [&str; 8] = ["fn", "struct", "enum", "trait", "type", "static", "const", "mod"];

fn read(path: &str) -> String {
    fs::read_to_string(Path::new("..").join(path)).unwrap()
}

/// All files below a folder, as paths from the repository's root.
fn files(folder: &Path) -> Vec<String> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let kept = paths.filter(|path| !path.ends_with("target") && !path.ends_with(".git"));
    let name = |path: &Path| path.strip_prefix("..").unwrap().to_str().unwrap().to_owned();
    kept.flat_map(|path| if path.is_dir() { files(&path) } else { vec![name(&path)] }).collect()
}

/// The paragraphs, list items and table rows of a page, without its blocks of code.
fn paragraphs(text: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    for line in text.split("```").step_by(2).flat_map(str::lines).map(str::trim) {
        if line.is_empty() || line.starts_with(['|', '-']) || line.starts_with(char::is_numeric) {
            found.push(String::new());
        }
        if let Some(paragraph) = found.last_mut() {
            paragraph.extend([line, " "]);
        }
    }
    found
}

/// The file that a page means. A path that begins nowhere is the end of one file's path only.
fn file<'a>(files: &'a [String], path: &str, last: &str) -> Result<&'a str, String> {
    let last = last.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut begun = vec![format!("{last}/{path}")];
    begun.extend(FOLDERS.map(|folder| format!("{folder}{path}")));
    if let Some(found) = begun.iter().find_map(|path| files.iter().find(|file| *file == path)) {
        return Ok(found);
    }
    let in_source = files.iter().filter(|file| file.starts_with(FOLDERS[0]));
    let ends: Vec<_> = in_source.filter(|file| file.ends_with(&format!("/{path}"))).collect();
    if let [one] = *ends { Ok(one) } else { Err(format!("`{path}` is {} files", ends.len())) }
}

/// Whether a file has the item that `Type::function` ends with, and the names before.
fn defines(text: &str, path: &str) -> bool {
    let (before, name) = path.rsplit_once("::").unwrap_or(("", path));
    let goes_on = |rest: &str| rest.starts_with(|it: char| it.is_alphanumeric() || it == '_');
    let is_defined =
        |item| text.split(&format!("{item} {name}")).skip(1).any(|rest| !goes_on(rest));
    before.split("::").all(|name| text.contains(name)) && ITEMS.iter().any(is_defined)
}

#[test]
fn files_and_functions_that_the_documents_name_exist() {
    let (files, mut wrong, mut pairs) = (files(Path::new("..")), Vec::new(), 0);
    let is_page =
        |file: &&String| file.strip_suffix(".md").is_some_and(|page| page.starts_with("docs/"));
    let pages = files.iter().filter(is_page).map(String::as_str);
    for page in pages.chain(["README.md", "CONTRIBUTING.md"]) {
        for paragraph in paragraphs(&read(page)) {
            let parts: Vec<&str> = paragraph.split('`').collect();
            let (mut last, mut is_beside) = ("", false);
            for (between, part) in parts.chunks_exact(2).map(|pair| (pair[0], pair[1])) {
                let is_path = ENDINGS.iter().any(|ending| part.ends_with(ending));
                if is_path && !part.contains(['*', '<', ' ']) && !OF_READERS.contains(&part) {
                    match file(&files, part, last) {
                        Ok(found) => last = found,
                        Err(error) => wrong.push(format!("{page}: {error}")),
                    }
                    is_beside = WITH_FUNCTIONS.contains(&page) && last.ends_with(part);
                } else {
                    is_beside &= [" ", ", "].contains(&between);
                    pairs += u32::from(is_beside);
                    if is_beside && !defines(&read(last), part) {
                        wrong.push(format!("{page}: `{last}` has no `{part}`"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(pairs > 150, "only {pairs} pairs of a file and a function were found");
}
