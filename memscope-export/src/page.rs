//! Assembles the files of the page into one: a style, a script of all modules, and their hashes.
//!
//! Each module becomes a function that is called at once. The function returns its exports as the
//! fields of an object, from which an import takes them. So two modules may use the same name.
//! Comments are left out, and a level is indented by one space, so that the page is small.

use std::fmt::Write;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use sha2::{Digest, Sha256};

const TEMPLATE: &str = include_str!("../page/index.html");
const STYLES: [&str; 2] =
    [include_str!("../page/vendor/uplot.min.css"), include_str!("../page/style.css")];
const UPLOT: &str = include_str!("../page/vendor/uplot.min.js");

macro_rules! modules {
    ($($name:literal)+) => {
        &[$(($name, include_str!(concat!("../page/app/", $name, ".js")))),+]
    };
}

/// Bottom first: a module imports from those before it.
const MODULES: &[(&str, &str)] = modules![
    "dom" "format" "names" "facts" "model" "stacks" "waits" "state" "held" "compare" "views" "order"
    "table" "memory" "findings" "canvas" "timeline" "icicle" "pieces" "code" "parts" "budget"
    "inside_site" "inside_task" "inside_held" "insides" "drawer" "source" "status" "holds" "keys"
    "main"
];

/// Where a page takes its snapshots from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    Saved,
    Live,
}

/// A page without its data: the text before the data and the text after.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) before: String,
    pub(crate) after: String,
    pub(crate) policy: String,
}

impl Page {
    pub(crate) fn without_data(&self) -> String {
        [&*self.before, &self.after].concat()
    }
}

pub(crate) fn assemble(source: Source) -> Page {
    let (style, script) = (STYLES.concat(), script());
    let policy = policy(source, &style, &script);
    let part = |name: &str| -> &str {
        match name {
            "policy" => &policy,
            "style" => &style,
            "script" => &script,
            _ => unreachable!("the template has no such part: {name}"),
        }
    };
    let (before, after) = TEMPLATE.split_once("{{snapshot}}").expect("a place for the data");
    Page { before: filled(before, &part), after: filled(after, &part), policy }
}

/// Returns the text with its parts in their places, such as `{{style}}`.
fn filled<'a>(text: &'a str, part: &impl Fn(&str) -> &'a str) -> String {
    let mut pieces = text.split("{{");
    let mut whole = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, rest) = piece.split_once("}}").expect("the end of a place");
        whole.push_str(part(name));
        whole.push_str(rest);
    }
    whole
}

fn policy(source: Source, style: &str, script: &str) -> String {
    let hash = |text: &str| BASE64.encode(Sha256::digest(text));
    let connect = match source {
        Source::Saved => "",
        Source::Live => " connect-src 'self';",
    };
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; img-src data:;{connect} \
         base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; \
         trusted-types 'none'",
        hash(script),
        hash(style),
    )
}

fn script() -> String {
    let mut script = UPLOT.to_owned();
    for (name, text) in MODULES {
        module(&mut script, name, text);
    }
    script
}

/// Adds a module as a function that is called at once.
fn module(script: &mut String, name: &str, text: &str) {
    let (mut exports, mut body) = (Vec::new(), String::new());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("import ") {
            let mut whole = line.to_owned();
            while !whole.ends_with(';') {
                whole.push_str(lines.next().expect("the end of an import"));
            }
            import(&mut body, &whole);
            continue;
        }
        let declared = line.strip_prefix("export ");
        exports.extend(declared.and_then(exported));
        shorter(&mut body, declared.unwrap_or(line));
    }
    let exports = exports.join(", ");
    writeln!(script, "const module_{name} = (() => {{\n{body}return {{ {exports} }};\n}})();")
        .expect("a string takes it");
}

/// Adds a line in which a level is indented by one space, unless it is a comment.
fn shorter(body: &mut String, line: &str) {
    let text = line.trim_start_matches(' ');
    if text.starts_with("//") {
        return;
    }
    let depth = (line.len() - text.len()) / 4;
    writeln!(body, "{:depth$}{text}", "").expect("a string takes it");
}

