//! One block that tasks of several sites share and that grows: whichever moves it to more room has
//! it then, so no site grows by itself.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{
    cause::is_items,
    code::{Code, Share},
    cure::Case,
    evidence::{Evidence, LEAST_FREED_BLOCKS, place_of, place_of_task},
    growing::{Grown, blank, complete, is_as_others},
    growth::{Growth, Suspect},
    keeper::Keeper,
    kind::of_frames,
    options::LeakOptions,
    wording::{names, several},
};
use crate::{
    accounting::UNNAMED,
    model::{
        HandOver, HumanBytes, Place, SiteProfile, StackProfile, TaskMemoryProfile, TrendPoint,
        human::cell,
    },
    snapshot::{MemorySnapshot, sum},
};

/// What the sites have freed of each other is at least one part in this many of the rise. Of three
/// sites one in three moves is of the site that has the block already.
const LEAST_MOVED: u64 = 16;
/// A site has given the collection away if its bytes have fallen by one part in this many of the
/// rise, and those of all sites together have not.
const LEAST_HELD: u64 = 8;
/// The room of a collection is about that of all its former rooms together, and is estimated.
const LEAST_OF_MOVED: u64 = 4;

/// Sites of which each has freed, in few blocks, what another of them has allocated. Tasks without
/// a name are of any of them.
#[derive(Default)]
pub(super) struct Group<'a> {
    sites: Vec<&'a SiteProfile>,
    /// Those of them whose blocks others have freed.
    from: BTreeSet<&'a Place>,
    blocks: u64,
    bytes: u64,
}

/// Finds growth by doubling of the bytes that several sites have together, without the sites that
/// another finding is about.
pub(super) fn find(
    snapshot: &MemorySnapshot,
    options: &LeakOptions,
    known: &HashSet<Place>,
) -> Vec<Grown> {
    let groups = groups(snapshot, options.least_retained, |place| !known.contains(place));
    if groups.is_empty() {
        return Vec::new();
    }
    let evidence = Evidence::of(snapshot);
    groups.iter().filter_map(|group| group.finding(snapshot, options, &evidence)).collect()
}

/// What is said of a collection that several sites move to more room.
pub(super) struct Table {
    /// Its code, as a sentence.
    pub(super) evidence: String,
    pub(super) cure: String,
}

/// The groups of those sites for which `is_one` is true. A collection that is moved is many bytes,
/// at least this many, in few blocks.
pub(super) fn groups(
    snapshot: &MemorySnapshot,
    least: u64,
    is_one: impl Fn(&Place) -> bool,
) -> Vec<Group<'_>> {
    let sites = snapshot.sites().iter().filter(|site| site.measured);
    let sites = sites.map(|site| (place_of(site), site));
    let sites: HashMap<Place, &SiteProfile> = sites.filter(|(place, _)| is_one(place)).collect();
    let is_moved = |row: &&HandOver| row.blocks < LEAST_FREED_BLOCKS && row.bytes >= least;
    let rows = snapshot.hand_overs().iter().filter(is_moved);
    let rows = rows.filter_map(|row| Some((row.from.as_ref()?, row.to.as_ref()?, row)));
    let may_be = |place: &Place| sites.contains_key(place) || place.name == UNNAMED;
    let rows: Vec<_> =
        rows.filter(|(from, to, _)| from != to && may_be(from) && may_be(to)).collect();
    // Each site leads to the one that stands for its group.
    let mut leads: HashMap<&Place, &Place> = HashMap::new();
    for (from, to, _) in &rows {
        let (from, to) = (end(&leads, from), end(&leads, to));
        if from != to {
            leads.insert(from.max(to), from.min(to));
        }
    }
    let mut groups: BTreeMap<&Place, (Group<'_>, HashSet<&Place>)> = BTreeMap::new();
    for (from, to, row) in rows {
        let (group, members) = groups.entry(end(&leads, from)).or_default();
        group.from.extend(Some(from).filter(|from| from.name != UNNAMED));
        group.blocks = group.blocks.saturating_add(row.blocks);
        group.bytes = group.bytes.saturating_add(row.bytes);
        for place in [from, to] {
            let site = sites.get(place).filter(|_| members.insert(place));
            group.sites.extend(site);
        }
    }
    groups.into_values().map(|(group, _)| group).collect()
}

fn end<'p>(leads: &HashMap<&'p Place, &'p Place>, place: &'p Place) -> &'p Place {
    let mut place = place;
    while let Some(next) = leads.get(place) {
        place = next;
    }
    place
}

