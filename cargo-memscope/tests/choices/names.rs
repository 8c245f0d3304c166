//! Futures of methods have the names of their types.

use std::{fs, path::Path};

use super::{folder, names, run, rustc};

#[test]
fn a_method_is_named_by_its_type_and_trait() {
    let folder = folder("names");
    for mangling in ["legacy", "v0"] {
        for level in ["0", "3"] {
            let flags = [
                &*format!("-Csymbol-mangling-version={mangling}"),
                &format!("-Copt-level={level}"),
                "-g",
            ];
            rustc(&folder, "impls.rs", &flags);
            let futures = run(&folder, &["futures", "--all", "--json", "impls"]).json();
            let names = names(&futures);
            for expected in [
                "impls::Shop::open",
                "<impls::Shop as impls::Service>::call",
                "impls::Shop::count::{async block}",
            ] {
                assert!(names.contains(&expected), "no {expected}: {mangling} {level} {names:?}");
            }
            // The older mangling has the parameter, and the newer one two types.
            let generic = if mangling == "v0" { "Queue" } else { "Queue<T>" };
            for argument in ["u8", "u32"] {
                let expected = format!("<impls::{generic} as impls::Service>::call<{argument}>");
                assert!(names.contains(&&*expected), "no {expected}: {mangling} {level} {names:?}");
            }
            assert!(names.iter().all(|it| !it.contains("{impl")), "{names:?}");
            // What is awaited, and the advice, have them too. The path stays as it is.
            let count = futures["futures"].as_array().unwrap().iter();
            let count = count.filter(|it| it["name"] == "impls::Shop::count").collect::<Vec<_>>();
            let parts = count[0]["why"][0]["parts"].to_string();
            assert!(parts.contains("impls::Shop::count::{async block}"), "{parts}");
            assert!(count[0]["path"].as_str().unwrap().contains("{impl#"), "{}", count[0]["path"]);
        }
    }
}

#[test]
fn another_impl_above_is_no_change_of_the_futures_below() {
    let folder = folder("moved");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples/impls.rs");
    let source = fs::read_to_string(source).unwrap();
    let (head, rest) = source.split_once("impl Shop {").unwrap();
    let other = "impl std::fmt::Debug for Shop {\n    fn fmt(&self, f: &mut \
                 std::fmt::Formatter<'_>) -> std::fmt::Result {\n        f.write_str(\"Shop\")\n    \
                 }\n}\n\n";
    let moved = folder.join("moved.rs");
    fs::write(&moved, format!("{head}{other}impl Shop {{{rest}")).unwrap();
    for level in ["0", "3"] {
        let flags = [&*format!("-Copt-level={level}"), "-g"];
        rustc(&folder, "impls.rs", &flags);
        rustc(&folder, moved.to_str().unwrap(), &flags);
        let diff = run(&folder, &["futures", "--diff", "impls", "moved"]);
        assert!(diff.out.starts_with("no future changed its size; "), "{}", diff.out);
        assert!(diff.out.ends_with(" are at other lines\n"), "{}", diff.out);
        // One that grew is one change.
        let grown = source.replace("stock: [u8; 200]", "stock: [u8; 260]");
        let grown = grown.replace("[1; 200]", "[1; 260]");
        let grown = grown.replace("impl Shop {", &format!("{other}impl Shop {{"));
        fs::write(folder.join("grown.rs"), grown).unwrap();
        rustc(&folder, folder.join("grown.rs").to_str().unwrap(), &flags);
        let diff = run(&folder, &["futures", "--diff", "impls", "grown"]);
        assert!(diff.out.contains("grown::Shop::open"), "{}", diff.out);
        assert!(diff.out.contains("0 shrank, 0 new, 0 gone; "), "{}", diff.out);
    }
}
