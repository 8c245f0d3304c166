//! Folded stacks: one line a stack, as flame graph tools read them.

use memscope_runtime::{__terminal::visible, async_memory::MemorySnapshot};

use crate::attribution::{Parts, PprofKind};

/// Writes live bytes as folded stacks: `outermost;…;innermost bytes`, one line a stack.
///
/// Each site is a root. Below it are `≈ sampled stacks`, which are estimates, and `(no stack)`,
/// which is the rest of its exact figure. So each root has exactly the bytes of its site.
///
/// In names `;` becomes `,`, and each space, line break or control character becomes `_`.
///
/// ```
/// use memscope_runtime::async_memory::get_memory_snapshot;
///
/// for line in memscope_export::folded(&get_memory_snapshot()).lines() {
///     let (stack, bytes) = line.rsplit_once(' ').expect("a stack and its bytes");
///     assert!(!stack.is_empty() && bytes.parse::<u64>().is_ok());
/// }
/// ```
pub fn folded(snapshot: &MemorySnapshot) -> String {
    folded_of(snapshot, PprofKind::Live)
}

/// Writes live or allocated bytes as [`folded`] does.
pub fn folded_of(snapshot: &MemorySnapshot, kind: PprofKind) -> String {
    let mut out = String::new();
    for part in Parts::of(snapshot, kind).rows.iter().filter(|part| part.bytes != 0) {
        for (depth, call) in part.calls_by_owner().iter().enumerate() {
            if depth != 0 {
                out.push(';');
            }
            push_safe(&mut out, &call.name);
        }
        out.push(' ');
        out.push_str(&part.bytes.to_string());
        out.push('\n');
    }
    out
}

/// Returns a site's name as [`folded`] spells it, without the `site_` in front.
///
/// ```
/// assert_eq!(memscope_export::folded_name("GET /a b;c"), "GET_/a_b,c");
/// ```
pub fn folded_name(site: &str) -> String {
    let mut out = String::new();
    push_safe(&mut out, &visible(site).to_string());
    out
}

/// Appends a name without characters that separate frames or lines.
fn push_safe(out: &mut String, name: &str) {
    if name.is_empty() {
        out.push_str("(no_name)");
    }
    out.extend(name.chars().map(|it| match it {
        ';' => ',',
        // Readers take a number after a space for a figure.
        _ if it.is_whitespace() || it.is_control() => '_',
        _ => it,
    }));
}
