//! What stands out in the tables.

use std::{cmp::Reverse, fmt};

use super::{LEAST_UNANNOTATED, NAME_COLUMNS};
use crate::{
    model::{
        HumanBytes, SiteProfile, TaskState,
        human::{cell, count},
    },
    primitives::{order, reserve},
    snapshot::MemorySnapshot,
};

/// What a site's tasks left behind is shown from this many bytes on, if it is less than a byte for
/// each task.
const LEAST_WITHOUT_EACH: u64 = 64 << 10;

/// How many findings of one kind are printed.
const MOST_FINDINGS: usize = 3;

impl MemorySnapshot {
    /// Prints what a reader would look for in the tables: the sites that left memory behind, the
    /// tasks that were cut off, and the largest owners.
    pub(super) fn findings(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut findings = Vec::new();
        let mut of_each =
            |kind: &str, number: fn(&SiteProfile) -> u64, text: &dyn Fn(&SiteProfile) -> String| {
                let mut sites: Vec<&SiteProfile> =
                    reserve::rows(self.sites(), |site| (number(site) != 0).then_some(site));
                order::by_key(&mut sites, |site| Reverse(number(site)));
                for site in sites.iter().take(MOST_FINDINGS) {
                    findings.push(format!(
                        "{kind:9}  {}: {}",
                        cell(&site.name, NAME_COLUMNS),
                        text(site)
                    ));
                }
            };
        let retained = |site: &SiteProfile| {
            // If no ends are known, memory counted as retained may still belong to a living task.
            let is_known = !site.ends_unknown || site.ended() != 0;
            // What libraries keep of a task is no finding.
            let is_much = site.is_annotated || site.retained_bytes >= LEAST_UNANNOTATED;
            // A few bytes of thousands of tasks stand out nowhere.
            let is_some = is_each(site) || site.retained_bytes >= LEAST_WITHOUT_EACH;
            if is_known && is_much && is_some { site.retained_bytes } else { 0 }
        };
        of_each("retained", retained, &|site| {
            let ended = site.ended().max(1);
            let left = HumanBytes(site.retained_bytes);
            let tasks = if ended == 1 { "task" } else { "tasks" };
            let text = format!("{left} left behind by {} ended {tasks}", count(ended));
            if is_each(site) {
                format!("{text}, {} each", HumanBytes(site.retained_bytes / ended))
            } else {
                text
            }
        });
        of_each("cancelled", |site| site.cancelled, &|site| share(site.cancelled, site.spawned));
        of_each("panicked", |site| site.panicked, &|site| share(site.panicked, site.spawned));
        let open =
            self.tasks().iter().filter(|task| !task.state.is_ended() && task.live_bytes != 0);
        let largest = open.max_by_key(|task| task.live_bytes);
        let alone = largest.map_or(0, |task| task.live_bytes);
        findings.extend(self.many(alone));
        if let Some(task) = largest {
            let is_known = task.state != TaskState::Unknown;
            findings.push(format!(
                "largest    {} (task #{}): {} {} in {} {}",
                cell(&task.name, NAME_COLUMNS),
                task.id,
                if is_known { "alive with" } else { "holds" },
                HumanBytes(task.live_bytes),
                count(task.live_blocks),
                if task.live_blocks == 1 { "block" } else { "blocks" },
            ));
        }
        if findings.is_empty() {
            return Ok(());
        }
        writeln!(f, "what stands out\n  {}\n", findings.join("\n  "))
    }
}

impl MemorySnapshot {
    /// The site whose living tasks hold most together, if that is more than the largest task has.
    fn many(&self, alone: u64) -> Option<String> {
        let held = |site: &SiteProfile| site.live_bytes.saturating_sub(site.retained_bytes);
        let several = self.sites().iter().filter(|site| site.active > 1 && !site.ends_unknown);
        let most = several.max_by_key(|site| held(site)).filter(|site| held(site) > alone)?;
        Some(format!(
            "largest    {}: {} in {} living tasks, {} each",
            cell(&most.name, NAME_COLUMNS),
            HumanBytes(held(most)),
            count(most.active),
            HumanBytes(held(most) / most.active)
        ))
    }
}

/// Whether an ended task of the site left behind at least a byte on average.
fn is_each(site: &SiteProfile) -> bool {
    site.retained_bytes >= site.ended().max(1)
}

fn share(part: u64, all: u64) -> String {
    format!("{} of {} tasks", count(part), count(all))
}
