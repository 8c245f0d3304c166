//! Finds the programs of this user that serve. Each server has a file in the user's runtime folder.
//!
//! `memscope-server` writes the files and documents them (`discovery.rs`). A file counts if it and
//! its folder are this user's, if its process still runs, and if something listens at its address.

use std::io::Write;

use memscope_runtime::__terminal::visible;

use crate::{
    error::Error,
    output::{NAME, PLACE},
};

/// A program that serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) pid: u32,
    pub(super) url: String,
    /// The path of the program's file; empty if it is not known.
    pub(super) path: String,
    pub(super) asks_for_token: bool,
}

/// Prints the programs, one a line.
pub(super) fn print(programs: &[Program]) -> Result<(), Error> {
    let mut out = anstream::stdout().lock();
    let name = |it: &Program| {
        let name = it.path.rsplit('/').next().unwrap_or_default();
        if name.is_empty() { "a program".to_owned() } else { visible(name).to_string() }
    };
    let urls = programs.iter().map(|it| it.url.len()).max().unwrap_or(0);
    for it in programs {
        let token = if it.asks_for_token { "  asks for MEMSCOPE_SERVE_TOKEN" } else { "" };
        let (url, name, pid) = (&it.url, name(it), it.pid);
        writeln!(out, "{url:urls$}  {NAME}{name}{NAME:#}  {PLACE}pid {pid}{token}{PLACE:#}")?;
    }
    out.flush()?;
    if let [first, _, ..] = programs {
        anstream::eprintln!(
            "one of them is shown by its address: cargo memscope top {}",
            first.url
        );
    }
    Ok(())
}

/// Lists the programs of this user that serve, by name and process.
///
/// # Errors
///
/// Returns an error if there are none, which says how a program serves.
pub(super) fn list() -> Result<Vec<Program>, Error> {
    #[cfg(target_os = "linux")]
    let mut programs = linux::programs();
    #[cfg(not(target_os = "linux"))]
    let mut programs: Vec<Program> = Vec::new();
    if programs.is_empty() {
        let where_ = if cfg!(target_os = "linux") {
            "no program of this user serves"
        } else {
            "programs that serve are listed on Linux alone"
        };
        return Err(Error::new(format!(
            "{where_}: start one with memscope's feature `server` and \
             MEMSCOPE_SERVE=127.0.0.1:6071, or name an address or a saved report, as in `cargo memscope top http://127.0.0.1:6071`"
        )));
    }
    programs.sort_by(|a, b| (&a.path, a.pid, &a.url).cmp(&(&b.path, b.pid, &b.url)));
    Ok(programs)
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        env, fs,
        io::Read,
        net::{SocketAddr, TcpStream},
        os::unix::fs::MetadataExt,
        path::{Path, PathBuf},
        time::Duration,
    };

    use serde::Deserialize;

    use super::Program;

    /// The most files of a folder that are read, and the most bytes of one.
    const MOST_FILES: usize = 1_000;
    const MOST_BYTES: u64 = 16 << 10;
    /// How long a program may take to accept a connection.
    const CONNECT: Duration = Duration::from_millis(500);

    /// A file of `memscope-server`.
    #[derive(Debug, Deserialize)]
    struct File {
        memscope_serving: u32,
        pid: u32,
        pid_namespace: String,
        start_ticks: u64,
        url: String,
        #[serde(default)]
        program: String,
        #[serde(default)]
        asks_for_token: bool,
    }

    pub(super) fn programs() -> Vec<Program> {
        let Some(user) = user() else { return Vec::new() };
        let folders = folders(user);
        let files = folders.iter().filter(|it| is_own(it, user)).flat_map(|it| files(it, user));
        let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        let is_here = |it: &File| namespace.to_string_lossy() == it.pid_namespace;
        let files = files.filter(|it| it.memscope_serving == 1 && is_here(it) && is_running(it));
        let mut programs: Vec<Program> = Vec::new();
        for File { pid, url, program, asks_for_token, .. } in files {
            if !programs.iter().any(|it| it.url == url) && is_listening(&url) {
                programs.push(Program { pid, url, path: program, asks_for_token });
            }
        }
        programs
    }

    /// Returns the folders that may have files: that of the environment, and those of services
    /// without a login.
    fn folders(user: u32) -> Vec<PathBuf> {
        let told = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|it| it.is_absolute());
        let usual = PathBuf::from(format!("/run/user/{user}"));
        let mut folders: Vec<PathBuf> =
            told.into_iter().chain([usual]).map(|it| it.join("memscope")).collect();
        folders.push(PathBuf::from(format!("/tmp/memscope-{user}")));
        folders.dedup();
        folders
    }

    /// The user whose rights this process has.
    fn user() -> Option<u32> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|it| it.strip_prefix("Uid:"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }

    /// Whether this is a folder, not a link, that this user alone may change.
    fn is_own(folder: &Path, user: u32) -> bool {
        let about = fs::symlink_metadata(folder);
        about.is_ok_and(|it| it.is_dir() && it.uid() == user && it.mode() & 0o022 == 0)
    }

    fn files(folder: &Path, user: u32) -> Vec<File> {
        let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
        let paths = entries.take(MOST_FILES).filter_map(|it| Some(it.ok()?.path()));
        let paths = paths.filter(|it| it.extension().is_some_and(|it| it == "json"));
        paths.filter_map(|it| file(&it, user)).collect()
    }

    fn file(path: &Path, user: u32) -> Option<File> {
        let about = fs::symlink_metadata(path).ok()?;
        if !about.is_file() || about.uid() != user {
            return None;
        }
        let mut bytes = Vec::new();
        fs::File::open(path).ok()?.take(MOST_BYTES).read_to_end(&mut bytes).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Whether the process is the one that wrote the file, as another process may have its number
    /// now.
    fn is_running(file: &File) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", file.pid)).unwrap_or_default();
        // The program's name stands before the last `)`, and may have any characters.
        let fields = stat.rsplit_once(')').map_or("", |it| it.1);
        let began = fields.split_whitespace().nth(19).and_then(|it| it.parse().ok());
        began == Some(file.start_ticks)
    }

    /// Whether something listens at the address. A process that has become another program by
    /// `exec` is the same process, but its server is gone.
    fn is_listening(url: &str) -> bool {
        let address = url.strip_prefix("http://").and_then(|it| it.parse::<SocketAddr>().ok());
        address.is_some_and(|it| TcpStream::connect_timeout(&it, CONNECT).is_ok())
    }
}
