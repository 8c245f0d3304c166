//! What the stacks of a report lack: names and lines that are still looked up, and lines that the
//! program does not have.

use std::fmt;

use crate::{
    model::{StackFrame, human::count, symbol::Code},
    snapshot::MemorySnapshot,
};

const NO_LINES: &str = "lines: none is known of this code; `debug = \"line-tables-only\"` in the \
    program's profile in Cargo.toml gives it some";

impl MemorySnapshot {
    /// Prints a line for each kind of note.
    pub(super) fn stack_notes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.stack_names_pending() {
            0 => {}
            1 => writeln!(
                f,
                "the name or line of 1 call is being looked up; the next report has it"
            )?,
            pending => writeln!(
                f,
                "the names or lines of {} calls are being looked up; the next report has them",
                count(pending)
            )?,
        }
        if self.lacks_lines() { writeln!(f, "{NO_LINES}") } else { Ok(()) }
    }

    /// Whether the program's functions have names and no line is known of any of them.
    fn lacks_lines(&self) -> bool {
        let mut frames = self.stacks().iter().flat_map(|stack| &stack.frames);
        let is_own = |frame: &StackFrame| {
            frame.library.is_none() && Code::of(&frame.function) == Code::Other
        };
        self.stack_names_pending() == 0
            && frames.clone().any(is_own)
            && frames.all(|frame| frame.line.is_none())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::analysis::fixture;

    #[test]
    fn a_program_without_lines_is_told_how_to_have_them() {
        let of = |frames: Value, pending: u64| {
            let stacks = json!([{ "frames": frames, "live_bytes": 1 << 20, "samples": 1 }]);
            let parts = json!({
                "stacks": stacks, "stacks_measured": "on", "stack_interval_bytes": 2 << 20,
                "stack_names_pending": pending,
            });
            fixture::snapshot(&parts).to_string()
        };
        let frames = |functions: [&str; 2]| json!(functions.map(|it| json!({ "function": it })));
        let named = || frames(["alloc::alloc::alloc", "shop::push"]);
        assert!(of(named(), 0).contains(NO_LINES));
        assert!(!of(named(), 1).contains(NO_LINES), "they may still be found");
        let mut with_line = named();
        with_line[1]["file"] = json!("src/shop.rs");
        with_line[1]["line"] = json!(7);
        let shown = of(with_line, 0);
        assert!(shown.contains("shop::push (src/shop.rs:7)") && !shown.contains(NO_LINES));
        // Runtimes and libraries that were loaded say nothing of the program's build.
        assert!(!of(frames(["tokio::spawn", "std::rt::lang_start"]), 0).contains(NO_LINES));
        let mut loaded = named();
        loaded[1]["library"] = json!("/lib/libplugin.so");
        assert!(!of(loaded, 0).contains(NO_LINES));
    }
}
