//! The machine that a measurement was made on.

use std::{fs, process::Command, thread};

/// The processor, the C library and the compiler, in a line.
pub fn description() -> String {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model.trim());
    format!("{model}, {cores} cores, {}{}", libc_version(), rust_version())
}

fn libc_version() -> String {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: the function may be called at any time.
        let version = unsafe { libc::gnu_get_libc_version() };
        // SAFETY: the function returns a static string with a zero at its end.
        let version = unsafe { std::ffi::CStr::from_ptr(version) };
        format!("glibc {}, ", version.to_string_lossy())
    }
    #[cfg(not(target_env = "gnu"))]
    String::new()
}

fn rust_version() -> String {
    let output = Command::new("rustc").arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let version = text.unwrap_or_default();
    let version = version.split_whitespace().nth(1).unwrap_or("of an unknown version");
    format!("Rust {version}")
}

/// How busy the machine has been over the last minute, by everything that runs on it.
pub fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split_whitespace().next().unwrap_or("?").to_owned()
}