/// `import { a as b } from "./c.js";` becomes `const { a: b } = module_c;`.
fn import(body: &mut String, line: &str) {
    let inner = line.strip_prefix("import ").and_then(|it| it.strip_suffix(".js\";"));
    let (names, from) = inner.and_then(|it| it.split_once(" from \"./")).expect("an import");
    let names = names.strip_prefix("* as ").map_or_else(|| names.replace(" as ", ": "), Into::into);
    writeln!(body, "const {names} = module_{from};").expect("a string takes it");
}

/// The name that a declaration declares.
fn exported(declaration: &str) -> Option<&str> {
    let rest = ["const ", "function ", "async function "]
        .into_iter()
        .find_map(|word| declaration.strip_prefix(word))?;
    let is_name = |it: char| it.is_alphanumeric() || matches!(it, '_' | '$');
    rest.split(|it| !is_name(it)).next()
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    const MOST_BYTES: usize = 250_000;

    #[test]
    fn a_module_becomes_a_function_with_its_exports() {
        let mut script = String::new();
        let text = "import { a as b,\n    c } from \"./x.js\";\nimport * as y from \"./y.js\";\n\
                    export const d = b;\nexport async function e() {\n    // why\n    b();\n}\n\
                    const f = c;\n";
        module(&mut script, "z", text);
        let expected = "const module_z = (() => {\nconst { a: b,    c } = module_x;\n\
                        const y = module_y;\nconst d = b;\nasync function e() {\n b();\n}\nconst f = c;\n\
                        return { d, e };\n})();\n";
        assert_eq!(script, expected);
    }

    #[test]
    fn no_text_of_a_module_spans_lines() {
        for (name, text) in MODULES {
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            let mut code = code.map(|line| line.replace("\"`\"", ""));
            let open = code.find(|line| line.matches('`').count() % 2 != 0);
            assert_eq!(open, None, "{name}: its lines are indented anew");
        }
    }

    #[test]
    fn modules_import_from_those_before_them() {
        for (at, (name, text)) in MODULES.iter().enumerate() {
            for from in text.split(" from \"./").skip(1) {
                let from = from.split(".js\"").next().expect("a name");
                let is_before = MODULES[..at].iter().any(|(before, _)| *before == from);
                assert!(is_before, "{name} imports {from}, which is not before it");
            }
        }
    }

    #[test]
    fn every_module_is_in_the_page_and_short() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("page/app");
        let files = fs::read_dir(folder).expect("the modules").count();
        assert_eq!(files, MODULES.len());
        for (name, text) in MODULES {
            assert!(text.lines().count() <= 450, "{name}");
            let wide = text.lines().find(|line| line.chars().count() > 100);
            assert_eq!(wide, None, "{name}");
        }
    }

    #[test]
    fn the_page_is_small_and_asks_no_other_host() {
        for source in [Source::Saved, Source::Live] {
            let page = assemble(source).without_data();
            assert!(page.len() <= MOST_BYTES, "{} bytes", page.len());
            // Its comments and the names of XML's spaces are no requests.
            let known = ["https://github.com/leeoniya/uPlot", "http://www.w3.org/2000/svg"];
            let rest = known.iter().fold(page, |page, it| page.replace(it, ""));
            assert!(!rest.contains("http://") && !rest.contains("https://"), "{source:?}");
        }
    }

    #[test]
    fn what_is_vendored_is_what_was_published() {
        let sums = include_str!("../page/vendor/SHA256SUMS");
        let hex = |bytes: &[u8]| {
            Sha256::digest(bytes).iter().fold(String::new(), |hex, it| format!("{hex}{it:02x}"))
        };
        let files = [
            ("LICENSE-uplot", include_str!("../page/vendor/LICENSE-uplot")),
            ("uplot.min.css", STYLES[0]),
            ("uplot.min.js", UPLOT),
        ];
        for ((name, text), line) in files.into_iter().zip(sums.lines()) {
            assert_eq!(line, format!("{}  {name}", hex(text.as_bytes())));
        }
    }

    #[test]
    fn the_script_ends_no_element() {
        let script = script();
        assert!(!script.contains("</script") && !script.contains("<!--"));
    }
}
