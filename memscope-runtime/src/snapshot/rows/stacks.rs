//! Rows of call stacks that allocate.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    mem,
};

use crate::{
    accounting::{UNNAMED, UNTRACKED, stacks::StackReading},
    await_points::image,
    model::{Library, SiteProfile, StackFrame, StackProfile, TaskId, TrendPoint, symbol},
    primitives::{MapByIndex, reserve},
    snapshot::capture::Reading,
    symbols::{self, Call},
};

/// The most rows. A program has some thousands of stacks, and the largest are those that matter.
pub(crate) const MOST_STACKS: usize = 100;

/// The most frames of a row. What stands further out are the calls of a runtime and a thread.
const MOST_FRAMES: usize = 64;

/// The largest stacks, and what is not among them.
#[derive(Debug, Default)]
pub(crate) struct Stacks {
    pub(crate) rows: Vec<StackProfile>,
    /// Stacks without a row, and their live bytes.
    pub(crate) left_out: u64,
    pub(crate) left_out_bytes: u64,
    /// Functions whose names are being looked up.
    pub(crate) names_pending: u64,
    /// The libraries that calls are in.
    pub(crate) libraries: Vec<Library>,
}

/// Makes the rows of the largest stacks, most live bytes first. `sites` are the rows of sites, and
/// the index of the site of each. `points` returns how the live bytes of a place changed.
pub(crate) fn stacks<'a>(
    reading: &mut Reading,
    sites: (&[SiteProfile], &[u32]),
    points: impl Fn(u32) -> &'a [TrendPoint],
) -> Stacks {
    let (sites, indices) = sites;
    let mut places = MapByIndex::default();
    for (place, site) in indices.iter().enumerate() {
        if reserve::room(&mut places) {
            places.insert(*site, place);
        }
    }
    let mut stacks = mem::take(&mut reading.stacks);
    follow_moved_tasks(&mut stacks, |site| {
        let site = places.get(&site).and_then(|place| sites.get(*place));
        site.filter(|site| site.name != UNNAMED).map(|site| site.is_annotated)
    });
    stacks.sort_unstable_by_key(|stack| {
        Reverse((stack.live_bytes, stack.allocated_bytes, stack.samples))
    });
    let (kept, others) = stacks.split_at(stacks.len().min(MOST_STACKS));
    let (mut pending, mut libraries) = (HashSet::new(), Vec::new());
    let rows = reserve::rows(kept, |stack| {
        let mut row = row(stack, &places, &mut pending, &mut libraries)?;
        row.points = reserve::rows(points(stack.place).iter().copied(), Some);
        Some(row)
    });
    Stacks {
        left_out: (stacks.len() - rows.len()) as u64,
        left_out_bytes: others.iter().fold(0, |sum, stack| sum.saturating_add(stack.live_bytes)),
        names_pending: pending.len() as u64,
        libraries,
        rows,
    }
}

/// Moves what unannotated tasks allocated before they had a name. They get their site with their
/// name; before, they count in the site of tasks without a name. That part is added to the same
/// stack in the site to which they moved, if there is just one such site. The outermost calls of
/// the stack are those of their type.
///
/// `is_annotated` returns `None` for a site without a row or a name.
fn follow_moved_tasks(stacks: &mut Vec<StackReading>, is_annotated: impl Fn(u32) -> Option<bool>) {
    // Stacks are kept once, so their address tells them apart.
    let mut moved_to: HashMap<*const usize, Option<usize>> = HashMap::new();
    for (index, stack) in stacks.iter().enumerate() {
        let frames = stack.frames.as_ptr();
        if is_annotated(stack.site) == Some(false)
            && (moved_to.contains_key(&frames) || reserve::room(&mut moved_to))
        {
            moved_to.entry(frames).and_modify(|to| *to = None).or_insert(Some(index));
        }
    }
    for index in 0..stacks.len() {
        let Some(from) = stacks.get(index).cloned() else { continue };
        if from.site == UNTRACKED || is_annotated(from.site).is_some() {
            continue;
        }
        let to = moved_to.get(&from.frames.as_ptr()).copied().flatten();
        if let Some(to) = to.and_then(|to| stacks.get_mut(to)) {
            to.live_bytes = to.live_bytes.saturating_add(from.live_bytes);
            to.allocated_bytes = to.allocated_bytes.saturating_add(from.allocated_bytes);
            to.live_samples += from.live_samples;
            to.samples += from.samples;
            // Without a sample this stack gets no row.
            if let Some(from) = stacks.get_mut(index) {
                (from.live_samples, from.samples) = (0, 0);
            }
        }
    }
    stacks.retain(|stack| stack.samples != 0 || stack.live_samples != 0);
}

