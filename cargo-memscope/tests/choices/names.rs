//! Futures of methods have the names of their types.

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
