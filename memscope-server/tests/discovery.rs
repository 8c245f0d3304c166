//! Each server writes a file by which it is found, and removes the file at its end.

use std::{
    fs,
    io::Write,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{environment::Program, support::get};

/// A folder of this test alone, which is removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("memscope-discovery-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("its mode");
        Self(path)
    }

    fn serves(&self, program: &str) -> Program {
        let folder = self.0.to_str().expect("text");
        Program::start(program, &[("MEMSCOPE_SERVE", "127.0.0.1:0"), ("XDG_RUNTIME_DIR", folder)])
    }

    fn files(&self) -> Vec<PathBuf> {
        files(&self.0.join("memscope"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.map(|it| it.expect("an entry").path()).collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("a file").permissions().mode() & 0o777
}

#[test]
fn a_program_has_a_file_as_long_as_it_serves() {
    let folder = Folder::new("serves");
    let mut program = folder.serves("tracked");
    let address = program.address();
    let [file] = &folder.files()[..] else { panic!("{:?}", folder.files()) };
    assert_eq!((mode(file), mode(&folder.0.join("memscope"))), (0o600, 0o700));
    let said: Value = serde_json::from_slice(&fs::read(file).expect("a file")).expect("JSON");
    assert_eq!(said["memscope_serving"], 1);
    assert_eq!(said["pid"], program.child.id());
    assert_eq!(said["url"], format!("http://{address}"));
    assert_eq!(said["asks_for_token"], false);
    let stat = fs::read_to_string(format!("/proc/{}/stat", program.child.id())).expect("it runs");
    assert!(stat.contains(&format!(" {} ", said["start_ticks"])), "{stat}");
    assert_eq!(program.end(), "");
    assert!(folder.files().is_empty(), "{:?}", folder.files());
}

#[test]
fn a_server_that_ends_before_its_program_takes_its_file_along() {
    // This process serves as its environment says.
    let is_mine = |it: &PathBuf| {
        fs::read_to_string(it)
            .is_ok_and(|it| it.contains(&format!("\"pid\":{},", std::process::id())))
    };
    let folders = || {
        let told = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let user = std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").expect("Linux"));
        let usual = PathBuf::from(format!("/run/user/{user}"));
        let mut all: Vec<_> =
            told.into_iter().chain([usual]).map(|it| it.join("memscope")).collect();
        all.push(PathBuf::from(format!("/tmp/memscope-{user}")));
        all.dedup();
        all
    };
    let mine = || folders().iter().flat_map(|it| files(it)).filter(is_mine).count();
    let server = memscope_server::serve("127.0.0.1:0").expect("a server");
    let other = memscope_server::builder().token("t").serve("127.0.0.1:0").expect("a server");
    assert_eq!(mine(), 2);
    server.shutdown();
    assert_eq!(mine(), 1);
    drop(other);
    assert_eq!(mine(), 0);
}

#[test]
fn no_link_is_followed_and_no_file_replaced() {
    let (folder, victim) = (Folder::new("link"), Folder::new("victim"));
    symlink(&victim.0, folder.0.join("memscope")).expect("a link");
    let mut program = folder.serves("init");
    assert_eq!(get(program.address(), "/health").status, 200);
    assert!(files(&victim.0).is_empty());
    assert_eq!(program.end(), "");
    fs::remove_file(folder.0.join("memscope")).expect("the link");
    fs::write(folder.0.join("memscope"), "mine").expect("a file");
    let mut program = folder.serves("init");
    assert_eq!(get(program.address(), "/health").status, 200);
    assert_eq!(program.end(), "", "nothing is said");
    assert_eq!(fs::read_to_string(folder.0.join("memscope")).expect("a file"), "mine");
}

#[test]
fn a_folder_that_others_may_change_gets_no_file() {
    let folder = Folder::new("shared");
    let inside = folder.0.join("memscope");
    fs::create_dir(&inside).expect("a folder");
    fs::set_permissions(&inside, fs::Permissions::from_mode(0o777)).expect("its mode");
    let mut program = folder.serves("init");
    program.address();
    assert!(files(&inside).is_empty());
    assert_eq!(program.end(), "");
}

#[test]
fn what_a_killed_program_left_goes_with_the_next_and_other_files_stay() {
    let folder = Folder::new("killed");
    let mut killed = folder.serves("init");
    killed.address();
    killed.child.kill().expect("a program");
    killed.child.wait().expect("its end");
    let [left] = &folder.files()[..] else { panic!("{:?}", folder.files()) };
    let other = folder.0.join("memscope/notes.json");
    fs::write(&other, "{\"memscope_serving\":2}").expect("a file");
    let mut program = folder.serves("init");
    program.address();
    assert!(!left.exists() && other.exists());
    assert_eq!(folder.files().len(), 2);
    assert_eq!(program.end(), "");
    assert_eq!(folder.files(), [other]);
}

#[test]
fn a_child_by_fork_keeps_the_file_of_its_parent() {
    let folder = Folder::new("forks");
    let mut program = folder.serves("forks");
    program.address();
    let input = program.child.stdin.as_mut().expect("a pipe");
    input.write_all(b"\n").expect("written");
    assert!(program.line().contains("the child has ended"));
    assert_eq!(folder.files().len(), 1);
    assert_eq!(program.end(), "");
    assert!(folder.files().is_empty());
}
