//! Flame graphs of live or allocated bytes.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use inferno::flamegraph::{self, Options};
use memscope_export::{PprofKind, folded_name, folded_of};
use memscope_runtime::async_memory::MemorySnapshot;
use sha2::{Digest, Sha256};

/// What a client asks for.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) kind: PprofKind,
    /// The name of the sites to show. `None` shows all sites.
    pub(crate) site: Option<String>,
}

/// A graph, and the Content-Security-Policy under which its own script runs.
#[derive(Debug)]
pub(crate) struct Graph {
    pub(crate) svg: String,
    pub(crate) policy: String,
}

/// Draws the graph. Returns `None` if there is nothing to draw.
pub(crate) fn draw(snapshot: &MemorySnapshot, wanted: &Wanted) -> Option<Graph> {
    let folded = folded_of(snapshot, wanted.kind);
    let root = wanted.site.as_deref().map(folded_name);
    let lines =
        folded.lines().filter(|line| root.as_deref().is_none_or(|root| is_below(line, root)));
    let mut options = Options::default();
    match wanted.kind {
        PprofKind::Live => "Live bytes by site and code",
        PprofKind::Allocated => "Allocated bytes by site and code",
    }
    .clone_into(&mut options.title);
    "bytes".clone_into(&mut options.count_name);
    let mut svg = Vec::new();
    flamegraph::from_lines(&mut options, lines, &mut svg).ok()?;
    let svg = String::from_utf8(svg).ok()?;
    let policy = policy_of(&svg);
    Some(Graph { svg, policy })
}

fn is_below(line: &str, root: &str) -> bool {
    let frame = line.split(';').next().unwrap_or_default();
    let frame = frame.rsplit_once(' ').map_or(frame, |(frame, _)| frame);
    frame == root || frame.strip_prefix("site_") == Some(root)
}

/// Returns the policy that allows the graph's script and the only handler of its element,
/// each by its hash. The script is a constant of the library, and stands before any name.
fn policy_of(svg: &str) -> String {
    let hash = |text: &str| BASE64.encode(Sha256::digest(text));
    let script = svg.split_once("<script").and_then(|(_, rest)| rest.split_once('>'));
    let script = script.and_then(|(_, rest)| rest.split_once("</script>"));
    // The script's text stands in several sections, which follow each other.
    let script = script.map(|(text, _)| text.replace("<![CDATA[", "").replace("]]>", ""));
    format!(
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-hashes' 'sha256-{}' \
         'sha256-{}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(&script.unwrap_or_default()),
        hash("init(evt)"),
    )
}
