//! What the system says of this process and its limits.

use std::{fs, path::Path};

/// The KiB of this process's page tables, which a copy of the process copies.
pub(crate) fn page_table_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmPTE:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// How many bytes the control groups of this process may take more; `None` without a limit.
///
/// What the page cache holds counts as free only as far as the group says so.
pub(crate) fn memory_left() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let root = Path::new("/sys/fs/cgroup");
    let own = root.join(group.trim_start_matches('/'));
    // In a container the path is often that of the host, and the own group is mounted at the root.
    let folders = own.ancestors().take_while(|it| it.starts_with(root));
    folders.filter_map(left_in).min()
}

/// What is left in one group.
fn left_in(group: &Path) -> Option<u64> {
    let number = |file| fs::read_to_string(group.join(file)).ok()?.trim().parse::<u64>().ok();
    let used = number("memory.current")?;
    let statistics = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let cached = statistics.lines().find_map(|line| line.strip_prefix("inactive_file "));
    let cached = cached.and_then(|it| it.parse::<u64>().ok()).unwrap_or(0);
    Some(number("memory.max")?.saturating_sub(used.saturating_sub(cached)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_says_how_large_the_page_tables_are() {
        assert!(page_table_kib().is_some_and(|kib| (1..1 << 30).contains(&kib)));
    }

    #[test]
    fn a_group_has_left_what_it_does_not_use_but_for_what_it_can_give_back() {
        let folder = std::env::temp_dir().join(format!("memscope-group-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let write = |file: &str, text: &str| fs::write(folder.join(file), text).expect("written");
        write("memory.current", "900\n");
        write("memory.max", "1000\n");
        assert_eq!(left_in(&folder), Some(100));
        write("memory.stat", "anon 5\ninactive_file 300\n");
        assert_eq!(left_in(&folder), Some(400));
        write("memory.max", "max\n");
        assert_eq!(left_in(&folder), None);
        fs::remove_dir_all(&folder).expect("removed");
    }
}