fn row(
    stack: &StackReading,
    places: &MapByIndex<usize>,
    pending: &mut HashSet<usize>,
    libraries: &mut Vec<Library>,
) -> Option<StackProfile> {
    // A return address is behind its call.
    let calls = stack.frames.iter().map(|address| address.saturating_sub(1));
    let calls = calls.map(|address| (address, symbols::call_at(address)));
    let calls: Vec<(usize, Call)> = calls.collect();
    let names = calls.iter().map(|call| call.1.name.text());
    let names: Vec<_> = names.take(symbol::MOST_ALLOCATOR_CALLS).collect();
    let calls = calls.get(symbol::allocator_calls(&names)..).unwrap_or_default();
    let inlined = calls.iter().map(|call| call.1.detail.inlined.len()).sum::<usize>();
    let mut frames = reserve::list(calls.len().min(MOST_FRAMES) + inlined)?;
    for &(address, call) in calls.iter().take(MOST_FRAMES) {
        if !call.is_settled && pending.try_reserve(1).is_ok() {
            pending.insert(address);
        }
        let library = call.library;
        let of_library = library.map(|it| it.offset_of(address));
        if let Some(library) = library
            && !libraries.iter().any(|it| it.path == library.path)
        {
            let build_id = library.build_id.map(str::to_owned);
            reserve::push(libraries, Library { path: library.path.to_owned(), build_id });
        }
        frames.extend(call.frames(StackFrame {
            address: address as u64,
            offset: of_library.or_else(|| image::offset_of(address)),
            library: library.map(|it| it.path.into()),
            ..StackFrame::default()
        }));
    }
    Some(StackProfile {
        frames,
        is_cut: stack.is_cut || calls.len() > MOST_FRAMES,
        is_untracked: stack.site == UNTRACKED,
        site: places.get(&stack.site).copied(),
        task: TaskId::new(stack.task),
        live_bytes: stack.live_bytes,
        allocated_bytes: stack.allocated_bytes,
        live_samples: stack.live_samples,
        samples: stack.samples,
        points: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alloc::own_work;

    static FRAMES: [usize; 2] = [10, 20];
    static OTHERS: [usize; 1] = [10];

    fn reading(frames: &'static [usize], site: u32, live: u64, allocated: u64) -> StackReading {
        let samples = |bytes: u64| u64::from(bytes != 0);
        StackReading {
            place: 0,
            frames,
            is_cut: false,
            site,
            task: 0,
            live_bytes: live,
            allocated_bytes: allocated,
            live_samples: samples(live),
            samples: samples(allocated),
        }
    }

    #[test]
    fn what_tasks_allocated_before_they_had_a_name_follows_them_if_that_is_clear() {
        let _work = own_work::work();
        // 1 has no row any more, 2 and 3 are sites of tasks without annotations, 4 of annotated
        // ones.
        let is_annotated = |site| {
            [(2, false), (3, false), (4, true)].into_iter().find(|it| it.0 == site).map(|it| it.1)
        };
        let moved = |mut stacks: Vec<StackReading>| -> Vec<(u32, u64, u64)> {
            follow_moved_tasks(&mut stacks, is_annotated);
            stacks.iter().map(|it| (it.site, it.live_bytes, it.allocated_bytes)).collect()
        };
        let [early, to] = [reading(&FRAMES, 1, 0, 70), reading(&FRAMES, 2, 60, 5)];
        assert_eq!(moved(vec![early.clone(), to.clone()]), [(2, 60, 75)]);
        // The stack stays as it is beside another stack, an annotated site, or two possible sites.
        for other in [reading(&OTHERS, 2, 60, 5), reading(&FRAMES, 4, 60, 5)] {
            assert_eq!(moved(vec![early.clone(), other]).len(), 2);
        }
        assert_eq!(moved(vec![early.clone(), to, reading(&FRAMES, 3, 1, 1)]).len(), 3);
        // What belongs to no task stays with none.
        let of_none = reading(&FRAMES, UNTRACKED, 9, 9);
        assert_eq!(moved(vec![of_none, reading(&FRAMES, 2, 1, 1)]).len(), 2);
    }
}
