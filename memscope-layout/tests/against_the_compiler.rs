//! Compares layouts from debug information with what the compiler prints for `-Zprint-type-sizes`.
#![cfg(target_os = "linux")]

use std::{env, fs, sync::LazyLock};

mod common;
mod live;
mod type_sizes;

use common::compile;
use live::joins;
use memscope_layout::{Coroutine, Evidence, Held, Layouts, StateKind};
use type_sizes::{TypeSizes, shown};

const SAMPLE: &str = "corner_cases";

/// Checks that every coroutine of the sample is found and agrees with the compiler: size,
/// alignment, states, members, offsets.
fn agrees(label: &str, flags: &[&str]) {
    let built = compile(SAMPLE, label, flags);
    let layouts = Layouts::read(&built.program).unwrap();
    let mut truth = TypeSizes::parse(&built.type_sizes);
    assert!(truth.coroutines.len() >= 28, "the sample has that many: {}", truth.coroutines.len());
    let mut wrong = String::new();
    for coroutine in layouts.coroutines() {
        if !truth.take(coroutine) {
            wrong += &shown(coroutine);
        }
    }
    assert!(
        wrong.is_empty(),
        "not as the compiler has them, which has besides\n{:#?}\n{wrong}",
        truth.coroutines
    );
    // An exception: the compiler knows an async closure that is only called by two types, and debug
    // information by one.
    let missing: Vec<_> = truth.coroutines.iter().map(|it| it.name.as_str()).collect();
    assert!(missing.iter().all(|it| it.contains("async closure")), "not found: {missing:#?}");
    joins(&built.program, &layouts);
}

#[test]
fn a_debug_build_agrees() {
    agrees("debug", &["-Cdebuginfo=2"]);
}

#[test]
fn an_optimised_build_agrees() {
    agrees("release", &["-Cdebuginfo=2", "-Copt-level=3"]);
}

#[test]
fn a_build_of_many_units_agrees() {
    agrees("units", &["-Cdebuginfo=2", "-Ccodegen-units=64"]);
}

#[test]
fn thin_lto_agrees() {
    agrees("thin", &["-Cdebuginfo=2", "-Copt-level=3", "-Clto=thin", "-Ccodegen-units=16"]);
}

#[test]
fn fat_lto_agrees() {
    agrees("fat", &["-Cdebuginfo=2", "-Copt-level=3", "-Clto=fat", "-Cpanic=abort"]);
}

#[test]
fn a_small_static_build_with_new_names_agrees() {
    let small = ["-Copt-level=s", "-Crelocation-model=static", "-Csymbol-mangling-version=v0"];
    agrees("small", &[&["-Cdebuginfo=2"][..], &small].concat());
}

#[test]
fn compressed_dwarf_5_agrees() {
    let compressed = "-Clink-arg=-Wl,--compress-debug-sections=zlib";
    agrees("dwarf-5", &["-Cdebuginfo=2", "-Cdwarf-version=5", compressed]);
}

#[test]
fn a_package_of_split_files_agrees() {
    agrees("packed", &["-Cdebuginfo=2", "-Csplit-debuginfo=packed"]);
}

#[test]
fn a_package_in_dwarf_5_agrees() {
    agrees("packed-5", &["-Cdebuginfo=2", "-Csplit-debuginfo=packed", "-Cdwarf-version=5"]);
}

#[test]
fn split_files_agree() {
    agrees("unpacked", &["-Cdebuginfo=2", "-Csplit-debuginfo=unpacked", "-Cdwarf-version=5"]);
}

/// Checks a real program: `MEMSCOPE_PROGRAM` names it, and `MEMSCOPE_TYPE_SIZES` contains what the
/// compiler printed during this build:
///
/// ```text
/// CARGO_PROFILE_RELEASE_DEBUG=2 RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zprint-type-sizes \
///     cargo build --release > FILE
/// ```
#[test]
#[ignore = "needs a program and what the compiler printed"]
fn a_named_program_agrees() {
    let text = |name| env::var(name).unwrap_or_else(|_| panic!("set {name}"));
    let layouts = Layouts::read(text("MEMSCOPE_PROGRAM")).unwrap();
    let mut truth = TypeSizes::parse(&fs::read_to_string(text("MEMSCOPE_TYPE_SIZES")).unwrap());
    let known = truth.coroutines.len();
    let wrong: Vec<String> =
        layouts.coroutines().iter().filter(|it| !truth.take(it)).map(shown).collect();
    let right = layouts.coroutines().len() - wrong.len();
    eprintln!("{right} of {} agree; the compiler knows {known}", layouts.coroutines().len());
    assert!(wrong.is_empty(), "{}", wrong.concat());
}

