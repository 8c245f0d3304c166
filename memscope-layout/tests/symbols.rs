//! Names of functions: of programs built in many ways, and of damaged files.
#![cfg(target_os = "linux")]

mod common;
mod damage;

use std::{
    cell::RefCell,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use common::compile;
use damage::{cases, damage};
use memscope_layout::{Frame, Symbolizer, Symbols};
use object::{Object, ObjectSymbol};
use proptest::prelude::*;

const SAMPLE: &str = "named";
const LEGACY: &str = "-Csymbol-mangling-version=legacy";
const V0: &str = "-Csymbol-mangling-version=v0";

fn build(label: &str, flags: &[&str]) -> PathBuf {
    // The older mangling can only be asked for with `-Z`.
    compile(SAMPLE, label, &[&["-Zunstable-options", "-Ccodegen-units=1"], flags].concat()).program
}

/// The addresses of the sample's functions, by parts of their symbols: `plain`, `generic`, `outer`.
fn functions(program: &Path) -> [(u64, u64); 3] {
    let bytes = fs::read(program).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    ["5plain", "7generic", "5outer"].map(|part| {
        let mut named = file
            .symbols()
            .filter(|it| it.name().is_ok_and(|name| name.contains(part) && name.contains("named")));
        let symbol = named.next().unwrap_or_else(|| panic!("no {part}"));
        (symbol.address(), symbol.size())
    })
}

/// The names of these addresses, which need not be sorted.
fn names(program: &Path, addresses: &[u64]) -> Vec<Option<String>> {
    let mut order: Vec<usize> = (0..addresses.len()).collect();
    order.sort_by_key(|at| addresses[*at]);
    let sorted: Vec<u64> = order.iter().map(|at| addresses[*at]).collect();
    let mut names = vec![None; addresses.len()];
    let symbols = Symbols::open(program).unwrap();
    symbols.find(&sorted, |index, name| names[order[index]] = Some(name.to_owned())).unwrap();
    names
}

fn name(program: &Path, address: u64) -> Option<String> {
    names(program, &[address]).remove(0)
}

#[test]
fn an_address_has_the_name_of_the_function_that_it_lies_in() {
    for (label, mangling, generic) in
        [("legacy", LEGACY, "named::generic"), ("v0", V0, "named::generic::<u8>")]
    {
        let program = build(label, &[mangling, "-Cdebuginfo=0"]);
        let [plain, of_type, outer] = functions(&program);
        for ((start, size), expected) in
            [(plain, "named::plain"), (of_type, generic), (outer, "named::outer")]
        {
            assert!(size > 1);
            let found = names(&program, &[start + size - 1, start, start + size / 2]);
            assert_eq!(found, vec![Some(expected.to_owned()); 3], "{label}");
            for outside in [start - 1, start + size] {
                assert_ne!(name(&program, outside).as_deref(), Some(expected), "{label}");
            }
        }
        assert_eq!(names(&program, &[0, u64::MAX]), [None, None]);
        assert_eq!(names(&program, &[]), []);
    }
}

fn stripped(program: &Path, flag: &str) -> Option<PathBuf> {
    let stripped = program.with_extension(flag.trim_matches('-'));
    let done = Command::new("strip").arg(flag).arg("-o").args([&stripped, program]).status();
    match done {
        Ok(status) => {
            assert!(status.success());
            Some(stripped)
        }
        Err(error) => {
            eprintln!("skipped: strip, of binutils, is not here: {error}");
            None
        }
    }
}

/// The rows of `docs/NAMES.md`: what each build tells of the function `outer`, in which `inlined`
/// is, and of `generic::<u8>`.
#[test]
fn what_a_build_tells_is_what_the_documentation_says() {
    let document = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/NAMES.md"));
    let document = document.unwrap();
    let mut rows = Vec::new();
    for (mangling, flag) in [("legacy", LEGACY), ("v0", V0)] {
        for level in ["0", "line-tables-only", "1", "2"] {
            let label = format!("{mangling}-{level}");
            let program = build(&label, &["-O", flag, &format!("-Cdebuginfo={level}")]);
            let [_, generic, outer] = functions(&program);
            rows.push(row(mangling, level, "no", &program, generic.0, outer));
            for (strip, says) in [("--strip-debug", "debug"), ("--strip-all", "all")] {
                if level == "2"
                    && let Some(stripped) = stripped(&program, strip)
                {
                    rows.push(row(mangling, level, says, &stripped, generic.0, outer));
                }
            }
        }
    }
    for row in &rows {
        assert!(document.contains(row), "docs/NAMES.md lacks\n{}", rows.join("\n"));
    }
}

fn row(
    mangling: &str,
    level: &str,
    strip: &str,
    program: &Path,
    generic: u64,
    outer: (u64, u64),
) -> String {
    let of_symbols = [generic, outer.0].map(|at| name(program, at));
    let symbolizer = Symbolizer::open(program).unwrap();
    // The instruction of the function that has another one in it, if any tells of it.
    let all = (outer.0..outer.0 + outer.1).map(|at| symbolizer.frames(at));
    let frames = all.max_by_key(Vec::len).unwrap();
    let tick = |name: &Option<String>| match name {
        Some(name) => format!("`{name}`"),
        None => "–".to_owned(),
    };
    let [generic_name, outer_name] = &of_symbols;
    let (of_type, inner) =
        (of_type(program, generic, generic_name.as_deref()), inlined_in(program, outer));
    let shown = |frame: &Frame| {
        let at = frame.line.map_or(String::new(), |line| format!(" line {line}"));
        format!("{}{at}", tick(&frame.function))
    };
    let frames: Vec<String> = frames.iter().filter(|it| is_own(it)).map(shown).collect();
    let frames = if frames.is_empty() { "–".to_owned() } else { frames.join(" in ") };
    format!(
        "| {mangling} | {level} | {strip} | {} | {} | {} | {} | {frames} |",
        tick(generic_name),
        tick(outer_name),
        tick(&of_type),
        tick(&inner)
    )
}

/// The type parameter of `generic`, as its symbol has it, or else the debug information.
fn of_type(program: &Path, generic: u64, symbol: Option<&str>) -> Option<String> {
    let own = inlined(program, &[generic], u64::MAX).remove(0)?.pop();
    let own = own.and_then(|it| it.function);
    let name = symbol.filter(|it| it.contains('<')).map(str::to_owned).or(own)?;
    Some(name.split_once('<')?.1.trim_end_matches('>').to_owned())
}

/// The innermost function of the program that debug information has anywhere in `outer`.
fn inlined_in(program: &Path, outer: (u64, u64)) -> Option<String> {
    let addresses: Vec<u64> = (outer.0..outer.0 + outer.1).collect();
    let chains = inlined(program, &addresses, u64::MAX).into_iter().flatten();
    let mut inner = chains.flat_map(|mut it| {
        it.pop();
        it
    });
    inner.find_map(|it| it.function.filter(|name| name.contains("inlined")))
}

/// Leaves out the standard library's `black_box`.
fn is_own(frame: &Frame) -> bool {
    frame.function.as_ref().is_none_or(|it| it.contains("outer") || it.contains("inlined"))
}

#[test]
fn debug_information_in_another_file_has_the_same_lines() {
    let program = build("separate", &["-O", V0, "-Cdebuginfo=2"]);
    let [_, _, (start, size)] = functions(&program);
    let frames = |symbolizer: &Symbolizer| -> Vec<_> {
        (start..start + size).map(|at| symbolizer.frames(at)).collect()
    };
    let before = Symbolizer::open(&program).unwrap();
    let expected = frames(&before);
    assert!(expected.iter().any(|it| it.len() > 1 && it[0].is_inlined && it[0].line.is_some()));
    assert!(expected.iter().all(|it| !it.is_empty() && !it[it.len() - 1].is_inlined));
    let debug = program.with_extension("debug");
    let keep = Command::new("objcopy").arg("--only-keep-debug").args([&program, &debug]).status();
    let Ok(status) = keep else { return eprintln!("skipped: objcopy, of binutils, is not here") };
    assert!(status.success());
    let link = format!("--add-gnu-debuglink={}", debug.to_str().unwrap());
    let strip = Command::new("objcopy").args(["--strip-all", &link]).arg(&program).status();
    assert!(strip.unwrap().success());
    let after = Symbolizer::open(&program).unwrap();
    assert!(after.has_debug_information());
    assert_eq!(frames(&after), expected);
    // Of another build.
    fs::copy(build("other", &["-Cdebuginfo=2"]), &debug).unwrap();
    assert!(frames(&Symbolizer::open(&program).unwrap()).iter().all(Vec::is_empty));
}

#[test]
fn a_build_is_found_by_its_id() {
    let id = "-Clink-arg=-Wl,--build-id=sha1";
    let [one, other] = ["one", "two"].map(|label| {
        let level = if label == "one" { "-Cdebuginfo=1" } else { "-Cdebuginfo=2" };
        build(&format!("id-{label}"), &[id, level])
    });
    let id = Symbolizer::open(&one).unwrap().build_id().unwrap().to_owned();
    let paths = [PathBuf::from("not/there"), other.clone(), one];
    let found = Symbolizer::of_build(&id, &paths).unwrap();
    assert_eq!(found.build_id(), Some(&*id));
    assert!(Symbolizer::of_build(&id, &paths[..2]).is_none());
    assert!(Symbolizer::of_build("", &paths).is_none());
    assert!(Symbolizer::of_build("ää/../..", &paths).is_none());
}

#[test]
fn what_is_no_program_is_an_error() {
    for path in ["not/there", "Cargo.toml", "src"] {
        assert!(Symbols::open(path).is_err() && Symbolizer::open(path).is_err(), "{path}");
    }
    for bytes in [&b""[..], b"\x7fELF", b"MZ\x90", &[0x7f; 200]] {
        assert!(Symbols::find_in(bytes, &[1], |_, _| panic!("a name")).is_err());
    }
}

#[test]
fn a_damaged_file_yields_names_or_an_error() {
    let flags = ["-Cdebuginfo=0", "-Cpanic=abort", "--crate-type=cdylib"];
    let healthy = fs::read(compile("smallest", "symbols", &flags).program).unwrap();
    let headers = {
        let at = u64::from_le_bytes(healthy[40..48].try_into().unwrap());
        usize::try_from(at).unwrap()..healthy.len()
    };
    let symbols = {
        use object::ObjectSection;
        let file = object::File::parse(&*healthy).unwrap();
        let (at, size) = file.section_by_name(".symtab").unwrap().file_range().unwrap();
        usize::try_from(at).unwrap()..usize::try_from(at + size).unwrap()
    };
    let regions = [0..64, headers, symbols, 0..healthy.len()];
    let addresses: Vec<u64> = (0..0x4000).step_by(16).chain([u64::MAX - 1, u64::MAX]).collect();
    let damaged = RefCell::new(healthy.clone());
    let outcomes = RefCell::new([0u32; 2]);
    let mut runner = prop::test_runner::TestRunner::new(cases(2_000));
    let run = runner.run(&damage(regions.len()), |damage| {
        let mut bytes = damaged.borrow_mut();
        bytes.clone_from(&healthy);
        damage.apply(&mut bytes, &regions);
        let mut last = None;
        let result = Symbols::find_in(&bytes, &addresses, |index, name| {
            assert!(!name.is_empty() && name.len() <= 1_100 && index < addresses.len());
            last = Some(index);
        });
        outcomes.borrow_mut()[usize::from(result.is_ok())] += 1;
        Ok(())
    });
    run.unwrap();
    assert!(outcomes.borrow().iter().all(|count| *count > 50), "{outcomes:?}");
}

/// The functions at these addresses by the units that contain them.
fn inlined(program: &Path, addresses: &[u64], most_bytes: u64) -> Vec<Option<Vec<Frame>>> {
    let mut found = vec![None; addresses.len()];
    let symbols = Symbols::open(program).unwrap();
    let add = |index: usize, frames: &[Frame]| found[index] = Some(frames.to_vec());
    symbols.find_frames(addresses, most_bytes, add).unwrap();
    found
}

#[test]
fn units_tell_what_was_inlined_and_for_which_types() {
    for (mangling, flag) in [("legacy", LEGACY), ("v0", V0)] {
        for level in ["0", "line-tables-only", "1", "2"] {
            let label = format!("units-{mangling}-{level}");
            let program = build(&label, &["-O", flag, &format!("-Cdebuginfo={level}")]);
            let [plain, generic, outer] = functions(&program);
            let of = |function: (u64, u64)| -> Vec<u64> {
                (function.0..function.0 + function.1).collect()
            };
            let function = inlined(&program, &of(generic), u64::MAX);
            let name = |it: Frame| it.function.unwrap_or_default();
            let at = |found: &Option<Vec<Frame>>| found.clone().unwrap().pop().map(name);
            let generic = match (mangling, level) {
                (_, "0") => None,
                // Without its path.
                (_, "line-tables-only") => Some("generic::<u8>"),
                _ => Some("named::generic::<u8>"),
            };
            assert!(function.iter().all(|it| at(it).as_deref() == generic), "{label} {function:?}");
            let chains: Vec<_> = inlined(&program, &of(outer), u64::MAX);
            let chains = chains.into_iter().flatten();
            let own: Vec<Vec<String>> = chains
                .map(|it| it.into_iter().map(name).filter(|it| !it.contains("black_box")).collect())
                .collect();
            let longest = own.iter().max_by_key(|it| it.len()).unwrap();
            let expected: &[&str] = match level {
                "0" => &[],
                "line-tables-only" => &["outer"],
                _ => &["named::inlined", "named::outer"],
            };
            assert_eq!(longest, expected, "{label}");
            // No unit fits: it is left for another time, or said to tell nothing if it never will.
            let none = inlined(&program, &[plain.0, 0xff_ffff_ffff], 0);
            assert_eq!(none, [Some(vec![]), Some(vec![])], "{label}");
        }
    }
}

#[test]
fn units_tell_the_lines_that_a_reader_of_all_debug_information_tells() {
    for (mangling, flag) in [("legacy", LEGACY), ("v0", V0)] {
        for (level, optimised) in [
            ("0", "3"),
            ("line-tables-only", "3"),
            ("line-tables-only", "0"),
            ("2", "3"),
            ("2", "0"),
        ] {
            let label = format!("lines-{mangling}-{level}-{optimised}");
            let flags =
                [flag, &format!("-Cdebuginfo={level}"), &format!("-Copt-level={optimised}")];
            let program = build(&label, &flags);
            let (mut addresses, mut lines) = (Vec::new(), 0);
            for (start, size) in functions(&program) {
                addresses.extend(start..start + size);
            }
            addresses.sort_unstable();
            let expected = Symbolizer::open(&program).unwrap().frames_of(&addresses);
            let found = inlined(&program, &addresses, u64::MAX);
            for (expected, found) in expected.iter().zip(found) {
                let found = found.unwrap();
                // A file without a line says nothing.
                let place = |it: &Frame| (it.file.clone().zip(it.line), it.is_inlined);
                if level == "0" {
                    assert_eq!(found, [], "{label}");
                    continue;
                }
                // Line tables have no paths, without which inlined functions are left out.
                let is_all = level == "2";
                let own = if is_all { &expected[..] } else { &expected[expected.len() - 1..] };
                assert_eq!(
                    own.iter().map(place).collect::<Vec<_>>(),
                    found.iter().map(place).collect::<Vec<_>>(),
                    "{label} {found:?}"
                );
                assert!(found.iter().flat_map(|it| &it.file).all(|it| it.starts_with('/')));
                lines += found.iter().filter(|it| it.line.is_some()).count();
            }
            assert!(level == "0" || lines > 20, "{label} {lines}");
        }
    }
}

#[test]
fn full_debug_information_tells_where_a_static_is_declared() {
    let source = include_str!("samples/named.rs");
    let line = source.lines().position(|line| line.starts_with("static KEPT")).unwrap() + 1;
    for (mangling, flag) in [("legacy", LEGACY), ("v0", V0)] {
        for (level, optimised) in
            [("0", "0"), ("line-tables-only", "0"), ("1", "3"), ("2", "0"), ("2", "3")]
        {
            let label = format!("declared-{mangling}-{level}-{optimised}");
            let flags =
                [flag, &format!("-Cdebuginfo={level}"), &format!("-Copt-level={optimised}")];
            let program = build(&label, &flags);
            let symbols = Symbols::open(&program).unwrap();
            let mut kept = 0;
            symbols.variables(|variable, symbol| {
                if symbol.windows(5).any(|it| it == b"4KEPT") {
                    kept = variable.address;
                }
            });
            assert_ne!(kept, 0, "{label}");
            let declared = |most: u64| {
                let mut found = Vec::new();
                // Only where it begins.
                let near = [0, kept - 1, kept, kept + 1, u64::MAX];
                let add = |index, file: &str, line| found.push((index, file.to_owned(), line));
                symbols.find_declared(&near, most, add).unwrap();
                found
            };
            let found = declared(u64::MAX);
            if level == "2" {
                let [(2, file, at)] = &found[..] else { panic!("{label}: {found:?}") };
                assert!(file.ends_with("/tests/samples/named.rs"), "{label}: {file}");
                assert_eq!(*at as usize, line, "{label}");
            } else {
                assert!(found.is_empty(), "{label}: {found:?}");
            }
            assert!(declared(0).is_empty(), "{label}");
        }
    }
}

#[test]
fn units_beyond_the_limit_are_left_for_another_time() {
    let program = build("limit", &["-Cdebuginfo=2", "-Ccodegen-units=16", "-O"]);
    let symbols = fs::read(&program).unwrap();
    let symbols = object::File::parse(&*symbols).unwrap();
    let mut all: Vec<u64> =
        symbols.symbols().filter(|it| it.size() != 0).map(|it| it.address()).collect();
    all.sort_unstable();
    all.dedup();
    let told = |most: u64| {
        let found = inlined(&program, &all, most);
        let read = found.iter().flatten().filter(|it| !it.is_empty()).count();
        (read, found.iter().filter(|it| it.is_none()).count())
    };
    let (everything, 0) = told(u64::MAX) else { panic!("all are read") };
    let (some, later) = told(200_000);
    assert!(some != 0 && later != 0 && some < everything, "{some} {later} {everything}");
    let (none, never) = told(1);
    assert_eq!((none, never), (0, 0), "no unit is as small as that");
}