impl<'a> Group<'a> {
    /// Returns `None` if the sum does not grow by doubling, if no site has half of it, or if none
    /// has given it away.
    fn finding(
        &self,
        snapshot: &MemorySnapshot,
        options: &LeakOptions,
        evidence: &Evidence<'_>,
    ) -> Option<Grown> {
        let growth = Growth::of(&self.points(evidence), options)?;
        growth.doubling?;
        let largest = self.named().max_by_key(|site| site.live_bytes)?;
        let rise = growth.course.rise();
        let place = place_of(largest);
        let mut givers = self.givers(&growth, evidence);
        let is_moved = self.bytes >= rise / LEAST_MOVED && !givers.is_empty();
        if !is_moved || largest.live_bytes < rise / 2 {
            return None;
        }
        // A buffer of one task, such as an upload that is not finished yet.
        let mut tasks = snapshot.tasks().iter().filter(|task| !task.state.is_ended());
        let has_half = |task: &TaskMemoryProfile| task.live_bytes >= rise / 2;
        if tasks.any(|it| has_half(it) && place_of_task(it) == place && is_as_others(it, largest)) {
            return None;
        }
        givers.retain(|giver| place_of(giver) != place);
        let bytes = sum(givers.iter().map(|it| it.live_bytes)).saturating_add(largest.live_bytes);
        let of = Suspect::grown(bytes, &growth);
        let places: Vec<Place> = self.sites.iter().map(|site| place_of(site)).collect();
        let mut leak = blank(&place, &growth);
        leak.others = givers.iter().map(|giver| place_of(giver)).collect();
        let mut sharing: Vec<&str> = givers.iter().map(|giver| &*giver.name).collect();
        sharing.push(&largest.name);
        sharing.sort_unstable();
        leak.evidence = format!(
            "{} These are the bytes of {} together. Now `{}` has most of them, and before others had: {} share a collection that one or the other moves to more room. Others have freed {} in only {} of theirs.",
            leak.evidence,
            several(self.named().count() as u64, "site", "sites"),
            cell(&largest.name, 48),
            names(&sharing),
            HumanBytes(self.bytes),
            several(self.blocks, "block", "blocks"),
        );
        let keeper = Keeper {
            clue: evidence.clue_of_sites(&places, of.since_ns).unwrap_or_default(),
            held: evidence.held(Some(&place.name), &of),
            is_outside: true,
            ..Keeper::default()
        };
        let leak = keeper.tell(leak, || {
            "bound the collection that these sites share, or take out what is done with".to_owned()
        });
        Some((complete(leak, bytes, &growth, evidence, growth.may_be_load()), growth))
    }

    /// Whether two of the sites had the collection and lost it. What one site allocates for others
    /// is no collection that they share.
    pub(super) fn is_mutual(&self) -> bool {
        self.from.len() > 1
    }

