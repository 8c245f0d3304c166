//! Reports that a process leaves before its limit of memory ends it.
#![cfg(target_os = "linux")]
#![expect(clippy::print_stderr, reason = "a line says why a test does not run")]

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
};

use memscope_rs::async_memory::{LimitSource, MemorySnapshot, SiteProfile};
use memscope_tests::programs::{Folder, Running, program};

const LIMIT: u64 = 64 << 20;

/// A control group of version 1 with that limit, removed at the end. Several tests run the same
/// program at a time, each in a group of its own.
struct Group(PathBuf);

static GROUPS: AtomicUsize = AtomicUsize::new(0);

impl Group {
    /// Returns `None`, and says so, where this process may not make one.
    fn new(name: &str) -> Option<Self> {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let own = groups.lines().find_map(|line| line.split_once(":memory:")).map(|(_, own)| own);
        let folder = Path::new("/sys/fs/cgroup/memory").join(own?.trim_start_matches('/'));
        let number = GROUPS.fetch_add(1, Ordering::Relaxed);
        let name = format!("memscope-{name}-{}-{number}", std::process::id());
        let group = Self(folder.join(name));
        let made = fs::create_dir(&group.0)
            .and_then(|()| fs::write(group.0.join("memory.limit_in_bytes"), LIMIT.to_string()));
        made.is_ok().then_some(group)
    }

    /// The program, in this group.
    fn run(&self, how: &str) -> Command {
        let mut command = program("sh", "-c");
        command.arg("echo $$ > \"$0\" && exec \"$1\" \"$2\"").arg(self.0.join("cgroup.procs"));
        command.arg(env!("CARGO_BIN_EXE_limited")).arg(how);
        command
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The kernel may take a moment to let go of the last process.
        for _ in 0..1_000 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }
}

/// Runs the program in a group until the kernel kills it. Returns the folder with its reports.
fn killed(how: &str) -> Option<Folder> {
    killed_with(how, &[("MEMSCOPE_REPORT", "report-%n.json")])
}

/// As [`killed`], with these settings. The program runs in the folder.
fn killed_with(how: &str, settings: &[(&str, &str)]) -> Option<Folder> {
    let Some(group) = Group::new(how) else {
        eprintln!("skipped: no control group of version 1 can be made here");
        return None;
    };
    let folder = Folder::new();
    let mut command = group.run(how);
    command.envs(settings.iter().copied()).current_dir(folder.path());
    let mut running = Running::start(&mut command);
    let status = running.end();
    assert_eq!(status.signal(), Some(libc::SIGKILL), "{status}");
    Some(folder)
}

fn reports(folder: &Folder) -> Vec<MemorySnapshot> {
    let names = folder.names();
    let read = |name: &String| MemorySnapshot::read(folder.file(name));
    names.iter().map(|name| read(name).unwrap_or_else(|error| panic!("{error}"))).collect()
}

/// The percentage of the limit that was in use.
fn percent(report: &MemorySnapshot) -> u64 {
    let resident = report.resident();
    assert_eq!((resident.limit_bytes, resident.limit_source), (Some(LIMIT), LimitSource::CgroupV1));
    resident.limit_used_bytes.expect("a limit") * 100 / LIMIT
}

/// Looks at what it has left. Returns the last report.
fn each_share_has_a_whole_report(folder: &Folder) -> MemorySnapshot {
    let mut reports = reports(folder);
    let percents: Vec<u64> = reports.iter().map(percent).collect();
    // By the time that memory is read for the report, the kernel may have dropped some pages.
    assert!(
        matches!(*percents, [78..88, 88..94, 93..=100]),
        "{percents:?} in {:?}",
        folder.names()
    );
    reports.pop().expect("three")
}

#[test]
fn before_the_kernel_kills_it_a_report_of_each_share_is_whole() {
    let Some(folder) = killed("steady") else { return };
    let last = each_share_has_a_whole_report(&folder);
    let site = &last.sites()[0];
    assert_eq!(site.name, "sessions");
    assert!(site.live_bytes > LIMIT * 3 / 4, "{last}");
    assert!(last.resident().live_bytes.is_some_and(|live| live >= site.live_bytes));
    assert!(last.to_string().contains("% of the limit of the control group\n"), "{last}");
}

#[test]
fn a_busy_disk_holds_up_no_report() {
    let Some(folder) = killed("busy disk") else { return };
    each_share_has_a_whole_report(&folder);
}

#[test]
fn a_report_near_the_limit_waits_for_no_other_one() {
    let settings = [("MEMSCOPE_REPORT", "report.json"), ("MEMSCOPE_REPORT_EVERY", "100ms")];
    let Some(folder) = killed_with("busy disk", &settings) else { return };
    // A periodic report is still on its way to the disk.
    let report = MemorySnapshot::read(folder.file("report.limit.json")).expect("a report");
    assert!(percent(&report) >= 93, "{report}");
}

