//! Which program of a workspace is built, and which code in it is the user's own.

use std::{fs, path::Path};

use super::{folder, names, run, tool};

const RUN: &str = "use std::{future::Future, pin::pin, task::{Context, Waker}};
fn run<F: Future>(it: F) {
    let mut it = pin!(it);
    let _ = std::hint::black_box(it.as_mut().poll(&mut Context::from_waker(Waker::noop())));
}
";

/// A workspace: `market` has a library, two binaries and a test, and a dependency that was vendored.
fn market(name: &str) -> std::path::PathBuf {
    let folder = folder(name);
    let write = |path: &str, text: &str| {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let package = |name: &str, more: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n{more}")
    };
    let program = |function: &str| {
        format!(
            "{RUN}async fn {function}() -> u8 {{ let b = [3u8; 700]; copied::inner([2; 64]).await + b[1] }}
             fn main() {{ run({function}()) }}"
        )
    };
    write("Cargo.toml", "[workspace]\nmembers = [\"market\", \"other\"]\nresolver = \"3\"\n");
    write(
        ".cargo/config.toml",
        "[source.crates-io]\nreplace-with = \"copies\"\n[source.copies]\ndirectory = \"copies\"\n",
    );
    write(
        "market/Cargo.toml",
        &package("market", "default-run = \"second\"\n[dependencies]\ncopied = \"0.1\"\n"),
    );
    write(
        "market/src/lib.rs",
        "pub async fn in_library(x: [u8; 500]) -> u8 { copied::inner([1; 64]).await + x[1] }",
    );
    write("market/src/bin/first.rs", &program("in_first"));
    write("market/src/bin/second.rs", &program("in_second"));
    write(
        "market/tests/whole.rs",
        &format!(
            "{RUN}async fn in_test() -> u8 {{ let b = [3u8; 800]; copied::inner([2; 64]).await + b[1] }}
             #[test] fn it_runs() {{ run(in_test()) }}"
        ),
    );
    write("other/Cargo.toml", &package("other", ""));
    write("other/src/main.rs", "fn main() {}");
    write("copies/copied/Cargo.toml", &package("copied", ""));
    write(
        "copies/copied/src/lib.rs",
        "pub async fn inner(x: [u8; 64]) -> u8 { std::future::ready(()).await; x[1] }",
    );
    let sum = "0".repeat(64);
    write(
        "copies/copied/.cargo-checksum.json",
        &format!("{{\"files\":{{}},\"package\":\"{sum}\"}}"),
    );
    folder
}

#[test]
fn the_program_is_the_one_that_cargo_would_run_or_the_one_that_is_named() {
    let folder = market("default-run");
    let market = folder.join("market");
    let own = |options: &[&str]| {
        let futures = run(&market, &[&["futures", "--json"], options].concat()).json();
        names(&futures).join(" ")
    };
    assert_eq!(own(&[]), "second::in_second");
    assert_eq!(own(&["--bin", "first"]), "first::in_first");
    assert_eq!(own(&["--test", "whole"]), "whole::in_test");
    assert_eq!(own(&["--lib"]), "market::in_library");
    assert_eq!(own(&["--lib", "--release"]), "market::in_library");
    // The whole workspace has one `default-run`, as for `cargo run`.
    run(&folder, &["futures"]).has(&["second::in_second"]);
    let all = own(&["--all"]);
    assert_eq!(all, "second::in_second copied::inner", "a vendored package is a dependency");
    // The same program by its path: the mark of `cargo vendor` is there.
    let by_path = run(&folder, &["futures", "--json", "target/debug/second"]).json();
    assert_eq!(names(&by_path), ["second::in_second"]);

    // Without it all are named, with their packages.
    let manifest = market.join("Cargo.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("default-run = \"second\"\n", "")).unwrap();
    let several = run(&folder, &["futures"]);
    assert_eq!(several.code, 2);
    several.has(&["name one: -p market --bin first, -p market --bin second, -p other --bin other"]);
    run(&market, &["futures"]).has(&["name one: --bin first, --bin second\n"]);
    run(&market, &["futures", "--lib", "--bin", "first"]).has(&["cannot be used with"]);
}

#[test]
fn json_is_the_same_in_each_folder() {
    let folder = market("folders");
    let manifest = folder.join("market/Cargo.toml");
    let build = ["futures", "--json", "--all", "--manifest-path", manifest.to_str().unwrap()];
    let outputs = ["", "market/src", "other"].map(|it| {
        let run = run(&folder.join(it), &build);
        assert_eq!(run.code, 0, "{}", run.error);
        run.out
    });
    assert_eq!(outputs[0], outputs[1]);
    assert_eq!(outputs[0], outputs[2]);
    let text = "is alive across the await at ";
    assert!(outputs[0].contains(&format!("{text}{}", folder.to_str().unwrap())), "{}", outputs[0]);
    // For a reader it is short, also from a file.
    let saved = folder.join("saved.json");
    fs::write(&saved, &outputs[0]).unwrap();
    let saved = saved.to_str().unwrap();
    for path in [saved, "target/debug/second"] {
        run(&folder, &["futures", path]).has(&[&format!("{text}market/src/bin/second.rs:")]);
    }
}

/// The host's name for itself.
fn host() -> String {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = std::process::Command::new(compiler).arg("-vV").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().find_map(|it| it.strip_prefix("host: ")).unwrap().to_owned()
}

#[test]
fn cargos_configuration_says_where_and_for_which_target_it_is_built() {
    let folder = market("configured");
    let (config, host) = (folder.join(".cargo/config.toml"), host());
    let text = fs::read_to_string(&config).unwrap();
    let build = format!("{text}[build]\ntarget = \"{host}\"\ntarget-dir = \"made\"\n");
    fs::write(&config, build).unwrap();
    let market = folder.join("market");
    let path = format!("made/{host}/debug/second");
    run(&market, &["futures"]).has(&["second::in_second", &path]);
    assert!(folder.join(path).is_file() && !folder.join("target").exists());
    fs::write(&config, &text).unwrap();
    let in_variable = tool(&market, &["futures"])
        .envs([("CARGO_BUILD_TARGET", &*host), ("CARGO_TARGET_DIR", "elsewhere")])
        .output();
    let in_variable = super::Run::from(in_variable.unwrap());
    in_variable.has(&["second::in_second", &format!("elsewhere/{host}/debug/second")]);
}

#[test]
fn advice_names_no_setting_that_the_build_has_made() {
    let folder = market("stripped");
    let build = |flags: &str| {
        let mut command = tool(&folder.join("other"), &["futures"]);
        super::Run::from(command.env("RUSTFLAGS", flags).output().unwrap())
    };
    for flags in ["-Cstrip=symbols", "-Cdebuginfo=line-tables-only"] {
        let run = build(flags);
        assert_eq!(run.code, 2, "{}", run.error);
        run.has(&["something took its debug information away", "`RUSTFLAGS`", "`-Cstrip`"]);
        for setting in ["CARGO_PROFILE", "build it with", "[profile.release] "] {
            assert!(!run.error.contains(setting), "{}", run.error);
        }
    }
    // Of a file that was built elsewhere, it is the advice.
    let program: &Path = &folder.join("target/debug/other");
    run(&folder, &["futures", program.to_str().unwrap()]).has(&["CARGO_PROFILE_RELEASE_DEBUG=2"]);
}
