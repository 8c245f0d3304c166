//! Discovery: a file for each server of a process, by which `cargo memscope top` finds it.
//!
//! The files are in `$XDG_RUNTIME_DIR/memscope` or, where that is not this user's own, in
//! `/run/user/UID/memscope` or `/tmp/memscope-UID`. The folder has mode 0700 and belongs to the
//! user, or no file is written. A file is one JSON object:
//!
//! | field | meaning |
//! |---|---|
//! | `memscope_serving` | 1: the version of the format |
//! | `pid`, `pid_namespace` | the process, and where that number means it |
//! | `start_ticks` | when it started, as in `/proc/PID/stat`: another process may get its number |
//! | `url` | where it serves, such as `http://127.0.0.1:6071` |
//! | `program` | the path of its file |
//! | `asks_for_token` | whether a request must bring a token, which is in no file |
//!
//! Errors here are not reported, as a program serves as well without its file. No link is followed,
//! and no file is replaced: each name is new, and contains the process and its start. A file is
//! removed when its server ends or its process exits. The files of a killed process are removed
//! when another process serves. A child by `fork` removes no file of its parent. A process that
//! becomes another program by `exec` leaves its file, and a reader finds that nothing listens
//! there.

use std::{
    env,
    fs::{self, DirBuilder, OpenOptions},
    io::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use memscope_runtime::__server::own;
use serde_json::{Value, json};

/// The most files of others that are looked at.
const MOST_OTHERS: usize = 64;
/// The most bytes of a file that is looked at.
const MOST_BYTES: u64 = 16 << 10;

/// The files of this process, until its end.
static FILES: Mutex<Vec<Announcement>> = Mutex::new(Vec::new());

/// The file of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Announcement {
    path: PathBuf,
    /// The process that has written it. A child by `fork` has a copy of its parent's entry.
    pid: u32,
}

impl Announcement {
    /// Writes the file of a server at this address. Returns `None` if there is no place for it.
    /// Must be called inside `own`.
    pub(crate) fn write(address: SocketAddr, asks_for_token: bool) -> Option<Self> {
        static NUMBERS: AtomicU32 = AtomicU32::new(0);
        let folder = folder(user()?)?;
        let (pid, start_ticks, pid_namespace) = (process::id(), start_ticks("self")?, namespace());
        remove_stale(&folder, &pid_namespace);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let announcement =
            Self { path: folder.join(format!("{pid}-{start_ticks}-{number}.json")), pid };
        let program = env::current_exe().unwrap_or_default();
        let text = json!({
            "memscope_serving": 1,
            "pid": pid,
            "pid_namespace": pid_namespace,
            "start_ticks": start_ticks,
            "url": format!("http://{}", reachable(address)),
            "program": program.to_string_lossy(),
            "asks_for_token": asks_for_token,
        });
        let file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&announcement.path);
        if file.ok()?.write_all(text.to_string().as_bytes()).is_err() {
            announcement.remove();
            return None;
        }
        let mut files = FILES.lock().ok()?;
        files.push(announcement.clone());
        Some(announcement)
    }

    /// Removes the file, at the end of its server. Must be called inside `own`.
    pub(crate) fn end(self) {
        if let Ok(mut files) = FILES.lock() {
            files.retain(|it| *it != self);
        }
        self.remove();
    }

    fn remove(&self) {
        if self.pid == process::id() {
            // An error means that the file or its folder is gone.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Where a client of this host reaches the server.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, address.port())
}

/// The user whose rights this process has.
fn user() -> Option<u32> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|it| it.strip_prefix("Uid:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// When a process started, in ticks since the system did.
fn start_ticks(pid: &str) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name stands before the last `)`, and may have any characters.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// The namespace in which the numbers of processes mean the same as here.
fn namespace() -> String {
    fs::read_link("/proc/self/ns/pid").unwrap_or_default().to_string_lossy().into_owned()
}

/// The user's folder for these files, which is made if it is not there.
fn folder(user: u32) -> Option<PathBuf> {
    let told = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|it| it.is_absolute());
    let usual = PathBuf::from(format!("/run/user/{user}"));
    let is_own = |it: &PathBuf| {
        fs::metadata(it).is_ok_and(|it| it.is_dir() && it.uid() == user && it.mode() & 0o022 == 0)
    };
    let own = told.into_iter().chain([usual]).filter(is_own).map(|it| it.join("memscope"));
    let mut all = own.chain([PathBuf::from(format!("/tmp/memscope-{user}"))]);
    all.find(|it| is_private(it, user))
}

/// Makes a folder that this user alone can open. Returns whether it is such a folder: no link, and
/// no other user's.
fn is_private(folder: &Path, user: u32) -> bool {
    // An error means that the folder is there already, or cannot be made.
    let _ = DirBuilder::new().mode(0o700).create(folder);
    let about = fs::symlink_metadata(folder);
    about.is_ok_and(|it| it.is_dir() && it.uid() == user && it.mode() & 0o777 == 0o700)
}

/// Removes files of processes that have ended without removing them.
fn remove_stale(folder: &Path, namespace: &str) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.take(MOST_OTHERS).flatten() {
        let path = entry.path();
        if is_stale(&path, namespace) == Some(true) {
            // An error means that another process has removed the file.
            let _ = fs::remove_file(path);
        }
    }
}

/// Whether a file's process has ended. Returns `None` if that is not known, or if it is another
/// kind of file.
fn is_stale(path: &Path, namespace: &str) -> Option<bool> {
    let about = fs::symlink_metadata(path).ok()?;
    if !about.is_file() || about.len() > MOST_BYTES {
        return None;
    }
    let file: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    if file.get("memscope_serving")? != 1 || file.get("pid_namespace")? != namespace {
        return None;
    }
    let (pid, start) = (file.get("pid")?.as_u64()?, file.get("start_ticks")?.as_u64()?);
    Some(start_ticks(&pid.to_string()) != Some(start))
}

/// Removes the files of this process, at its exit.
extern "C" fn at_exit() {
    own(|| {
        // A thread that holds the lock while the process exits keeps its files: readers see that
        // their process has ended.
        let Ok(mut files) = FILES.try_lock() else { return };
        for file in files.drain(..) {
            file.remove();
        }
    });
}

// The loader calls these functions at exit, in reverse.
memscope_runtime::__before_main!(".fini_array", at_exit);