#[test]
fn a_program_that_says_nothing_of_memscope_leaves_them_too() {
    let Some(folder) = killed("bare") else { return };
    let reports = reports(&folder);
    let last = reports.last().expect("a report");
    assert!(percent(last) >= 93, "{last}");
    assert!(last.sites()[0].live_bytes > LIMIT * 3 / 4, "{last}");
}

#[test]
fn with_more_tasks_than_the_room_has_rows_for_the_last_report_has_all_sums() {
    let Some(folder) = killed("crowd") else { return };
    let reports = reports(&folder);
    let last = reports.last().expect("a report");
    assert!(percent(last) >= 93, "{last}");
    let crowd = last.sites_named("crowd").next().expect("its row");
    assert_eq!(crowd.active, 20_000);
    assert!(last.tool().rows_left_out > 0, "{last}");
    assert_eq!(
        last.process().tracked_bytes + last.process().untracked_bytes,
        last.process().whole_bytes
    );
}

#[test]
fn with_more_sites_than_the_room_has_rows_for_each_report_has_the_largest() {
    let Some(folder) = killed("many names") else { return };
    let reports = reports(&folder);
    assert_eq!(reports.len(), 3, "{:?}", folder.names());
    for report in &reports {
        let sites = report.sites();
        assert_eq!(sites[0].name, "sessions", "{report}");
        assert!(sites[0].live_bytes > LIMIT / 3, "{report}");
        assert_eq!((sites[0].spawned, sites[0].active), (1, 1));
        assert!((8..3_000).contains(&sites.len()), "{report}");
        for site in sites.iter().skip(1).filter(|site| site.is_annotated) {
            let SiteProfile { name, spawned, completed, active, .. } = site;
            assert_eq!((*spawned, completed + active), (1, 1), "{name}");
        }
        assert!(report.tool().rows_left_out > 1_000, "{report}");
        let process = report.process();
        assert!(process.tracked_bytes >= sites.iter().map(|site| site.live_bytes).sum::<u64>());
        assert_eq!(process.tracked_bytes + process.untracked_bytes, process.whole_bytes);
    }
}

#[test]
fn the_setting_is_a_limit_where_the_system_has_none() {
    let folder = Folder::new();
    let mut command = program(env!("CARGO_BIN_EXE_limited"), "swings");
    command.env("MEMSCOPE_LIMIT", "64MiB").env("MEMSCOPE_REPORT_AT", "50%,80%");
    command.env("MEMSCOPE_REPORT", folder.file("report.json"));
    let mut running = Running::start(&mut command);
    let mut shares = Vec::new();
    loop {
        let line = running.line();
        let Some(rest) = line.strip_prefix("pressure ") else { break };
        let fields: Vec<&str> = rest.split(' ').collect();
        let used: u64 = fields[1].parse().expect("bytes");
        assert_eq!(fields[2], LIMIT.to_string());
        assert!(used >= LIMIT / 2, "{line}");
        shares.push(fields[0].to_owned());
    }
    assert!(running.end().success());
    assert_eq!(shares[..2], ["0.5", "0.8"], "{shares:?}");
    assert!(folder.names().contains(&"report.limit.json".to_owned()), "{:?}", folder.names());
    let kept = MemorySnapshot::read(folder.file("report.limit.json")).expect("a report");
    assert_eq!(kept.resident().limit_source, LimitSource::Setting);
    assert_eq!(kept.resident().report_at, [0.5, 0.8]);
}

#[test]
fn a_function_that_panics_near_the_limit_ends_neither_the_program_nor_the_reports() {
    let folder = Folder::new();
    let mut command = program(env!("CARGO_BIN_EXE_limited"), "panics");
    command.env("MEMSCOPE_LIMIT", "64MiB").env("MEMSCOPE_REPORT", folder.file("report-%n.json"));
    let mut running = Running::start(&mut command);
    assert!(running.end().success());
    let limits = |report: &MemorySnapshot| report.resident().limit_bytes;
    let near = reports(&folder);
    assert!(near.len() > 3, "three shares and the exit: {:?}", folder.names());
    assert!(near.iter().all(|report| limits(report) == Some(LIMIT)));
}

#[test]
fn an_address_limit_is_the_limit_of_the_process() {
    let folder = Folder::new();
    let mut command = program("sh", "-c");
    command.arg("ulimit -v 400000 && exec \"$0\" evenly").arg(env!("CARGO_BIN_EXE_limited"));
    command.env("MEMSCOPE_REPORT", folder.file("report-%n.json"));
    let mut running = Running::start(&mut command);
    let status = running.end();
    assert!(!status.success(), "an allocation fails: {status}");
    let reports = reports(&folder);
    let last = reports.last().expect("a report").resident();
    assert_eq!((last.limit_bytes, last.limit_source), (Some(400_000 << 10), LimitSource::Rlimit));
    assert!(last.limit_used_bytes > last.limit_bytes.map(|limit| limit * 4 / 5));
}
