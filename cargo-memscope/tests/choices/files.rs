//! Files that are no program say what they are, and which file to name.

use std::fs;

use super::{folder, run, rustc};

/// A core file of a process of this program: an ELF file with one segment of notes.
fn core_file(program: &str) -> Vec<u8> {
    let words = |all: &[u64]| all.iter().flat_map(|it| it.to_le_bytes()).collect::<Vec<u8>>();
    let mut files = words(&[2, 4096, 0x1000, 0x2000, 0, 0x7000, 0x9000, 0]);
    files.extend(format!("/lib/ld.so\0{program}\0").into_bytes());
    let auxiliary = words(&[6, 4096, 9, 0x7100, 0, 0]);
    let mut notes = Vec::new();
    for (kind, content) in [(0x4649_4c45_u32, files), (6, auxiliary)] {
        notes.extend(
            [5, u32::try_from(content.len()).unwrap(), kind].iter().flat_map(|it| it.to_le_bytes()),
        );
        notes.extend(*b"CORE\0\0\0\0");
        notes.extend(&content);
        notes.resize(notes.len().next_multiple_of(4), 0);
    }
    let mut bytes = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // A core file for x86-64, whose one segment is described behind the header.
    bytes.extend([4, 0, 62, 0, 1, 0, 0, 0]);
    bytes.extend(words(&[0, 64, 0]));
    bytes.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 64, 0, 0, 0, 0, 0]);
    let size = notes.len() as u64;
    bytes.extend([4, 0, 0, 0, 4, 0, 0, 0]);
    bytes.extend(words(&[120, 0, 0, size, 0, 4]));
    bytes.extend(notes);
    bytes
}

#[test]
fn a_file_that_is_no_program_says_what_it_is_and_which_one_to_name() {
    let folder = folder("files");
    let fails = |file: &str, parts: &[&str]| {
        let run = run(&folder, &["futures", file]);
        assert_eq!((run.code, &*run.out), (2, ""), "{file}: {}", run.error);
        run.has(parts);
    };
    fs::write(folder.join("core"), core_file("/srv/the app")).unwrap();
    fails("core", &["core is a core file", "that ran /srv/the app: name that program"]);
    let mut cut = core_file("/srv/app");
    cut.truncate(150);
    fs::write(folder.join("cut.core"), cut).unwrap();
    fails("cut.core", &["is a core file", "name the program that it is of"]);

    rustc(&folder, "impls.rs", &["-g", "-Csplit-debuginfo=packed"]);
    fails("impls.dwp", &["a package of split debug information (.dwp)", ": name impls\n"]);
    fs::rename(folder.join("impls.dwp"), folder.join("other.dwp")).unwrap();
    fails("other.dwp", &["(.dwp)", "name the program beside it"]);
    rustc(&folder, "impls.rs", &["-g", "-Csplit-debuginfo=unpacked"]);
    let units = fs::read_dir(&folder).unwrap().map(|it| it.unwrap().file_name());
    let mut units = units.map(|it| it.into_string().unwrap());
    let unit = units.find(|it| it.rsplit('.').next() == Some("dwo")).unwrap();
    fails(&unit, &["split debug information (.dwo)", ": name impls, which finds it"]);
    fs::copy(folder.join(&unit), folder.join("lost.dwo")).unwrap();
    fails("lost.dwo", &["(.dwo)", "name the program that was built with it"]);

    fs::write(folder.join("empty.rs"), "pub fn nothing() {}").unwrap();
    for (kind, file, what) in [
        ("lib", "libempty.rlib", "a Rust library (.rlib)"),
        ("staticlib", "libempty.a", "a static library (.a)"),
    ] {
        let source = folder.join("empty.rs");
        rustc(&folder, source.to_str().unwrap(), &["--crate-type", kind]);
        fails(file, &[what, "`cargo memscope futures --lib`", "name a program that has it"]);
    }
    let source = folder.join("empty.rs");
    rustc(&folder, source.to_str().unwrap(), &["--crate-type=lib", "--emit=obj,metadata"]);
    fails("empty.o", &["is an object file", "name the program"]);
    fails("libempty.rmeta", &["is the metadata of a crate"]);
    let flags = ["--crate-type=cdylib", "-Cstrip=symbols"];
    rustc(&folder, source.to_str().unwrap(), &flags);
    fails("libempty.so", &["libempty.so, a shared library, is stripped", "debug = 2"]);
}

#[test]
fn a_shared_library_with_debug_information_is_read() {
    let folder = folder("shared");
    let text =
        "#[unsafe(no_mangle)] pub extern \"C\" fn size() -> usize { size_of_val(&work([1; 999])) }
        pub async fn work(x: [u8; 999]) -> u8 { std::future::ready(()).await; x[1] }";
    fs::write(folder.join("shared.rs"), text).unwrap();
    let source = folder.join("shared.rs");
    rustc(&folder, source.to_str().unwrap(), &["--crate-type=cdylib", "-g"]);
    run(&folder, &["futures", "libshared.so"]).has(&["B  shared::work"]);
}

#[test]
fn a_filter_that_leaves_nothing_to_judge_is_an_error() {
    let folder = folder("judged");
    rustc(&folder, "impls.rs", &["-g"]);
    for json in [&[][..], &["--json"]] {
        let judged = |filter: &str| {
            let rest = ["futures", "impls", "--max-size", "1MiB", "--filter", filter];
            run(&folder, &[&rest, json].concat())
        };
        assert_eq!(judged("Shop").code, 0);
        let nothing = judged("no such future");
        assert_eq!(nothing.code, 2, "{}", nothing.error);
        nothing
            .has(&["`--max-size` has judged nothing: `--filter no such future` matches none of "]);
        let over =
            run(&folder, &["futures", "impls", "--max-size", "16", "--filter", "Shop::open"]);
        assert_eq!(over.code, 1);
    }
    // Without a limit it is an answer.
    let listed = run(&folder, &["futures", "impls", "--filter", "no such future"]);
    assert_eq!(listed.code, 0);
    listed.has(&["0 of 0 that match"]);
    let diff = ["futures", "--diff", "impls", "impls", "--max-size", "1MiB", "--filter", "nothing"];
    assert_eq!(run(&folder, &diff).code, 2);
}
