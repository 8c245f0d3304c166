//! The choices of the user in the tab of the code.

/// The chosen stacks, bytes and box.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CodeView {
    /// Whether stacks are drawn as an icicle, and not as a table of functions.
    pub(super) is_icicle: bool,
    /// Whether allocated bytes are shown, instead of live bytes.
    pub(super) is_allocated: bool,
    /// Whether the frames of executors are shown.
    pub(super) has_all_frames: bool,
    /// The names from the site down to the frame that is zoomed into; empty for all stacks.
    pub(super) focus: Vec<String>,
    /// The names down to the chosen box.
    pub(super) at: Vec<String>,
    /// Functions and sites whose stacks are not shown.
    pub(super) hidden: Vec<String>,
}

impl CodeView {
    /// Undoes the last hiding or zooming. Returns false if there is none.
    pub(super) fn back(&mut self) -> bool {
        if self.hidden.pop().is_some() {
            return true;
        }
        let is_narrowed = !self.focus.is_empty();
        self.focus.clear();
        is_narrowed
    }

    /// Returns the word for the chosen bytes: `live` or `allocated`.
    pub(super) fn bytes_word(&self) -> &'static str {
        if self.is_allocated { "allocated" } else { "live" }
    }
}