    pub(super) fn has(&self, place: &Place) -> bool {
        self.named().any(|site| place_of(site) == *place)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What is seen of the collection, as a sentence.
    pub(super) fn sentence(&self) -> String {
        let mut sites: Vec<&str> = self.named().map(|site| &*site.name).collect();
        sites.sort_unstable();
        format!(
            "Tasks of {} may share a collection that one or the other moves to more room: others have freed {} in only {} of theirs.",
            names(&sites),
            HumanBytes(self.bytes),
            several(self.blocks, "block", "blocks"),
        )
    }

    /// The collection that the tasks of these sites move, if the stack of it has a sample.
    pub(super) fn table(&self, snapshot: &MemorySnapshot) -> Option<Table> {
        let interval = snapshot.stack_interval_bytes();
        let is_theirs = |stack: &&StackProfile| {
            let site = stack.site.and_then(|site| snapshot.sites().get(site));
            site.is_some_and(|site| self.named().any(|it| place_of(it) == place_of(site)))
        };
        let tables = snapshot.stacks().iter().filter(is_theirs).filter_map(|stack| {
            let (cause, by) = of_frames(&stack.frames)?;
            let StackProfile { live_bytes, live_samples, .. } = *stack;
            let is_large = live_samples != 0 && live_bytes >= self.bytes / LEAST_OF_MOVED;
            let is_table = is_large && !is_items(cause, live_bytes, live_samples, interval);
            is_table.then_some((stack, cause, by))
        });
        let (stack, cause, by) = tables.max_by_key(|(stack, ..)| stack.live_bytes)?;
        let code = Share::of(Code::of(&stack.frames)?, stack.live_bytes, stack.live_samples);
        let known = Case { cause, by: &by, has_ended: true, ..Case::default() };
        Some(Table {
            evidence: format!("Its last room may be what {code} allocates."),
            cure: known.cure()?,
        })
    }

    /// The sites that had the collection in the time of the growth and gave it away.
    fn givers(&self, growth: &Growth, evidence: &Evidence<'_>) -> Vec<&'a SiteProfile> {
        let (since_ns, least) = (growth.course.first().at_ns, growth.course.rise() / LEAST_HELD);
        let gave = |site: &&&SiteProfile| {
            let points = evidence.points_of(&place_of(site)).iter();
            let highest = points.filter(|it| it.at_ns >= since_ns).map(|it| it.live_bytes).max();
            highest.is_some_and(|highest| highest.saturating_sub(site.live_bytes) >= least)
        };
        self.named().filter(gave).copied().collect()
    }

    fn named(&self) -> impl Iterator<Item = &&'a SiteProfile> {
        self.sites.iter().filter(|site| site.name != UNNAMED)
    }

    /// What the sites have together, at the times at which each has a sample.
    fn points(&self, evidence: &Evidence<'_>) -> Vec<TrendPoint> {
        let all: Vec<&[TrendPoint]> =
            self.sites.iter().map(|site| evidence.points_of(&place_of(site))).collect();
        let longest = all.iter().max_by_key(|points| points.len()).copied().unwrap_or_default();
        let together = longest.iter().filter_map(|time| {
            all.iter().try_fold(
                TrendPoint { live_bytes: 0, allocated_bytes: 0, ..*time },
                |at, of| {
                    // A site has no sample before its first task.
                    if of.first().is_none_or(|first| first.at_ns > time.at_ns) {
                        return Some(at);
                    }
                    let found = of.binary_search_by_key(&time.at_ns, |point| point.at_ns).ok()?;
                    let point = of.get(found)?;
                    Some(TrendPoint {
                        live_bytes: at.live_bytes.saturating_add(point.live_bytes),
                        allocated_bytes: at.allocated_bytes.saturating_add(point.allocated_bytes),
                        ..at
                    })
                },
            )
        });
        together.collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::analysis::{
        LeakCause, LeakKind, Leaks,
        fixture::{hand_over, site, snapshot, task, trend},
    };

    /// Live KiB of a list that moved to twice its room, one sample a minute.
    const DOUBLING: [u64; 14] =
        [128, 256, 512, 512, 1024, 1024, 1024, 1024, 2048, 2048, 2048, 2048, 2048, 2048];

    /// Three sites, each of which has 8 KiB and, in the minutes that `has` says, the list.
    /// `freed`: from which site to which, blocks and KiB.
    fn leaks(
        kib: &[u64],
        has: impl Fn(usize) -> usize,
        freed: &[(&str, &str, u64, u64)],
        parts: &Value,
    ) -> Leaks {
        let (mut sites, mut trends) = (Vec::new(), Vec::new());
        for (number, name) in ["login", "search", "order"].into_iter().enumerate() {
            let live = |minute: usize| 8 + if has(minute) == number { kib[minute] } else { 0 };
            let points: Vec<(u64, u64)> =
                (0..kib.len()).map(|minute| (live(minute) << 10, live(minute) << 11)).collect();
            let bytes = live(kib.len() - 1) << 10;
            let row = json!({
                "live_bytes": bytes, "retained_bytes": bytes, "retained_tasks": 1,
                "retained_waves": 1, "retained_by_eighth": [0, 0, 0, 0, 0, 0, 0, 1],
            });
            sites.push(site(name, &row));
            trends.push(trend(None, name, &points));
        }
        let rows: Vec<Value> = freed
            .iter()
            .map(|(from, to, blocks, kib)| hand_over(Some(from), Some(to), *blocks, kib << 10))
            .collect();
        let frames = ["alloc::vec::Vec<T,A>::push", "app::record"];
        let frames = frames.map(|function| json!({ "function": function }));
        let stack = json!({
            "frames": frames, "site": has(kib.len() - 1), "live_bytes": 2 << 20, "live_samples": 2,
        });
        let mut all = json!({
            "sites": sites, "trends": trends, "hand_overs": rows, "stacks": [stack],
            "stack_interval_bytes": 64 << 10,
        });
        for (field, part) in parts.as_object().into_iter().flatten() {
            all[field] = part.clone();
        }
        snapshot(&all).leaks()
    }

    /// The list is of another site after each step.
    fn by_turns(minute: usize) -> usize {
        [0, 1, 2, 2, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2][minute]
    }

    const MOVED: [(&str, &str, u64, u64); 2] =
        [("search", "order", 3, 1_400), ("order", "search", 2, 600)];

    #[test]
    fn a_list_that_tasks_of_several_sites_move_to_more_room_is_found_once() {
        let unnamed = [("search", "(unannotated)", 3, 1_400), ("order", "(unannotated)", 2, 600)];
        for moved in [MOVED, unnamed] {
            let found = leaks(&DOUBLING, by_turns, &moved, &json!({}));
            let [leak] = found.findings() else { panic!("{found}") };
            assert_eq!((leak.kind, &*leak.place.name), (LeakKind::Growing, "order"), "{leak}");
            assert_eq!((leak.cause, leak.bytes), (LeakCause::List, 2_064 << 10), "{leak}");
            let seen = "These are the bytes of 2 sites together. Now `order` has most of them, \
                        and before others had: `order` and `search` share a collection that one \
                        or the other moves to more room. Others have freed 2.0 MiB in only 5 \
                        blocks of theirs.";
            assert!(leak.evidence.contains(seen), "{leak}");
            assert!(leak.fix.contains("what is done with, or bound it"), "{leak}");
            assert!(
                leak.to_string().contains("Allocated at `app::record`, by 2 samples"),
                "{leak}"
            );
        }
    }

    #[test]
    fn sites_that_free_nothing_or_many_blocks_of_each_other_share_no_collection() {
        let many = [("search", "order", 32, 1_400), ("order", "search", 32, 600)];
        let little = [("search", "order", 3, 60), ("order", "search", 2, 60)];
        for freed in [&[][..], &many, &little] {
            let found = leaks(&DOUBLING, by_turns, freed, &json!({}));
            assert!(found.is_empty(), "{found}");
        }
    }

    #[test]
    fn a_list_that_is_full_or_grows_in_two_steps_is_no_finding() {
        let over = [&DOUBLING[..], &[2_048; 8]].concat();
        let two_steps = [&[512; 4][..], &[1_024; 4], &[2_048; 6]].concat();
        for kib in [over, two_steps, vec![1_024; 14]] {
            let found = leaks(&kib, by_turns, &MOVED, &json!({}));
            assert!(found.is_empty(), "{found}");
        }
    }

    #[test]
    fn a_buffer_of_a_task_that_others_of_its_site_filled_and_freed_is_no_finding() {
        let upload = |peak: u64| {
            let live = json!({ "live_bytes": 2_048 << 10, "peak_bytes": 3_072 << 10 });
            let row = json!({
                "active": 1, "spawned": 9, "completed": 8, "live_bytes": 2_056 << 10,
                "peak_histogram": [{ "up_to": peak, "count": 8 }],
            });
            let sites =
                json!([site("login", &json!({})), site("search", &json!({})), site("order", &row)]);
            let parts = json!({ "sites": sites, "tasks": [task(1, "order", &live)] });
            leaks(&DOUBLING, by_turns, &MOVED, &parts).len()
        };
        assert_eq!((upload(8 << 20), upload(1 << 20)), (0, 1));
    }

    #[test]
    fn what_tasks_of_several_sites_put_into_a_table_that_they_move_has_a_cure_for_the_table() {
        let left = |kib: u64| {
            json!({
                "spawned": 1200, "completed": 1200, "live_bytes": kib << 10,
                "retained_bytes": kib << 10, "ended_allocated_bytes": kib << 10,
                "retained_tasks": 1200, "retained_waves": 300, "oldest_retained_ns": 1_u64 << 39,
                "retained_by_eighth": [150, 150, 150, 150, 150, 150, 150, 150],
            })
        };
        let frames = |functions: &[&str]| {
            functions.iter().map(|it| json!({ "function": it })).collect::<Vec<_>>()
        };
        let item = |function: &str, site: u64| json!({ "frames": frames(&[function]), "site": site, "live_bytes": 4 << 20, "live_samples": 9 });
        let table = json!({
            "frames": frames(&["hashbrown::map::HashMap<K,V>::insert", "app::order"]), "site": 1,
            "live_bytes": 1 << 20, "live_samples": 2,
        });
        let found = |freed: &[(&str, &str)]| {
            let rows: Vec<Value> = freed
                .iter()
                .map(|(from, to)| hand_over(Some(from), Some(to), 3, 400 << 10))
                .collect();
            snapshot(&json!({
                "sites": [site("search", &left(8 << 10)), site("order", &left(9 << 10))],
                "stacks": [item("app::search", 0), item("app::order", 1), table],
                "stack_interval_bytes": 64 << 10, "hand_overs": rows,
            }))
            .leaks()
        };
        let both = found(&[("search", "order"), ("order", "search")]);
        let [leak] = both.findings() else { panic!("{both}") };
        assert_eq!(leak.cause, LeakCause::Unknown, "{leak}");
        assert!(leak.fix.contains("a capacity or an age"), "{leak}");
        let other = "`search` has 8.0 MiB of it, allocated at `app::search`, ≈ 100 % by 9";
        assert!(leak.evidence.contains(other) && leak.others.len() == 1, "{leak}");
        let seen = "Tasks of `order` and `search` may share a collection that one or the other \
                    moves to more room: others have freed 800.0 KiB in only 6 blocks of theirs";
        assert!(leak.evidence.contains(seen), "{leak}");
        for leak in &found(&[("search", "order")]) {
            assert!(!leak.evidence.contains("share a collection"), "{leak}");
        }
    }
}
