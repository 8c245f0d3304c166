//! What tasks that become more wait for, by their await point: it says more than that they do not
//! end.

use crate::model::AwaitPoint;

/// The file of Tokio's in which the outermost `.await` of Tokio's stands that ends at [`ACQUIRE`],
/// as a receiver waits in the same file as a sender. And the cure.
const CURES: [(&str, &str); 4] = [
    ("src/sync/semaphore.rs", PERMITS),
    ("src/sync/mutex.rs", LOCK),
    ("src/sync/rwlock.rs", LOCK),
    ("src/sync/mpsc/bounded.rs", ROOM),
];

/// What all of these wait by.
const ACQUIRE: &str = "waits for tokio::sync::batch_semaphore::Acquire";
/// What waits for a task or a blocking job.
const JOIN: &str = "waits for tokio::runtime::task::join::JoinHandle";

const PERMITS: &str = "they wait for permits of a semaphore: take the permit before a task is spawned and its memory allocated, refuse what is too much (`try_acquire`), or give permits back sooner";
const LOCK: &str = "they wait for a lock: hold it for a shorter time and not across a slow `.await`, and look for a guard that is kept";
const ROOM: &str = "they wait for room in a bounded channel: make its consumer faster, or let in fewer of these tasks";
const JOBS: &str = "they wait for tasks or jobs that they have spawned: have these end, by a timeout or a token, or let in fewer; `spawn_blocking` runs 512 jobs at one time by default, and the others queue";

/// The cure for most of these tasks, if they wait here and Tokio's part in it is known. Beside the
/// point stands how many of all wait there.
pub(super) fn cure(point: Option<(&AwaitPoint, u64)>, all: u64) -> Option<&'static str> {
    let (point, _) = point.filter(|(_, count)| *count > all / 2)?;
    if point.stops.starts_with(JOIN) {
        return Some(JOBS);
    }
    // A cell that is set once has a semaphore in it, and a lock has one as well.
    let mut files = point.frames.iter().map(|frame| frame.file.replace('\\', "/"));
    let outermost = files.find(|file| file.contains("/tokio-"))?;
    let cure = CURES.iter().find(|(word, _)| outermost.ends_with(word));
    cure.filter(|_| point.stops.starts_with(ACQUIRE)).map(|(_, cure)| *cure)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cure_at(file: &str, stops: &str, count: u64) -> Option<&'static str> {
        cure_in(&["src/app.rs", file], stops, count)
    }

    fn cure_in(files: &[&str], stops: &str, count: u64) -> Option<&'static str> {
        let frame = |file: &str| json!({ "function": "f", "file": file, "line": 7, "size_bytes": 8, "locals": [] });
        let point = json!({
            "frames": files.iter().map(|it| frame(it)).collect::<Vec<_>>(), "stops": stops, "tasks": count,
            "measured": true, "live_bytes": 1, "future_size_bytes": 8, "timed": 0,
            "waited_sum_ns": 0, "waited_p50_ns": null, "waited_p99_ns": null,
        });
        let point: AwaitPoint = serde_json::from_value(point).expect("an await point");
        cure(Some((&point, count)), 20)
    }

    #[test]
    fn tasks_that_wait_for_permits_a_lock_room_or_jobs_have_the_cure_for_that() {
        let tokio = |file: &str| format!("/home/me/.cargo/registry/src/x/tokio-1.52.0/{file}");
        let acquire = "waits for tokio::sync::batch_semaphore::Acquire";
        for (file, words) in [
            ("src/sync/semaphore.rs", "permits"),
            ("src/sync/mutex.rs", "a lock"),
            ("src/sync/mpsc/bounded.rs", "room in a bounded channel"),
        ] {
            let cure = cure_at(&tokio(file), acquire, 20).expect("known");
            assert!(cure.starts_with("they wait for ") && cure.contains(words), "{cure}");
        }
        let join = "waits for tokio::runtime::task::join::JoinHandle<()>";
        assert!(cure_at("src/app.rs", join, 11).is_some_and(|cure| cure.contains("512 jobs")));
    }

    #[test]
    fn half_of_the_tasks_and_other_files_have_no_such_cure() {
        let acquire = "waits for tokio::sync::batch_semaphore::Acquire";
        assert_eq!(cure_at("/x/tokio-1.52.0/src/sync/semaphore.rs", acquire, 10), None);
        assert_eq!(cure_at("src/sync/semaphore.rs", acquire, 20), None, "the program's own");
        assert_eq!(cure_at("src/app.rs", acquire, 20), None, "any of them");
        assert_eq!(cure_at("src/app.rs", "waits for tokio::time::Sleep", 20), None);
        assert_eq!(cure(None, 20), None);
    }

    #[test]
    fn a_receiver_a_cell_that_is_set_once_and_a_branch_have_no_such_cure() {
        let tokio = |file: &str| format!("/home/me/.cargo/registry/src/x/tokio-1.54.1/{file}");
        let acquire = "waits for tokio::sync::batch_semaphore::Acquire";
        let receives = "waits for core::future::poll_fn::PollFn<recv>, perhaps for it";
        assert_eq!(cure_at(&tokio("src/sync/mpsc/bounded.rs"), receives, 20), None);
        let [once, permits] = ["src/sync/once_cell.rs", "src/sync/semaphore.rs"].map(tokio);
        assert_eq!(cure_in(&["src/app.rs", &once, &permits], acquire, 20), None);
        let lock = tokio("src/sync/mutex.rs");
        let locked = cure_in(&["src/app.rs", &lock, &permits], acquire, 20).expect("known");
        assert!(locked.starts_with("they wait for a lock: "), "{locked}");
        for stops in [
            "waits for tokio::sync::oneshot::Receiver<tokio::runtime::task::join::JoinHandle<()>>",
            "waits for 2 futures side by side in (): tokio::runtime::task::join::JoinHandle<()>",
        ] {
            assert_eq!(cure_at("src/app.rs", stops, 20), None, "{stops}");
        }
    }
}
