//! Files of control groups, laid out in a folder.

use std::{
    fs, process,
    sync::atomic::{AtomicU32, Ordering},
};

use proptest::prelude::*;

use super::*;

/// A folder with files, removed at the end.
struct Tree(PathBuf);

impl Tree {
    fn new(files: &[(&str, &str)]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("memscope-cgroup-{}-{number}", process::id());
        let root = std::env::temp_dir().join(name);
        for (path, text) in files {
            let path = root.join(path.trim_start_matches('/'));
            fs::create_dir_all(path.parent().expect("a folder")).expect("room");
            fs::write(path, text).expect("room");
        }
        Self(root)
    }

    fn find(&self, groups: &str, mounts: &str) -> Option<Group> {
        Group::find(groups, mounts, &self.0)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const V2: &str = "24 1 0:22 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup rw\n";
const V1: &str = "23 1 0:21 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                  35 23 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                  36 23 0:33 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";

#[test]
fn the_lowest_limit_on_the_path_counts_in_version_2() {
    let tree = Tree::new(&[
        ("/sys/fs/cgroup/memory.max", "1\n"),
        ("/sys/fs/cgroup/pod/memory.max", "67108864\n"),
        ("/sys/fs/cgroup/pod/memory.current", "60000000\n"),
        (
            "/sys/fs/cgroup/pod/memory.stat",
            "anon 5\nfile 900\ninactive_file 7000000\nactive_file 3000000\n",
        ),
        ("/sys/fs/cgroup/pod/app/memory.max", "max\n"),
        ("/sys/fs/cgroup/pod/app/leaf/memory.max", "134217728\n"),
        ("/sys/fs/cgroup/other/memory.max", "4096\n"),
    ]);
    let mounts = V2.replace(" / /sys/fs/cgroup ", " /pod /sys/fs/cgroup/pod ");
    let group = tree.find("0::/pod/app/leaf\n", &mounts).expect("a limit");
    assert_eq!((group.limit_bytes, group.source()), (64 << 20, LimitSource::CgroupV2));
    assert_eq!(group.used_bytes(0), Some(50_000_000), "without pages that the kernel can drop");
    let group = tree.find("0::/pod/app/leaf\n", V2).expect("a limit");
    assert_eq!(group.limit_bytes, 1, "the group at the top too");
}

#[test]
fn a_group_without_a_limit_has_none() {
    let tree = Tree::new(&[("/sys/fs/cgroup/memory.max", "max\n")]);
    assert_eq!(tree.find("0::/\n", V2), None);
    let unlimited = [("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "9223372036854771712\n")];
    assert_eq!(Tree::new(&unlimited).find("4:memory:/a\n", V1), None);
    assert_eq!(Tree::new(&[]).find("0::/\n", V2), None, "no files");
    assert_eq!(tree.find("", V2), None, "no group");
    assert_eq!(tree.find("0::/\n", ""), None, "no mount");
}

#[test]
fn version_1_counts_where_it_controls_memory() {
    let tree = Tree::new(&[
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "1048576\n"),
        ("/sys/fs/cgroup/memory/a/memory.usage_in_bytes", "1000000\n"),
        (
            "/sys/fs/cgroup/memory/a/memory.stat",
            "inactive_file 5\ntotal_inactive_file 300000\ntotal_active_file 1\n",
        ),
        ("/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "2097152\n"),
    ]);
    let groups = "5:cpu,cpuacct:/x\n4:memory:/a/b\n0::/a/b\n";
    let group = tree.find(groups, &format!("{V1}{V2}")).expect("a limit");
    assert_eq!((group.limit_bytes, group.source()), (1 << 20, LimitSource::CgroupV1));
    assert_eq!(group.used_bytes(0), Some(699_999));
    assert_eq!(group.used_bytes(1_000_001), Some(1_000_000), "a quick look");
}

#[test]
fn in_a_container_the_mounted_folder_is_the_group() {
    let tree = Tree::new(&[("/sys/fs/cgroup/memory.max", "4096\n")]);
    let mounts = V2.replace(" / /sys", " /docker/1f /sys");
    for group in ["0::/docker/1f\n", "0::/\n", "0::/../../other\n", "0::/docker/1fff/x\n"] {
        assert_eq!(tree.find(group, &mounts).map(|it| it.limit_bytes), Some(4096), "{group}");
    }
}

#[test]
fn a_mount_point_may_have_blanks_and_the_last_mount_counts() {
    let tree = Tree::new(&[("/my groups/a/memory.max", "4096\n")]);
    let mounts = format!("{V2}9 1 0:1 / /my\\040groups rw - cgroup2 none rw\n");
    assert_eq!(tree.find("0::/a\n", &mounts).map(|it| it.limit_bytes), Some(4096));
    assert_eq!(unescaped("a\\134b\\x\\04"), "a\\b\\x\\04");
}

proptest! {
    #[test]
    fn any_text_is_no_panic_and_leads_to_no_folder_outside(
        groups in "([0-9]{0,2}:(memory|cpu|)(,memory)?:[/a-z.]{0,20}\n?){0,4}|\\PC{0,60}",
        mounts in "([0-9 :]{0,9} /[a-z./]{0,8} /[a-z./\\\\0-7]{0,12} rw - cgroup2? x rw(,memory)?\n?){0,4}|\\PC{0,80}",
    ) {
        let tree = Tree(std::env::temp_dir().join("memscope-cgroup-none"));
        prop_assert_eq!(tree.find(&groups, &mounts), None);
    }

    #[test]
    fn the_path_below_a_mounted_folder_never_climbs(path in "/[a-z./]{0,30}", root in "/[a-z/]{0,10}") {
        prop_assert!(!below(&path, &root).split('/').any(|part| part == ".."));
    }

    #[test]
    fn any_statistics_are_counted_without_a_panic(stat in "((total_)?(in)?active_file [0-9]{0,22}\n){0,5}|\\PC{0,60}") {
        let _ = (file_pages(&stat, Version::V1), file_pages(&stat, Version::V2));
    }
}