/// A debug build, for tests that look futures up by name.
static DEBUG: LazyLock<Layouts> = LazyLock::new(|| {
    Layouts::read(compile(SAMPLE, "by-name", &["-Cdebuginfo=2"]).program).unwrap()
});

fn find<'l>(layouts: &'l Layouts, path: &str) -> &'l Coroutine {
    layouts.coroutines().iter().find(|it| &*it.path == path).unwrap_or_else(|| {
        panic!(
            "{path} is not among {:#?}",
            layouts.coroutines().iter().map(|it| &it.path).collect::<Vec<_>>()
        )
    })
}

#[test]
fn what_a_name_hides_is_put_right_or_said() {
    let debug = &*DEBUG;
    let shadowed = find(debug, "corner_cases::shadowed::{async_fn_env#0}");
    let state = &shadowed.states[shadowed.states.len() - 1];
    assert_eq!(state.kind, StateKind::Suspended(2));
    let [hidden] = &state.hidden[..] else { panic!("one more `x`: {state:#?}") };
    assert_eq!(&*hidden.name, "x");
    let types: Vec<_> = hidden.candidates.iter().map(|it| (&*it.type_name, it.size)).collect();
    assert_eq!(types, [("[u32; 7]", Some(28)), ("[u8; 100]", Some(100))], "either of the two");

    // `page` is an argument and, after a move, a variable. The second one is at the offset in the
    // unresumed state.
    let argument = find(debug, "corner_cases::argument_by_value::{async_fn_env#0}");
    let pages = argument.suspended().flat_map(|it| &it.members).filter(|it| &*it.name == "page");
    let pages: Vec<_> = pages.map(|it| (it.offset, it.evidence)).collect();
    let argument = argument.states[0].members[0].offset;
    assert!(pages.contains(&(argument, Evidence::Unresumed)), "{pages:?}");
    assert_eq!(pages.len(), 2, "{pages:?}");
    assert_eq!(pages[0].0.abs_diff(pages[1].0), 1000, "{pages:?}");
}

/// Returns the futures in a state's members, by the name of each member.
fn children<'l>(layouts: &'l Layouts, path: &str) -> Vec<(&'l str, &'l str, Held)> {
    let state = find(layouts, path).largest().unwrap();
    let all = state.members.iter().flat_map(|member| {
        let children = layouts.children(member).into_iter();
        children.map(|it| (&*member.name, &*layouts.coroutines()[it.coroutine].path, it.held))
    });
    all.collect()
}

#[test]
fn children_are_found_through_wrappers_boxes_and_arms() {
    let of = |name: &str| children(&DEBUG, &format!("corner_cases::{name}::{{async_fn_env#0}}"));
    let branches = "corner_cases::branches::{async_fn_env#0}";
    let shadowed = "corner_cases::shadowed::{async_fn_env#0}";

    assert_eq!(of("boxed_child"), [("__awaitee", branches, Held::Boxed)]);
    let [("__awaitee", path, Held::Inline(offset))] = of("wrapped")[..] else {
        panic!("one, inline: {:?}", of("wrapped"))
    };
    assert_eq!(path, branches);
    assert!(offset <= 16, "behind the name of the wrapper or before it: {offset}");

    let joined = of("joined");
    let inline = |path| {
        joined.iter().any(|it| (it.0, it.1) == ("pinned", path) && matches!(it.2, Held::Inline(_)))
    };
    assert!(inline(branches) && inline(shadowed), "both arms: {joined:?}");
    let borrowed = joined.iter().filter(|it| it.0 == "__awaitee" && it.2 == Held::Borrowed);
    assert_eq!(borrowed.count(), 2, "through the closure that polls them: {joined:?}");
    assert_eq!(of("selected").iter().filter(|it| it.0 == "pinned").count(), 2);
}
