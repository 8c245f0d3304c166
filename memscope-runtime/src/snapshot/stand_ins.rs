//! Adds tasks that ended before their type had a name to the row that has the name by now.

use super::{
    capture::{Reading, TaskReading},
    open_tasks::OpenTasks,
    site_reading::SiteReading,
};
use crate::{
    accounting::{Site, stacks::StackReading},
    primitives::{MapByIndex, reserve},
};

/// Moves all that was read of stand-in sites to the sites for which they stand.
///
/// Without memory for that, they keep rows of their own.
pub(super) fn move_to_rows(reading: &mut Reading) {
    if !reading.sites.iter().any(|it| it.site.stands_in()) {
        return;
    }
    let Some((sites, earlier)) = sites(&reading.sites) else { return };
    let Some(open_sums) = open_sums(&reading.open_sums) else { return };
    (reading.sites, reading.open_sums) = (sites, open_sums);
    for TaskReading { record, .. } in &mut reading.tasks {
        (record.site, record.counted_site) = (record.site.row(), record.counted_site.row());
    }
    for task in &mut reading.retained {
        let row = Site::row_index(task.site);
        if row == task.site {
            // Tasks that ended before the name was known count as earlier ones.
            let earlier = earlier.get(&row).copied().unwrap_or(0);
            task.ending.ordinal += earlier;
            task.ending.spawned += earlier;
        }
        task.site = row;
    }
    for hand_over in &mut reading.hand_overs {
        hand_over.from = Site::row_index(hand_over.from);
        hand_over.to = Site::row_index(hand_over.to);
    }
    for stack in &mut reading.stacks {
        stack.site = Site::row_index(stack.site);
    }
    merge_equal(&mut reading.stacks);
}

/// Returns one reading for each row. Also returns, by the row's index, how many tasks its stand-ins
/// have.
fn sites(all: &[SiteReading]) -> Option<(Vec<SiteReading>, MapByIndex<u64>)> {
    let mut sites = reserve::list::<SiteReading>(all.len())?;
    let mut earlier = MapByIndex::default();
    let mut places: MapByIndex<usize> = MapByIndex::default();
    for reading in all {
        let row = reading.site.row();
        if reading.site.stands_in() {
            if !reserve::room(&mut earlier) {
                return None;
            }
            *earlier.entry(row.index()).or_default() += reading.spawned;
        }
        match places.get(&row.index()).copied() {
            Some(place) => sites.get_mut(place)?.add(reading),
            None if reserve::room(&mut places) => {
                places.insert(row.index(), sites.len());
                sites.push(SiteReading { site: row, ..*reading });
            }
            None => return None,
        }
    }
    Some((sites, earlier))
}

fn open_sums(all: &[(u32, OpenTasks)]) -> Option<Vec<(u32, OpenTasks)>> {
    let mut sums = reserve::list::<(u32, OpenTasks)>(all.len())?;
    let stands_in = |(site, _): &&(u32, OpenTasks)| Site::row_index(*site) != *site;
    sums.extend(all.iter().filter(|it| !stands_in(it)));
    for (site, open) in all.iter().filter(stands_in) {
        let row = Site::row_index(*site);
        match sums.iter_mut().find(|(there, _)| *there == row) {
            Some((_, sum)) => sum.merge(open),
            None => sums.push((row, *open)),
        }
    }
    Some(sums)
}

/// Adds up the readings of one stack in one site.
fn merge_equal(stacks: &mut Vec<StackReading>) {
    // Stacks are kept once, so their address tells them apart.
    let key = |stack: &StackReading| (stack.frames.as_ptr(), stack.site);
    stacks.sort_unstable_by_key(key);
    stacks.dedup_by(|stack, kept| {
        let is_equal = key(stack) == key(kept);
        if is_equal {
            kept.task = match (kept.live_samples, stack.live_samples) {
                (0, _) => stack.task,
                (_, 0) => kept.task,
                _ if kept.task == stack.task => kept.task,
                _ => 0,
            };
            kept.live_bytes = kept.live_bytes.saturating_add(stack.live_bytes);
            kept.allocated_bytes = kept.allocated_bytes.saturating_add(stack.allocated_bytes);
            kept.live_samples += stack.live_samples;
            kept.samples += stack.samples;
        }
        is_equal
    });
}

impl SiteReading {
    fn add(&mut self, other: &Self) {
        self.sums = self.sums.plus(&other.sums);
        self.spawned += other.spawned;
        self.split += other.split;
        self.away = self.away.wrapping_add(other.away);
        self.left.add(other.left);
    }
}
