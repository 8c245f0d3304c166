//! Bad and odd input: reports before anything ran, names of any kind, snapshots from the strangest
//! places.

use std::{cell::RefCell, sync::mpsc, thread};

use memscope_rs::async_memory::{
    AsyncResourceMonitor, MemorySnapshot, TaskState, TaskType, current_task_id,
    get_memory_snapshot, track,
};
use memscope_tests::{Columns, alone, block_on, conserved, poll, row, wait_once};

use crate::ALLOCATOR;

fn through_json(snapshot: &MemorySnapshot) -> MemorySnapshot {
    let json = serde_json::to_string(snapshot).expect("plain data");
    assert_eq!(json.lines().count(), 1);
    serde_json::from_str(&json).expect("the same")
}

/// A snapshot taken before `main`, before anything else of memscope's was called.
#[cfg(target_os = "linux")]
mod before_main {
    use super::{MemorySnapshot, get_memory_snapshot};
    use std::sync::Mutex;

    pub(crate) static SNAPSHOT: Mutex<Option<MemorySnapshot>> = Mutex::new(None);

    extern "C" fn take() {
        *SNAPSHOT.lock().expect("no panic") = Some(get_memory_snapshot());
    }

    // SAFETY: the section holds functions that the loader calls before `main`; a snapshot needs
    // nothing set up later.
    #[used]
    #[unsafe(link_section = ".init_array")]
    static CALL: extern "C" fn() = take;
}

#[test]
#[cfg(target_os = "linux")]
fn a_report_before_anything_ran_is_empty_and_prints() {
    let snapshot =
        before_main::SNAPSHOT.lock().expect("no panic").clone().expect("it ran before main");
    assert!(snapshot.measured().is_yes() && snapshot.is_still());
    assert_eq!((snapshot.tasks().len(), snapshot.sites().len()), (0, 0));
    assert_eq!((snapshot.active_task_count(), snapshot.peak_concurrent_tasks()), (0, 0));
    assert_eq!(
        (snapshot.total_memory_bytes(), snapshot.live_memory_bytes(), snapshot.total_allocations()),
        (0, 0, 0)
    );
    assert!((snapshot.memory_efficiency_percent() - 100.0).abs() < f64::EPSILON);
    for task_type in TaskType::ALL {
        let metrics = snapshot.get_task_metrics(task_type);
        assert_eq!(metrics.task_count, 0);
        let numbers = [
            metrics.avg_memory_mb,
            metrics.peak_memory_mb,
            metrics.completion_rate_percent,
            metrics.avg_wait_time_ms,
            metrics.throughput_per_sec,
        ];
        assert!(numbers.iter().all(|number| *number == 0.0), "{metrics:?}");
    }
    let shown = snapshot.to_string();
    assert!(shown.contains("0 alive") && shown.contains("memscope itself"), "{shown}");
    assert_eq!(through_json(&snapshot), snapshot);
}

fn odd_names() -> Vec<String> {
    let mut names: Vec<String> = [
        "",
        " ",
        "\"quoted\" and 'quoted'",
        "two\nlines\r\nand\ttabs",
        "\u{1b}[31mred\u{1b}[0m",
        "🦀🦀🦀 emoji 👨‍👩‍👧‍👦",
        "日本語の名前",
        "back\\slash / {braces} %s",
        "\0nul",
        "\u{202e}right to left",
        "e\u{301}\u{301}\u{301}combining",
        "(other)",
        "\u{feff}mark",
    ]
    .map(String::from)
    .into();
    names.extend([
        "a\u{200b}\u{2066}\u{2028}\u{61c}\u{e0041}\u{85}b".to_owned(),
        "\u{301}".repeat(300),
    ]);
    names.push("x".repeat(10_000));
    names.push("🦀".repeat(2_500));
    names.push("\n".repeat(10_000));
    names
}

