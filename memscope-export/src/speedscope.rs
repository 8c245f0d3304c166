//! The JSON of speedscope, <https://www.speedscope.app>.

use std::{collections::HashMap, path::Path};

use memscope_runtime::async_memory::MemorySnapshot;
use serde::Serialize;

use crate::{
    attribution::{Parts, PprofKind},
    calls::Call,
};

const SCHEMA: &str = "https://www.speedscope.app/file-format-schema.json";

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct File<'s> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    exporter: &'static str,
    name: &'s str,
    active_profile_index: usize,
    shared: Shared<'s>,
    profiles: Vec<Profile>,
}

#[derive(Debug, Default, Serialize)]
struct Shared<'s> {
    frames: Vec<Frame<'s>>,
}

#[derive(Debug, Serialize)]
struct Frame<'s> {
    name: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    file: &'s str,
    #[serde(skip_serializing_if = "is_unknown")]
    line: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_unknown(line: &u32) -> bool {
    *line == 0
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'static str,
    unit: &'static str,
    start_value: u64,
    end_value: u64,
    /// The frames of each stack, the outermost first.
    samples: Vec<Vec<usize>>,
    weights: Vec<u64>,
}

/// Writes the snapshot as a file for speedscope, with a profile of live and one of allocated bytes.
///
/// The roots are those of [`folded`](crate::folded()).
///
/// ```
/// use memscope_runtime::async_memory::get_memory_snapshot;
///
/// let json = memscope_export::speedscope(&get_memory_snapshot());
/// assert!(json.contains(r#""name":"live bytes""#));
/// ```
#[expect(clippy::missing_panics_doc, reason = "all of it can be written as JSON")]
pub fn speedscope(snapshot: &MemorySnapshot) -> String {
    let mut frames = Frames::default();
    let profiles = vec![
        profile(snapshot, PprofKind::Live, "live bytes", &mut frames),
        profile(snapshot, PprofKind::Allocated, "allocated bytes", &mut frames),
    ];
    let path = snapshot.program().map(|program| Path::new(&program.path));
    let name = path.and_then(Path::file_name).and_then(|name| name.to_str());
    let file = File {
        schema: SCHEMA,
        exporter: concat!("memscope-export@", env!("CARGO_PKG_VERSION")),
        name: name.unwrap_or("memscope"),
        active_profile_index: 0,
        shared: frames.shared,
        profiles,
    };
    serde_json::to_string(&file).expect("all of it can be written as JSON")
}

fn profile<'s>(
    snapshot: &'s MemorySnapshot,
    kind: PprofKind,
    name: &'static str,
    frames: &mut Frames<'s>,
) -> Profile {
    let parts = Parts::of(snapshot, kind);
    let (mut samples, mut weights) = (Vec::new(), Vec::new());
    for part in parts.rows.iter().filter(|part| part.bytes != 0) {
        samples.push(part.calls_by_owner().into_iter().map(|call| frames.index(call)).collect());
        weights.push(part.bytes);
    }
    let end_value = weights.iter().sum();
    Profile { kind: "sampled", name, unit: "bytes", start_value: 0, end_value, samples, weights }
}

/// All frames, each once.
#[derive(Debug, Default)]
struct Frames<'s> {
    shared: Shared<'s>,
    indices: HashMap<(String, &'s str, u32), usize>,
}

impl<'s> Frames<'s> {
    fn index(&mut self, call: Call<'s>) -> usize {
        let Call { name, file, line, place: _ } = call;
        let frames = &mut self.shared.frames;
        *self.indices.entry((name, file, line)).or_insert_with_key(|key| {
            frames.push(Frame { name: key.0.clone(), file, line });
            frames.len() - 1
        })
    }
}
