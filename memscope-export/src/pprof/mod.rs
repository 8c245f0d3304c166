//! The gzipped protobuf that `go tool pprof`, Pyroscope and Parca read.

mod comments;
mod frames;
mod proto;
mod tables;

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use memscope_runtime::{__terminal::visible, async_memory::MemorySnapshot};
use prost::Message;
use proto::{Label, Sample, ValueType};
use tables::Tables;

use crate::attribution::{Basis, Owner, Part, Parts, PprofKind};

impl PprofKind {
    /// The two values of a sample, each with its unit.
    const fn values(self) -> [(&'static str, &'static str); 2] {
        match self {
            Self::Live => [("live_bytes", "bytes"), ("live_blocks", "count")],
            Self::Allocated => [("allocated_bytes", "bytes"), ("allocations", "count")],
        }
    }
}

/// Writes the snapshot as a gzipped profile in pprof's format.
///
/// The sum of all samples is the exact figure, in total and for each site. Samples with the label
/// `figure=estimate` have a sampled stack. The label `samples` says how many samples the estimate
/// has. The rest of a site is below the root `(no stack)`, by site and, if it is known, by await
/// point. If the estimates of a site's stacks exceed its exact figure, they are scaled down to it.
///
/// Labels are `site`, `task_type`, `task` and `await_point`. A label that is not known is absent.
/// Blocks and allocations are known by site and task, not by stack. Sums above `i64::MAX` are cut,
/// and a comment says so.
///
/// ```
/// use memscope_export::{PprofKind, pprof};
/// use memscope_runtime::async_memory::get_memory_snapshot;
///
/// let profile = pprof(&get_memory_snapshot(), PprofKind::Live);
/// assert_eq!(profile[..2], [0x1f, 0x8b], "it is gzipped");
/// ```
#[expect(clippy::missing_panics_doc, reason = "a list takes all bytes")]
pub fn pprof(snapshot: &MemorySnapshot, kind: PprofKind) -> Vec<u8> {
    let profile = profile(snapshot, kind).encode_to_vec();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(&profile).expect("a list takes all bytes");
    gzip.finish().expect("a list takes all bytes")
}

fn profile(snapshot: &MemorySnapshot, kind: PprofKind) -> proto::Profile {
    let parts = Parts::of(snapshot, kind);
    let mut tables = Tables::new(snapshot.program(), snapshot.libraries());
    for part in &parts.rows {
        let sample = sample(part, &mut tables);
        tables.profile.sample.push(sample);
    }
    for (r#type, unit) in kind.values() {
        let value = ValueType { r#type: tables.string(r#type), unit: tables.string(unit) };
        tables.profile.sample_type.push(value);
    }
    tables.profile.default_sample_type = tables.string(kind.values()[0].0);
    tables.profile.drop_frames = tables.string(&frames::dropped());
    tables.profile.keep_frames = tables.string(frames::KEPT);
    let period_type = ValueType { r#type: tables.string("space"), unit: tables.string("bytes") };
    tables.profile.period_type = Some(period_type);
    tables.profile.period = signed(snapshot.stack_interval_bytes());
    let observed_ns = nanoseconds(snapshot.observed_seconds());
    tables.profile.duration_nanos = observed_ns;
    let started_ns = signed(snapshot.origin().started_unix_ns);
    if started_ns != 0 {
        tables.profile.time_nanos = started_ns.saturating_add(observed_ns);
    }
    for comment in comments::of(snapshot, kind, &parts) {
        let comment = tables.string(&comment);
        tables.profile.comment.push(comment);
    }
    tables.profile
}

fn sample<'s>(part: &Part<'s>, tables: &mut Tables<'s>) -> Sample {
    let mut label = Vec::new();
    let mut text = |tables: &mut Tables<'s>, key: &str, text: &str| {
        // Readers take a label without a text for a number.
        if !text.is_empty() {
            let label_of =
                Label { key: tables.string(key), str: tables.string(text), ..Label::default() };
            label.push(label_of);
        }
    };
    if let Owner::Site(site) = part.owner {
        text(tables, "site", &visible(&site.name).to_string());
        text(tables, "task_type", site.task_type.as_str());
    }
    if let Some(task) = part.task {
        text(tables, "task", &task.to_string());
    }
    if let Some(await_point) = part.await_point {
        text(tables, "await_point", &await_point.to_string());
    }
    text(
        tables,
        "figure",
        match part.basis {
            Basis::Exact => "exact",
            Basis::Estimate { .. } => "estimate",
            Basis::Rest => "exact less estimates",
        },
    );
    if let Basis::Estimate { samples } = part.basis {
        let (key, num_unit) = (tables.string("samples"), tables.string("count"));
        label.push(Label { key, num: signed(samples), num_unit, ..Label::default() });
    }
    let calls = part.calls();
    Sample {
        location_id: calls.iter().rev().map(|call| tables.location(call)).collect(),
        value: vec![signed(part.bytes), signed(part.blocks)],
        label,
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[expect(clippy::cast_possible_truncation, reason = "the cast saturates")]
fn nanoseconds(seconds: f64) -> i64 {
    (seconds * 1e9) as i64
}
