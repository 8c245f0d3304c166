//! Where a report is written: files of all modes and owners, links, devices, pipes; and what stays
//! as it was.

use std::{
    ffi::CString,
    fs::{self, File, Permissions},
    io::Read,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, chown, lchown, symlink},
        net::UnixListener,
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use memscope_tests::programs::{Folder, Running, is_ignored};

use super::{OLD, error, program, read, shows_what_was_left};

const ANOTHER_USER: u32 = 12_345;
const NO_USER: u32 = 65_534;

/// Whether the tests may do what needs root; otherwise that is printed.
fn is_root() -> bool {
    // SAFETY: returns a number.
    let is_root = unsafe { libc::geteuid() } == 0;
    if !is_root {
        eprintln!("skipped: it takes root to act as another user");
    }
    is_root
}

/// The program that writes reports, where every user may start it.
fn program_for_all(folder: &Folder) -> PathBuf {
    let path = folder.file("program");
    // By another process: a file that is open for writing, here or in a child, cannot be
    // started.
    let mut copy = Command::new("cp");
    copy.arg(env!("CARGO_BIN_EXE_report_child")).arg(&path);
    assert!(copy.status().expect("it starts").success());
    fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("ours");
    path
}

/// The same command for this user.
fn as_user(path: &Path, how: &str, user: u32) -> Command {
    let mut command = Command::new(path);
    command.arg(how).uid(user).gid(user);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").mode() & 0o7777
}

fn make_folder(path: &Path, mode: u32) {
    fs::create_dir(path).expect("a folder");
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("ours");
}

fn make_node(path: &Path, kind: libc::mode_t, device: libc::dev_t) -> bool {
    let path = CString::new(path.as_os_str().as_bytes()).expect("no zero");
    // SAFETY: a C string.
    unsafe { libc::mknod(path.as_ptr(), kind | 0o666, device) == 0 }
}

