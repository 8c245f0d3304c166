//! Rows of the process: totals, shared owners, the async runtime.

use crate::{
    accounting::SharedReading,
    model::{ProcessMemory, RuntimeMemory, SharedProfile},
    primitives::{order, reserve},
    snapshot::{capture::Reading, open_tasks::OpenTasks, site_reading::SiteReading},
};

/// The whole and its parts.
pub(crate) fn process(reading: &Reading, measured: bool) -> ProcessMemory {
    if !measured {
        return ProcessMemory::default();
    }
    let open = |field: fn(&OpenTasks) -> u64| {
        reading.open_sums.iter().map(|(_, open)| field(open)).sum::<u64>()
    };
    let sites = |field: fn(&SiteReading) -> u64| reading.sites.iter().map(field).sum::<u64>();
    let Reading { untracked, unlisted, .. } = reading;
    let tracked_bytes =
        open(|open| open.live_bytes) + sites(|site| site.left.bytes) + unlisted.live_bytes;
    let tracked_blocks =
        open(|open| open.live_blocks) + sites(|site| site.left.blocks) + unlisted.live_blocks;
    ProcessMemory {
        measured,
        tracked_bytes,
        untracked_bytes: untracked.live_bytes,
        whole_bytes: tracked_bytes + untracked.live_bytes,
        tracked_blocks,
        untracked_blocks: untracked.live_blocks,
        whole_blocks: tracked_blocks + untracked.live_blocks,
        // Bytes that a task took over were allocated once, by another owner.
        tracked_allocated_bytes: open(|open| open.counters.first_allocated_bytes())
            + sites(|site| site.sums.counters.first_allocated_bytes())
            + unlisted.allocated_bytes,
        untracked_allocated_bytes: untracked.allocated_bytes,
        untracked_allocation_count: Some(untracked.allocations),
        shared_bytes: reading.shared.iter().map(|shared| shared.memory.live_bytes).sum(),
    }
}

/// The shared owners, largest live bytes first.
pub(crate) fn shared(reading: &Reading, measured: bool) -> Vec<SharedProfile> {
    let sizes = |size| if measured { size } else { 0 };
    let row = |shared: &SharedReading| SharedProfile {
        name: shared.name.to_owned(),
        measured,
        live_bytes: sizes(shared.memory.live_bytes),
        peak_bytes: sizes(shared.peak_bytes),
        allocated_bytes: sizes(shared.memory.allocated_bytes),
        allocation_count: sizes(shared.memory.allocations),
        freed_bytes: sizes(shared.memory.allocated_bytes.saturating_sub(shared.memory.live_bytes)),
        live_blocks: sizes(shared.memory.live_blocks),
    };
    let mut rows = reserve::rows(&reading.shared, |shared| Some(row(shared)));
    order::by(&mut rows, |a, b| {
        (b.live_bytes, b.allocated_bytes, &a.name).cmp(&(a.live_bytes, a.allocated_bytes, &b.name))
    });
    rows
}

/// What the async runtime holds beside the tasks' own bytes.
pub(crate) fn runtime(reading: &Reading, measured: bool) -> RuntimeMemory {
    if !measured {
        return RuntimeMemory::default();
    }
    RuntimeMemory {
        measured,
        worker_threads: reading.workers.threads,
        worker_bytes: reading.workers.live_bytes,
        cells: reading.open_sums.iter().map(|(_, open)| open.cells).sum(),
        cell_overhead_bytes: reading
            .open_sums
            .iter()
            .map(|(_, open)| open.cell_overhead_bytes)
            .sum(),
        unjoined_cells: reading.finished_cells.unjoined,
        kept_cells: reading.finished_cells.kept,
    }
}
