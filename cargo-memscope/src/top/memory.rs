//! The memory of the process: parts that add up to resident memory, the limit, and the growth.

use memscope_runtime::async_memory::{LimitSource, ProcessPoint, SiteProfile};

use super::{
    context::left_bytes,
    number::{bytes, duration},
    report::Report,
};

/// The kind of a part of the bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PartKind {
    Alive,
    Left,
    Unannotated,
    Outside,
    Own,
    Free,
    Rest,
    /// The room up to the limit.
    Room,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) kind: PartKind,
    /// A short name, which `docs/TOP.md` explains.
    pub(super) label: &'static str,
    pub(super) bytes: u64,
}

/// The memory of the process.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Memory {
    /// Why sizes are not measured.
    pub(super) not_measured: Option<&'static str>,
    /// Resident bytes, or `None` if the system does not say, or if another version wrote the
    /// report.
    pub(super) resident: Option<u64>,
    /// The live bytes of the program's heap.
    pub(super) whole: u64,
    pub(super) limit: Option<u64>,
    pub(super) limit_words: &'static str,
    /// The parts add up to the resident bytes, or to the counted bytes if those are not known. The
    /// room is not among them.
    pub(super) parts: Vec<Part>,
    /// How the memory grows, if it grows.
    pub(super) growth: Option<String>,
}

impl Memory {
    pub(super) fn of(report: &Report) -> Self {
        let snapshot = &report.snapshot;
        let resident = snapshot.resident();
        let limit = resident.limit_bytes.filter(|it| *it > 0);
        let used = resident.resident_bytes;
        // The limit of a control group is for all its processes, so all of them count.
        let counted = resident.limit_used_bytes.or(used);
        let measured = snapshot.measured();
        let whole = snapshot.process().whole_bytes;
        Self {
            not_measured: (!measured.is_yes()).then(|| measured.reason()),
            resident: used,
            whole,
            limit,
            limit_words: words(resident.limit_source),
            parts: parts(report),
            growth: growth(&snapshot.timeline().process, limit.zip(counted)),
        }
    }

    /// Returns the resident bytes, or the counted bytes if those are not known.
    pub(super) fn used(&self) -> u64 {
        self.resident.unwrap_or(self.whole)
    }

    /// Returns the bytes that the whole bar stands for.
    pub(super) fn scale(&self) -> u64 {
        let sum = self.parts.iter().fold(0_u64, |sum, it| sum.saturating_add(it.bytes));
        sum.max(self.limit.unwrap_or(0)).max(self.used())
    }
}

fn words(source: LimitSource) -> &'static str {
    match source {
        LimitSource::CgroupV1 | LimitSource::CgroupV2 => "cgroup",
        LimitSource::Rlimit => "limit of the process",
        LimitSource::Setting => "setting",
        LimitSource::None => "limit",
    }
}

/// Returns the parts of the bar. Bytes that no row has are a part of their own.
fn parts(report: &Report) -> Vec<Part> {
    let (process, tool) = (report.snapshot.process(), report.snapshot.tool());
    let resident = report.snapshot.resident();
    let sites = report.snapshot.sites();
    let sum = |value: &dyn Fn(&SiteProfile) -> u64| {
        sites.iter().fold(0_u64, |sum, site| sum.saturating_add(value(site)))
    };
    let left_of = |site: &SiteProfile| left_bytes(site).unwrap_or(0);
    let alive_of = |site: &SiteProfile| site.live_bytes.saturating_sub(left_of(site));
    let left = sum(&left_of);
    let alive = sum(&|site| if site.is_annotated { alive_of(site) } else { 0 });
    let unannotated = sum(&|site| if site.is_annotated { 0 } else { alive_of(site) });
    let rows = left.saturating_add(alive).saturating_add(unannotated);
    // The bytes of sites that have no row here, or that changed while the snapshot was read.
    let others = process.tracked_bytes.saturating_sub(rows);
    let part = |kind, label, bytes| Part { kind, label, bytes };
    let mut parts = vec![
        part(PartKind::Alive, "living", alive),
        part(PartKind::Left, "left by ended", left),
        part(PartKind::Unannotated, "unannotated", unannotated),
        part(PartKind::Unannotated, "other tasks", others),
        part(PartKind::Outside, "outside", process.untracked_bytes),
    ];
    if let Some(all) = resident.resident_bytes {
        parts.push(part(
            PartKind::Own,
            "memscope",
            resident.memscope_bytes.unwrap_or(tool.own_bytes),
        ));
        let free = resident.allocator_free_bytes;
        parts.extend(free.map(|it| part(PartKind::Free, "free", it)));
        let known = parts.iter().fold(0_u64, |sum, it| sum.saturating_add(it.bytes));
        parts.push(part(PartKind::Rest, "rest", all.saturating_sub(known)));
    }
    parts.retain(|it| it.bytes > 0);
    parts
}

/// Says how live memory rises, if it does. It rises if the least of the last third of the points is
/// above the most of the first third, over a minute or longer.
fn growth(points: &[ProcessPoint], limit_and_used: Option<(u64, u64)>) -> Option<String> {
    const MINUTE_NS: u128 = 60_000_000_000;
    let third = points.len() / 3;
    if third < 2 {
        return None;
    }
    let (first, last) = (&points[..third], &points[points.len() - third..]);
    let ns = u128::from(last[third - 1].at_ns.checked_sub(first[0].at_ns)?);
    let lowest = last.iter().map(|it| it.whole_bytes).min()?;
    if ns < MINUTE_NS || lowest <= first.iter().map(|it| it.whole_bytes).max()? {
        return None;
    }
    let mean = |points: &[ProcessPoint], value: fn(&ProcessPoint) -> u64| {
        points.iter().map(|it| u128::from(value(it))).sum::<u128>() / points.len() as u128
    };
    let rise = mean(last, |it| it.whole_bytes).checked_sub(mean(first, |it| it.whole_bytes))?;
    let took = mean(last, |it| it.at_ns).checked_sub(mean(first, |it| it.at_ns))?;
    let per_minute = u64::try_from((rise * MINUTE_NS).checked_div(took)?).ok()?;
    let mut text = format!("+{}/min", bytes(per_minute));
    if let Some((limit, used)) = limit_and_used
        && let Some(left) = u128::from(limit).checked_sub(u128::from(used))
        && let Some(full_ns) = (left * took).checked_div(rise)
    {
        let full_ns = u64::try_from(full_ns).unwrap_or(u64::MAX);
        text = format!("{text}, full in {}", duration(full_ns));
    }
    Some(text)
}