/// As a name is kept: its first 255 characters and `…`, where it has more than 256.
fn kept(name: &str) -> String {
    if name.chars().count() <= 256 {
        return name.to_owned();
    }
    name.chars().take(255).chain(['…']).collect()
}

/// Whether nothing in a text moves the cursor of a terminal, turns the order of letters, or is not
/// seen.
fn is_harmless(text: &str) -> bool {
    text.chars().all(|shown| {
        let is_hidden = matches!(u32::from(shown),
            0x7f..=0x9f | 0xad | 0x61c | 0x180e | 0x200b..=0x200f | 0x2028..=0x202e
            | 0x2060..=0x206f | 0x3164 | 0xfeff | 0xfff9..=0xfffb | 0xe0000..=0xe007f);
        !is_hidden && (shown == '\n' || !shown.is_control())
    })
}

#[test]
fn any_name_is_kept_up_to_its_bound_printed_on_one_line_and_goes_through_json() {
    let _alone = alone();
    let mut tasks = Vec::new();
    for name in odd_names() {
        let mut task = Box::pin(track(async { wait_once().await }).named(name.as_str()));
        assert!(poll(&mut task).is_pending());
        tasks.push((task.id().expect("an id"), kept(&name), task));
    }
    let snapshot = conserved(&ALLOCATOR);
    for (id, name, _) in &tasks {
        assert_eq!(&row(&snapshot, *id).name, name);
        assert!(
            snapshot.sites().iter().any(|site| &site.name == name && site.active == 1),
            "{name:.40}"
        );
    }
    assert_eq!(through_json(&snapshot), snapshot);
    let shown = format!("{snapshot:#}");
    assert!(is_harmless(&shown), "{shown:?}");
    assert!(shown.lines().all(|line| line.chars().count() < 400), "{shown}");
    // Names are cut, and the columns behind them stand under their headings.
    let mut lines = shown.lines().skip_while(|line| !line.starts_with("TASK"));
    let state = lines.next().and_then(|head| head.find("STATE")).expect("a heading");
    assert!(state < 60, "{shown}");
    let plain: Vec<&str> = lines
        .filter(|line| line.get(..state).is_some_and(str::is_ascii))
        .filter(|line| line.starts_with('#'))
        .collect();
    assert!(plain.len() >= 4, "{shown}");
    for line in plain {
        assert!(
            line[state..].starts_with("idle ") || line[state..].starts_with("completed "),
            "{line}"
        );
    }
    // As many lines as rows, and the few around them: no name has broken its line.
    let rows = snapshot.tasks().len() + snapshot.sites().len();
    // Stacks that were sampled by chance have lines of their own, behind the tables.
    let is_table = |line: &&str| !line.starts_with("where the code allocates");
    let count = shown.lines().take_while(is_table).count();
    assert!((rows..rows + 16).contains(&count), "{rows} rows\n{shown}");
}

#[test]
fn snapshots_and_reports_inside_a_task_do_not_change_its_numbers() {
    let _alone = alone();
    let mut task = std::pin::pin!(track(async {
        let held = vec![0u8; 500];
        let id = current_task_id().expect("a task");
        let first = get_memory_snapshot();
        for _ in 0..10 {
            drop(get_memory_snapshot());
            wait_once().await;
        }
        let mut monitor = AsyncResourceMonitor::new();
        monitor.start_monitoring().await.expect("not running");
        monitor.stop_monitoring().await.expect("running");
        let last = get_memory_snapshot();
        drop(held);
        (id, first, last)
    }));
    let (id, first, last) = loop {
        if let std::task::Poll::Ready(seen) = poll(&mut task) {
            break seen;
        }
    };
    let truth = |state, polls| Columns {
        allocated_bytes: 500,
        allocation_count: 1,
        live_bytes: 500,
        live_blocks: 1,
        peak_bytes: 500,
        ..Columns::nothing(state, polls)
    };
    assert_eq!(Columns::of(row(&first, id)), truth(TaskState::Running, 1));
    assert_eq!(Columns::of(row(&last, id)), truth(TaskState::Running, 11));
    drop((first, last));
    let done = Columns {
        live_bytes: 0,
        live_blocks: 0,
        freed_bytes: 500,
        ..truth(TaskState::Completed, 11)
    };
    assert_eq!(Columns::now(&ALLOCATOR, id), done, "what the snapshots held was never the task's");
}

