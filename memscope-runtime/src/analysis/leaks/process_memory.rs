//! Resident memory that is not live: freed and kept by the allocator, or not seen by memscope.
//!
//! Both are judged by what the system and the allocator have counted. A program whose live memory
//! is most of its resident memory has neither.

use super::{Leak, LeakKind, NotJudged, Severity, wording::percent};
use crate::{
    model::{AllocatorKind, HumanBytes, Place, Resident},
    snapshot::MemorySnapshot,
};

const MIB: u64 = 1 << 20;
/// Less is what any process has: its file, its libraries, stacks, caches of the allocator.
const LEAST_BYTES: u64 = 64 * MIB;
/// From here on it is more than low, if it is also most of resident memory or of the limit.
const MUCH_BYTES: u64 = 256 * MIB;
/// What an allocator and memscope add to a block, in front of it and by rounding up.
const BLOCK_BYTES: u64 = 48;
/// The part of live memory by which an allocator rounds up large blocks.
const ROUNDING: u64 = 16;

pub(super) fn find(snapshot: &MemorySnapshot) -> Vec<Leak> {
    let it = snapshot.resident();
    [kept(&it), unseen(snapshot, &it)].into_iter().flatten().collect()
}

/// Most of resident memory is free.
fn kept(it: &Resident) -> Option<Leak> {
    let (resident, live) = (it.resident_bytes?, it.live_bytes?);
    let free = it.allocator_free_bytes?;
    if free < LEAST_BYTES || free < resident / 2 {
        return None;
    }
    let [resident_is, live_is, free_is] = [resident, live, free].map(HumanBytes);
    Some(Leak {
        severity: severity(it, free),
        bytes: free,
        evidence: format!(
            "Resident {resident_is}, live {live_is}: {free_is}, {} of it, is freed, but kept by the allocator.",
            percent(free, resident)
        ),
        fix: give_back(it.allocator).to_owned(),
        ..Leak::at(LeakKind::Kept, process())
    })
}

/// How an allocator is made to give memory back. The variables are those of the allocators' own
/// documentation; the crate `tikv-jemallocator` puts `_RJEM_` in front.
fn give_back(allocator: Option<AllocatorKind>) -> &'static str {
    match allocator {
        Some(AllocatorKind::Glibc) => {
            "call `malloc_trim(0)` after such peaks, run with `MALLOC_ARENA_MAX=2`, or use jemalloc, which gives memory back by its decay; or make the peak smaller"
        }
        Some(AllocatorKind::Jemalloc) => {
            "have jemalloc give it back sooner: `_RJEM_MALLOC_CONF=background_thread:true,dirty_decay_ms:1000` (`MALLOC_CONF` where its names have no prefix), or purge its arenas after such peaks; or make the peak smaller. What few blocks of each page hold stays until they are freed"
        }
        Some(AllocatorKind::Mimalloc) => {
            "call `mi_collect(true)` after such peaks, or run with `MIMALLOC_PURGE_DELAY=0`; or make the peak smaller. What few blocks of each page hold stays until they are freed"
        }
        _ => {
            "have the allocator give it back after such peaks (a trim, a purge, a shorter decay), or make the peak smaller"
        }
    }
}

/// Much anonymous memory is neither live nor the allocator's.
fn unseen(snapshot: &MemorySnapshot, it: &Resident) -> Option<Leak> {
    // Without the allocator's count it may be memory that the allocator keeps.
    let free = it.allocator_free_bytes?;
    let (anonymous, live, own) = (it.anonymous_bytes?, it.live_bytes?, it.memscope_bytes?);
    let blocks = snapshot.process().whole_blocks.saturating_mul(BLOCK_BYTES);
    let known = [live, own, free, blocks, live / ROUNDING].into_iter().fold(0, u64::saturating_add);
    let bytes = anonymous.saturating_sub(known);
    if bytes < LEAST_BYTES || bytes < anonymous / 2 {
        return None;
    }
    // Of that, what came from the allocator's own functions.
    let allocated = it.allocator_used_bytes.map(|used| {
        let known = known.saturating_sub(free);
        used.saturating_sub(known).min(bytes)
    });
    let [anonymous_is, live_is, bytes_is] = [anonymous, live, bytes].map(HumanBytes);
    let from = match allocated {
        Some(allocated) if allocated >= bytes / 2 => {
            "C memory: allocated by `malloc`, and not through Rust's allocator".to_owned()
        }
        Some(_) => "mapped memory and stacks of threads, not from the allocator".to_owned(),
        None => "memory of C libraries, mapped memory or stacks of threads".to_owned(),
    };
    Some(Leak {
        severity: severity(it, bytes),
        bytes,
        evidence: format!(
            "Private resident memory {anonymous_is}, live {live_is}: {bytes_is} is not seen by memscope. It is {from}."
        ),
        fix: "look at C libraries with a heap profiler (heaptrack, jemalloc's), and at `/proc/PID/smaps` for large mappings"
            .to_owned(),
        ..Leak::at(LeakKind::Unseen, process())
    })
}