#[cfg(target_os = "linux")]
#[test]
fn a_descriptor_is_written_on_from_where_it_stands() {
    for path in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "/proc/thread-self/fd/1"] {
        for is_appended in [false, true] {
            let folder = Folder::new();
            let log = folder.file("log");
            fs::write(&log, "the line before\n").expect("a file");
            let mut options = File::options();
            let mut stdout = options.write(true).append(is_appended).open(&log).expect("there");
            if !is_appended {
                std::io::Seek::seek(&mut stdout, std::io::SeekFrom::End(0)).expect("a file");
            }
            let mut command = program("talk");
            let output = command.env("MEMSCOPE_REPORT", path).stdout(stdout).output();
            assert_eq!(error(&output.expect("it starts")), "", "{path}");
            let log = fs::read_to_string(&log).expect("text");
            assert!(log.starts_with("the line before\nline one\nlive memory: "), "{path}: {log}");
            let (_, rest) = log.split_once("\nline two\nlive memory: ").expect("the exit's report");
            assert!(rest.contains("left behind"), "{path}: {log}");
            assert_eq!(folder.names(), ["log"]);
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn standard_error_takes_the_report_where_it_is_a_pipe() {
    let output = program("return").env("MEMSCOPE_REPORT", "/dev/stderr").output();
    let said = error(&output.expect("it starts"));
    assert!(said.starts_with("live memory: ") && said.contains("left behind"), "{said}");
}

#[test]
fn a_new_report_is_for_its_owner_alone_and_an_old_one_keeps_its_mode_and_owner() {
    for umask in ["000", "022", "077"] {
        let folder = Folder::new();
        let path = folder.file("report.json");
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("umask {umask}; exec \"$0\" return")]);
        shell.arg(env!("CARGO_BIN_EXE_report_child")).env("MEMSCOPE_REPORT", &path);
        assert!(shell.status().expect("it starts").success());
        shows_what_was_left(&read(&path));
        assert_eq!(mode(&path), 0o600, "{umask}");
    }
    for kept in [0o600, 0o640, 0o666, 0o604, 0o755] {
        for old in [OLD, ""] {
            let folder = Folder::new();
            let path = folder.file("report.json");
            fs::write(&path, old).expect("a file");
            fs::set_permissions(&path, Permissions::from_mode(kept)).expect("ours");
            let is_of_another = is_root() && chown(&path, Some(ANOTHER_USER), Some(4_321)).is_ok();
            let output = program("return").env("MEMSCOPE_REPORT", &path).output();
            assert_eq!(error(&output.expect("it starts")), "");
            shows_what_was_left(&read(&path));
            assert_eq!(mode(&path), kept, "{kept:o}");
            let there = fs::metadata(&path).expect("there");
            assert!(!is_of_another || (there.uid(), there.gid()) == (ANOTHER_USER, 4_321));
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_access_control_list_stays() {
    let folder = Folder::new();
    let path = folder.file("report.json");
    fs::write(&path, OLD).expect("a file");
    // Version 2; each entry: tag, rights, id. The owner, user 12345, the group, the mask, the
    // others.
    let entries: [(u16, u16, u32); 5] = [
        (1, 6, u32::MAX),
        (2, 4, ANOTHER_USER),
        (4, 0, u32::MAX),
        (16, 4, u32::MAX),
        (32, 0, u32::MAX),
    ];
    let mut list = 2u32.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        list.extend(tag.to_le_bytes());
        list.extend(rights.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    let name = c"system.posix_acl_access";
    let c_path = CString::new(path.as_os_str().as_bytes()).expect("no zero");
    let (value, length) = (list.as_ptr().cast(), list.len());
    // SAFETY: two C strings, and a value of this length.
    if unsafe { libc::setxattr(c_path.as_ptr(), name.as_ptr(), value, length, 0) } != 0 {
        eprintln!("skipped: no access control lists on this file system");
        return;
    }
    let before = fs::metadata(&path).expect("there");
    let output = program("return").env("MEMSCOPE_REPORT", &path).output();
    assert_eq!(error(&output.expect("it starts")), "");
    shows_what_was_left(&read(&path));
    let mut now = vec![0u8; 256];
    let (value, room) = (now.as_mut_ptr().cast(), now.len());
    // SAFETY: two C strings, and a buffer of this length.
    let length = unsafe { libc::getxattr(c_path.as_ptr(), name.as_ptr(), value, room) };
    now.truncate(usize::try_from(length).expect("a list"));
    assert_eq!(now, list);
    let after = fs::metadata(&path).expect("there");
    assert_eq!(mode(&path), 0o640);
    assert_ne!(before.ino(), after.ino(), "it was replaced as a whole");
}

#[test]
fn links_stay_and_what_they_lead_to_is_written() {
    for old in [None, Some(OLD)] {
        let folder = Folder::new();
        fs::create_dir(folder.file("sub")).expect("a folder");
        let file = folder.file("sub/file.json");
        if let Some(old) = old {
            fs::write(&file, old).expect("a file");
        }
        // A chain: two relative ones, one of them by way of a linked folder, and an absolute one.
        symlink("sub", folder.file("way")).expect("a link");
        symlink("../way/../sub/file.json", folder.file("sub/third")).expect("a link");
        symlink(folder.file("sub/third"), folder.file("second")).expect("a link");
        symlink("./second", folder.file("first.json")).expect("a link");
        let link = folder.file("first.json");
        let output = program("return").env("MEMSCOPE_REPORT", &link).output();
        assert_eq!(error(&output.expect("it starts")), "");
        for name in ["first.json", "second", "sub/third"] {
            assert!(fs::symlink_metadata(folder.file(name)).expect("there").is_symlink(), "{name}");
        }
        assert!(fs::symlink_metadata(&file).expect("there").is_file());
        shows_what_was_left(&read(&file));
        assert_eq!(folder.names(), ["first.json", "second", "sub", "way"]);
    }
}

#[test]
fn a_second_name_of_a_report_shows_the_new_one() {
    let long = format!("{OLD}{}", "x".repeat(1 << 20));
    for old in [OLD, &long] {
        let folder = Folder::new();
        let [path, other] = ["report.json", "other.json"].map(|name| folder.file(name));
        fs::write(&path, old).expect("a file");
        fs::hard_link(&path, &other).expect("a second name");
        let output = program("return").env("MEMSCOPE_REPORT", &path).output();
        assert_eq!(error(&output.expect("it starts")), "");
        let [first, second] = [&path, &other].map(|path| fs::metadata(path).expect("there").ino());
        assert_eq!(first, second);
        shows_what_was_left(&read(&other));
        assert_eq!(folder.names(), ["other.json", "report.json"]);
    }
}

#[test]
fn links_that_lead_nowhere_are_said() {
    let folder = Folder::new();
    let paths = ["circle.json", "back.json", "missing.json", "behind.json"];
    let [circle, back, missing, behind] = paths.map(|name| folder.file(name));
    symlink(&back, &circle).expect("a link");
    symlink(&circle, &back).expect("a link");
    symlink("no such folder/report.json", &missing).expect("a link");
    symlink("circle.json/report.json", &behind).expect("a link");
    for (path, expected) in
        [(&circle, "lead in a circle"), (&missing, "No such file"), (&behind, "lead in a circle")]
    {
        let output = program("return").env("MEMSCOPE_REPORT", path).output().expect("it starts");
        assert!(error(&output).contains(expected), "{}", error(&output));
        assert_eq!(error(&output).lines().count(), 1);
        assert!(fs::symlink_metadata(path).expect("there").is_symlink());
    }
    assert_eq!(folder.names().len(), 4);
}

#[test]
fn a_link_of_another_user_is_followed_only_where_no_others_can_write() {
    if !is_root() {
        return;
    }
    let folder = Folder::new();
    let program = program_for_all(&folder);
    // The folder's mode, its owner, the link's owner, whether it is followed.
    for (number, (mode, owner, of_link, is_followed)) in [
        (0o1777, 0, ANOTHER_USER, false),
        (0o777, 0, ANOTHER_USER, false),
        (0o775, 0, ANOTHER_USER, false),
        (0o755, 0, ANOTHER_USER, true),
        (0o1777, 0, 0, true),
        (0o1777, 0, NO_USER, true),
        (0o1777, ANOTHER_USER, ANOTHER_USER, true),
        (0o1777, ANOTHER_USER, 0, false),
    ]
    .into_iter()
    .enumerate()
    {
        let place = folder.file(&format!("place-{number}"));
        make_folder(&place, 0o755);
        chown(&place, Some(owner), None).expect("root");
        fs::set_permissions(&place, Permissions::from_mode(mode)).expect("root");
        let goal = folder.file(&format!("goal-{number}"));
        make_folder(&goal, 0o777);
        for (link, to, path) in [
            ("link.json", goal.join("report.json"), "link.json"),
            ("way", goal.clone(), "way/report.json"),
        ] {
            symlink(&to, place.join(link)).expect("a link");
            lchown(place.join(link), Some(of_link), None).expect("root");
            let mut command = as_user(&program, "return", NO_USER);
            let output = command.env("MEMSCOPE_REPORT", place.join(path)).output();
            let said = error(&output.expect("it starts"));
            let report = goal.join("report.json");
            assert_eq!(report.exists(), is_followed, "{number} {link}: {said}");
            assert_eq!(said.is_empty(), is_followed, "{number} {link}: {said}");
            let reason = format!("is a link that user {of_link} put into a folder that others");
            assert!(is_followed || said.contains(&reason), "{said}");
            drop(fs::remove_file(report));
        }
    }
}

#[test]
fn a_file_of_another_user_in_a_folder_for_all_is_left_alone() {
    if !is_root() {
        return;
    }
    let folder = Folder::new();
    let program = program_for_all(&folder);
    let place = folder.file("for-all");
    make_folder(&place, 0o1777);
    let path = place.join("report.json");
    fs::write(&path, OLD).expect("a file");
    chown(&path, Some(ANOTHER_USER), None).expect("root");
    fs::set_permissions(&path, Permissions::from_mode(0o666)).expect("root");
    let mut command = as_user(&program, "return", NO_USER);
    let output = command.env("MEMSCOPE_REPORT", &path).output().expect("it starts");
    assert!(error(&output).contains("another user put it into a folder for all"));
    assert_eq!(fs::read_to_string(&path).expect("there"), OLD);
    shows_what_was_left(&read(&place.join("report.2.json")));

    // So is a pipe, which that user would read.
    let path = place.join("pipe.json");
    assert!(make_node(&path, libc::S_IFIFO, 0));
    chown(&path, Some(ANOTHER_USER), None).expect("root");
    fs::set_permissions(&path, Permissions::from_mode(0o666)).expect("root");
    let mut command = as_user(&program, "return", NO_USER);
    let output = command.env("MEMSCOPE_REPORT", &path).output().expect("it starts");
    assert!(error(&output).contains("a pipe that another user put"), "{}", error(&output));
}

#[test]
fn a_report_in_a_folder_that_may_not_be_written_is_written_in_place() {
    if !is_root() {
        return;
    }
    let folder = Folder::new();
    let program = program_for_all(&folder);
    let place = folder.file("closed");
    make_folder(&place, 0o755);
    let path = place.join("report.json");
    fs::write(&path, OLD).expect("a file");
    chown(&path, Some(NO_USER), None).expect("root");
    let before = fs::metadata(&path).expect("there").ino();
    let run = |path: &Path| {
        let mut command = as_user(&program, "return", NO_USER);
        error(&command.env("MEMSCOPE_REPORT", path).output().expect("it starts"))
    };
    assert_eq!(run(&path), "");
    shows_what_was_left(&read(&path));
    assert_eq!(fs::metadata(&path).expect("there").ino(), before);
    assert!(run(&place.join("new.json")).contains("Permission denied"));

    // One that may be written by its group alone keeps its owner too.
    let open = folder.file("open");
    make_folder(&open, 0o777);
    let path = open.join("report.json");
    fs::write(&path, OLD).expect("a file");
    chown(&path, Some(ANOTHER_USER), Some(NO_USER)).expect("root");
    fs::set_permissions(&path, Permissions::from_mode(0o660)).expect("root");
    assert_eq!(run(&path), "");
    shows_what_was_left(&read(&path));
    assert_eq!(fs::metadata(&path).expect("there").uid(), ANOTHER_USER);
    assert_eq!(mode(&path), 0o660);

    // What may not be written is not replaced, though the folder would allow it.
    fs::write(&path, OLD).expect("root");
    fs::set_permissions(&path, Permissions::from_mode(0o440)).expect("root");
    assert!(run(&path).contains("write-protected"));
    assert_eq!(fs::read_to_string(&path).expect("there"), OLD);
    shows_what_was_left(&read(&open.join("report.2.json")));
}

#[test]
fn a_pipe_gets_the_report_if_a_process_reads_it_and_keeps_no_program_from_its_end() {
    let folder = Folder::new();
    let path = folder.file("pipe.json");
    assert!(make_node(&path, libc::S_IFIFO, 0));
    let output = program("exit").env("MEMSCOPE_REPORT", &path).output().expect("it starts");
    assert_eq!(output.status.code(), Some(3));
    assert!(error(&output).contains("no process reads this pipe"), "{}", error(&output));

    // With both ends open here it is not waited for, and may be read later.
    let mut reader = File::options().read(true).write(true).open(&path).expect("a pipe");
    let mut command = program("exit");
    let child = command.env("MEMSCOPE_REPORT", &path).spawn().expect("it starts");
    let mut text = vec![0; 1];
    reader.read_exact(&mut text).expect("a report");
    while !text.ends_with(b"\n") {
        let mut part = [0; 4_096];
        let count = reader.read(&mut part).expect("more of it");
        text.extend(&part[..count]);
    }
    let output = child.wait_with_output().expect("its end");
    assert_eq!(error(&output), "");
    let text = String::from_utf8(text).expect("text");
    let report = memscope_rs::async_memory::MemorySnapshot::from_json(&text).expect("whole");
    shows_what_was_left(&report);

    // A reader that does not read: the pipe is full after a while.
    let mut command = program("wait");
    command.env("MEMSCOPE_REPORT", &path).env("MEMSCOPE_REPORT_EVERY", "100ms");
    let mut running = Running::start(&mut command);
    let stderr = running.child.stderr.take().expect("a pipe");
    let mut said = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stderr), &mut said).expect("a line");
    assert!(said.contains("its reader does not read"), "{said}");
    running.child.kill().expect("it lives");
    running.end();
    assert_eq!(folder.names(), ["pipe.json"]);
}

#[test]
fn what_cannot_take_a_report_stays_and_is_said() {
    let folder = Folder::new();
    let socket = folder.file("socket.json");
    let _listener = UnixListener::bind(&socket).expect("a socket");
    let inner = folder.file("folder.json");
    fs::create_dir(&inner).expect("a folder");
    let mut cases = vec![
        (socket, "it is a socket"),
        (inner.clone(), "it is a folder"),
        (inner.join(".."), "it is a folder"),
        (PathBuf::from("/"), "it is a folder"),
        (PathBuf::from("/dev/no-such-device.json"), "there is no such device"),
    ];
    #[cfg(target_os = "linux")]
    cases.extend([
        (PathBuf::from("/proc/self/fd/777"), "No such file"),
        (PathBuf::from("/proc/self/exe"), "cannot write the report"),
    ]);
    let block = folder.file("block.json");
    // A number that no disk has here.
    if is_root() && make_node(&block, libc::S_IFBLK, libc::makedev(7, 250)) {
        cases.push((block, "it is a block device"));
    }
    let before = folder.names();
    for (path, expected) in cases {
        let output = program("exit").env("MEMSCOPE_REPORT", &path).output().expect("it starts");
        assert_eq!(output.status.code(), Some(3), "{path:?}");
        assert!(error(&output).contains(expected), "{path:?}: {}", error(&output));
        assert!(error(&output).lines().count() <= 2, "{}", error(&output));
    }
    assert_eq!(folder.names(), before);
}

#[test]
fn devices_take_a_report_and_stay_devices() {
    let output = program("return").env("MEMSCOPE_REPORT", "/dev/null").output();
    assert_eq!(error(&output.expect("it starts")), "");
    let there = fs::symlink_metadata("/dev/null").expect("there");
    assert!(!there.is_file() && there.mode() & 0o666 == 0o666, "{there:?}");
}

/// On a file system of this test's own: of 64 KiB and full, then read-only.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full_or_read_only_keeps_what_was_there() {
    if !is_root() {
        return;
    }
    let folder = Folder::new();
    let script = r#"
        set -e
        mount -t tmpfs -o size=64k,mode=755 none "$1" 2>/dev/null || { echo no mount; exit 0; }
        cd "$1"
        printf '%s' "$OLD" > one.json
        printf '%s' "$OLD" > two.json; ln two.json twin.json
        printf '%s' "$OLD" > ../outside.json
        dd if=/dev/zero of=rest bs=1k 2>/dev/null || true
        for name in one two new; do MEMSCOPE_REPORT=$name.json "$0" settings > /dev/null; done
        rm rest; mount -o remount,ro none "$1"
        for name in one two new; do MEMSCOPE_REPORT=$name.json "$0" settings > /dev/null; done
        ls -A; cat one.json two.json twin.json
    "#;
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", script, env!("CARGO_BIN_EXE_report_child")])
        .arg(folder.path())
        .env("OLD", OLD)
        .output();
    let Ok(output) = output else { return eprintln!("skipped: no `unshare`") };
    let shown = String::from_utf8_lossy(&output.stdout);
    if shown.contains("no mount") || error(&output).contains("unshare") {
        return eprintln!("skipped: nothing can be mounted here");
    }
    assert_eq!(
        shown,
        format!("one.json\ntwin.json\ntwo.json\n{OLD}{OLD}{OLD}"),
        "{}",
        error(&output)
    );
    let said = error(&output);
    assert_eq!(said.matches("No space left on device").count(), 3, "{said}");
    assert_eq!(said.matches("Read-only file system").count(), 3, "{said}");
}

/// As containers have it, where one file comes from outside.
#[cfg(target_os = "linux")]
#[test]
fn a_report_that_is_mounted_by_itself_is_written_in_place() {
    if !is_root() {
        return;
    }
    let folder = Folder::new();
    let [path, outside] = ["report.json", "outside.json"].map(|name| folder.file(name));
    for path in [&path, &outside] {
        fs::write(path, OLD).expect("a file");
    }
    let script = r#"mount --bind "$2" "$1" || { echo no mount; exit; }; exec "$0" return"#;
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", script, env!("CARGO_BIN_EXE_report_child")])
        .args([&path, &outside])
        .env("MEMSCOPE_REPORT", &path)
        .output();
    let Ok(output) = output else { return eprintln!("skipped: no `unshare`") };
    if !output.stdout.is_empty() || error(&output).contains("unshare") {
        return eprintln!("skipped: nothing can be mounted here");
    }
    assert_eq!(error(&output), "");
    shows_what_was_left(&read(&outside));
    assert_eq!(fs::read_to_string(&path).expect("what is below the mount"), OLD);
    assert_eq!(folder.names(), ["outside.json", "report.json"]);
}

#[test]
fn a_process_that_is_killed_while_it_writes_leaves_no_file() {
    if is_ignored(libc::SIGTERM) {
        return;
    }
    let folder = Folder::new();
    let path = folder.file("report.json");
    for number in 0..40 {
        let mut running = Running::start(program("wait").env("MEMSCOPE_REPORT", &path));
        running.signal(libc::SIGTERM);
        thread::sleep(Duration::from_micros(number % 20 * 400));
        running.signal(libc::SIGTERM);
        running.end();
    }
    assert!(program("return").env("MEMSCOPE_REPORT", &path).status().expect("it starts").success());
    assert_eq!(folder.names(), ["report.json"]);
}

#[test]
fn what_a_dead_process_left_is_removed_and_nothing_else() {
    let folder = Folder::new();
    let make = |name: &str| {
        fs::write(folder.file(name), "half a rep").expect("a file");
        folder.file(name)
    };
    for name in [".memscope-1-0.tmp", ".memscope-4194304-63.tmp"] {
        make(name);
    }
    let mut kept = vec!["notes.tmp", ".memscope-notes.tmp", ".memscope-1-0.tmp.bak", "target"];
    for name in &kept {
        make(name);
    }
    // Of a process that lives, wherever it does; two names; a link.
    let of_another = File::open(make(".memscope-1-1.tmp")).expect("there");
    of_another.lock().expect("a file system with locks");
    fs::hard_link(make(".memscope-1-2.tmp"), folder.file(".memscope-1-3.tmp")).expect("a name");
    symlink("target", folder.file(".memscope-1-4.tmp")).expect("a link");
    kept.extend([1, 2, 3, 4].map(|number| match number {
        1 => ".memscope-1-1.tmp",
        2 => ".memscope-1-2.tmp",
        3 => ".memscope-1-3.tmp",
        _ => ".memscope-1-4.tmp",
    }));
    if is_root() {
        lchown(make(".memscope-1-5.tmp"), Some(ANOTHER_USER), None).expect("root");
        kept.push(".memscope-1-5.tmp");
    }
    let path = folder.file("report.json");
    assert!(program("return").env("MEMSCOPE_REPORT", &path).status().expect("it starts").success());
    kept.push("report.json");
    kept.sort_unstable();
    assert_eq!(folder.names(), kept);
    shows_what_was_left(&read(&path));
}

#[test]
fn a_program_with_more_rights_than_its_caller_reads_no_variable() {
    if !is_root() {
        return;
    }
    let folder = Folder::new();
    let program = program_for_all(&folder);
    let place = folder.file("theirs");
    make_folder(&place, 0o777);
    for (owner, mode) in [(ANOTHER_USER, 0o4755), (0, 0o4755), (0, 0o2755)] {
        chown(&program, Some(owner), Some(owner)).expect("root");
        fs::set_permissions(&program, Permissions::from_mode(mode)).expect("root");
        let output = as_user(&program, "ids", NO_USER).output().expect("it starts");
        let ids = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if mode == 0o4755 && ids != format!("{NO_USER} {owner}") {
            return eprintln!("skipped: the file system does not know the set-user-id bit");
        }
        assert_eq!(error(&output), "", "nothing was asked for");
        let mut command = as_user(&program, "settings", NO_USER);
        command.env("MEMSCOPE_REPORT", place.join("report.json"));
        command.env("MEMSCOPE_REPORT_EVERY", "100ms").env("MEMSCOPE_ENDED_TASKS", "20");
        command.env("MEMSCOPE_NO_SUCH", "x");
        let output = command.output().expect("it starts");
        assert_eq!(fs::read_dir(&place).expect("a folder").count(), 0, "{owner}");
        let said = error(&output);
        assert!(said.contains("no variable MEMSCOPE_* is read"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "51 rows, 51 timed");
    }
    // A link of the caller is not followed either, even in a folder of the caller's.
    chown(&program, Some(0), Some(0)).expect("root");
    fs::set_permissions(&program, Permissions::from_mode(0o4755)).expect("root");
    chown(&place, Some(NO_USER), None).expect("root");
    let (link, goal) = (place.join("link.json"), folder.file("goal.json"));
    symlink(&goal, &link).expect("a link");
    lchown(&link, Some(NO_USER), None).expect("root");
    let output = as_user(&program, "guard of another folder", NO_USER).arg(&link).output();
    let said = error(&output.expect("it starts"));
    assert!(said.contains("is a link that user 65534 put") && !goal.exists(), "{said}");

    // Without the bit they are read.
    fs::set_permissions(&program, Permissions::from_mode(0o755)).expect("root");
    let mut command = as_user(&program, "return", NO_USER);
    let output = command.env("MEMSCOPE_REPORT", place.join("report.json")).output();
    assert_eq!(error(&output.expect("it starts")), "");
    shows_what_was_left(&read(&place.join("report.json")));
}

#[test]
fn a_path_cannot_steer_the_terminal() {
    let folder = Folder::new();
    let bad = folder.file("a\u{1b}[2Jb\nmemscope: forged");
    for path in [bad.join("x.json"), bad.clone(), bad.with_extension("csv")] {
        let output = program("return").env("MEMSCOPE_REPORT", &path).output().expect("it starts");
        let said = error(&output);
        assert!(!said.contains('\u{1b}') && !said.contains("\nmemscope: forged"), "{said}");
        assert!(said.lines().all(|line| line.starts_with("memscope: ")), "{said}");
    }
}