#[test]
fn dropping_a_snapshot_inside_a_task_is_not_the_tasks_either() {
    let _alone = alone();
    let snapshot = get_memory_snapshot();
    let mut task = std::pin::pin!(track(async move {
        // Printing and copying it is the task's own doing.
        let text = snapshot.to_string();
        drop(snapshot);
        text.len()
    }));
    let id = task.id().expect("an id");
    assert!(poll(&mut task).is_ready());
    let now = Columns::now(&ALLOCATOR, id);
    assert!(now.allocated_bytes > 0);
    assert_eq!((now.live_bytes, now.freed_elsewhere_bytes), (0, 0));
}

/// Takes a snapshot when its thread ends.
struct Snapshots(RefCell<Option<mpsc::Sender<MemorySnapshot>>>);

impl Drop for Snapshots {
    fn drop(&mut self) {
        let snapshot = get_memory_snapshot();
        assert!(!snapshot.to_string().is_empty());
        let id = block_in_drop();
        assert_eq!(current_task_id(), None);
        if let Some(send) = self.0.take() {
            send.send(snapshot).expect("the test waits");
            let after = get_memory_snapshot();
            assert_eq!(after.task(id).expect("its row").allocated_bytes, 40);
            send.send(after).expect("the test waits");
        }
    }
}

/// Runs a task to its end, with a snapshot in it.
fn block_in_drop() -> memscope_rs::async_memory::TaskId {
    let mut task = Box::pin(track(async {
        drop(std::hint::black_box(vec![0u8; 40]));
        drop(get_memory_snapshot());
    }));
    assert!(poll(&mut task).is_ready());
    task.id().expect("an id")
}

thread_local! {
    static AT_EXIT: Snapshots = const { Snapshots(RefCell::new(None)) };
}

#[test]
fn a_snapshot_from_a_destructor_at_the_end_of_a_thread_is_like_any_other() {
    let _alone = alone();
    for allocates_before in [false, true] {
        let (send, receive) = mpsc::channel();
        thread::spawn(move || {
            if allocates_before {
                drop(std::hint::black_box(vec![0u8; 10]));
            }
            AT_EXIT.with(|at_exit| at_exit.0.replace(Some(send)));
        })
        .join()
        .expect("no panic");
        let snapshots: Vec<_> = receive.iter().collect();
        assert_eq!(snapshots.len(), 2);
        assert!(snapshots.iter().all(|snapshot| snapshot.measured().is_yes()));
        assert_eq!(snapshots[1].spawned_task_count(), snapshots[0].spawned_task_count() + 1);
    }
    conserved(&ALLOCATOR);
}

#[test]
fn a_monitor_dropped_at_the_end_of_a_thread_closes_its_window() {
    let _alone = alone();
    thread_local! {
        static MONITOR: RefCell<AsyncResourceMonitor> = RefCell::new(AsyncResourceMonitor::new());
    }
    thread::spawn(|| {
        let mut monitor = AsyncResourceMonitor::new();
        block_on(monitor.start_monitoring()).expect("not running");
        MONITOR.replace(monitor);
    })
    .join()
    .expect("no panic");
    conserved(&ALLOCATOR);
}

#[test]
fn an_unknown_id_has_no_row() {
    let _alone = alone();
    let id = serde_json::from_str("18446744073709551615").expect("an id");
    assert!(get_memory_snapshot().task(id).is_none());
    serde_json::from_str::<memscope_rs::async_memory::TaskId>("0").expect_err("ids count from 1");
}