/// What could not be told apart.
pub(super) fn not_judged(snapshot: &MemorySnapshot) -> Option<NotJudged> {
    let it = snapshot.resident();
    let (anonymous, live) = (it.anonymous_bytes?, it.live_bytes?);
    let rest = anonymous.saturating_sub(live);
    if it.allocator_free_bytes.is_some() || rest < LEAST_BYTES || rest < anonymous / 2 {
        return None;
    }
    let [anonymous, live] = [anonymous, live].map(HumanBytes);
    let why = format!(
        "private resident memory {anonymous}, live {live}: what the allocator keeps is not known; `builder().allocator_usage` says it"
    );
    Some(NotJudged { kind: Some(LeakKind::Kept), why })
}

fn severity(it: &Resident, bytes: u64) -> Severity {
    let is_most = |of: Option<u64>| of.is_some_and(|of| bytes >= of / 2);
    if bytes >= MUCH_BYTES && (is_most(it.resident_bytes) || is_most(it.limit_bytes)) {
        Severity::Medium
    } else {
        Severity::Low
    }
}

fn process() -> Place {
    Place { name: "(process)".to_owned(), file: "".into(), line: 0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::analysis::fixture::snapshot;

    fn leaks(mib: [u64; 5]) -> (Vec<Leak>, String) {
        let [resident, anonymous, live, free, used] = mib.map(|mib| mib * MIB);
        let it = snapshot(&json!({ "resident": {
            "resident_bytes": resident, "anonymous_bytes": anonymous, "live_bytes": live,
            "memscope_bytes": MIB, "allocator_free_bytes": free, "allocator_used_bytes": used,
            "allocator": "glibc",
        } }));
        (find(&it), it.leaks().to_string())
    }

    #[test]
    fn each_allocator_has_its_own_cure() {
        let fix = |allocator: Option<&str>| {
            let it = snapshot(&json!({ "resident": {
                "resident_bytes": 323 * MIB, "live_bytes": MIB, "allocator_free_bytes": 310 * MIB,
                "allocator": allocator,
            } }));
            find(&it)[0].fix.clone()
        };
        for (allocator, words) in [
            (Some("glibc"), "malloc_trim(0)"),
            (Some("jemalloc"), "dirty_decay_ms"),
            (Some("mimalloc"), "mi_collect(true)"),
            (Some("other"), "have the allocator give it back"),
            (None, "have the allocator give it back"),
        ] {
            let fix = fix(allocator);
            assert!(fix.contains(words), "{allocator:?}: {fix}");
            assert_eq!(fix.contains("malloc_trim"), allocator == Some("glibc"), "{fix}");
        }
    }

    #[test]
    fn memory_that_is_freed_and_kept_is_a_finding_with_its_cure() {
        let (found, shown) = leaks([323, 316, 1, 310, 2]);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].kind, found[0].severity), (LeakKind::Kept, Severity::Medium));
        for words in [
            "Resident 323.0 MiB, live 1.0 MiB: 310.0 MiB, 95 % of it, is freed, but kept by the allocator",
            "malloc_trim",
        ] {
            assert!(shown.contains(words), "{shown}");
        }
    }

    #[test]
    fn memory_of_c_libraries_is_not_seen_and_that_is_said() {
        let (found, _) = leaks([500, 480, 20, 10, 460]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].kind, LeakKind::Unseen);
        assert!(found[0].evidence.contains("C memory: allocated by `malloc`"), "{}", found[0]);
        let (found, _) = leaks([500, 480, 20, 10, 22]);
        assert!(found[0].evidence.contains("mapped memory and stacks"), "{}", found[0]);
    }

    #[test]
    fn healthy_programs_have_neither() {
        for healthy in [
            // Live memory is most of it.
            [1_000, 980, 900, 40, 930],
            // A small program with a large file.
            [70, 12, 2, 8, 3],
            // Some is kept, as by any allocator.
            [300, 290, 180, 90, 190],
            [60, 55, 1, 50, 2],
        ] {
            assert!(leaks(healthy).0.is_empty(), "{healthy:?}");
        }
    }

    #[test]
    fn small_blocks_are_not_mistaken_for_c_memory() {
        let mut parts = json!({ "resident": {
            "resident_bytes": 700 * MIB, "anonymous_bytes": 690 * MIB, "live_bytes": 160 * MIB,
            "memscope_bytes": MIB, "allocator_free_bytes": 10 * MIB, "allocator_used_bytes": 680 * MIB,
        } });
        assert_eq!(find(&snapshot(&parts)).len(), 1);
        let process: Value = json!({
            "measured": true, "tracked_bytes": 0, "untracked_bytes": 160 * MIB, "whole_bytes": 160 * MIB,
            "tracked_blocks": 0, "untracked_blocks": 10_000_000, "whole_blocks": 10_000_000,
            "tracked_allocated_bytes": 0, "untracked_allocated_bytes": 160 * MIB,
        });
        parts["process"] = process;
        assert!(find(&snapshot(&parts)).is_empty(), "ten million blocks of 16 bytes");
    }

    #[test]
    fn what_cannot_be_told_apart_is_not_judged_and_that_is_said() {
        let it = snapshot(&json!({ "resident": {
            "resident_bytes": 500 * MIB, "anonymous_bytes": 480 * MIB, "live_bytes": MIB, "memscope_bytes": MIB,
        } }));
        assert!(find(&it).is_empty());
        assert!(
            it.leaks().to_string().contains("what the allocator keeps is not known"),
            "{}",
            it.leaks()
        );
    }

    proptest! {
        #[test]
        fn any_figures_are_judged_without_a_panic(mib in prop::array::uniform5(0..1_u64 << 30)) {
            let _ = leaks(mib);
        }
    }
}
