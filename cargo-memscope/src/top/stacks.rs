//! The sampled stacks that the user has chosen. All bytes are estimates.

use memscope_runtime::async_memory::{StackFrame, StackProfile};

use super::{context::Context, report::name};

/// A stack with its names.
#[derive(Debug)]
pub(super) struct Sampled<'a> {
    pub(super) stack: &'a StackProfile,
    pub(super) bytes: u64,
    pub(super) samples: u64,
    /// The site, and then the frames from the outermost shown frame to the innermost.
    pub(super) names: Vec<String>,
    /// The frames of the names after the first.
    pub(super) frames: Vec<&'a StackFrame>,
}

/// Returns the stacks below the frame that is zoomed into, without hidden ones.
pub(super) fn chosen<'a>(context: &Context<'a>) -> Vec<Sampled<'a>> {
    let code = context.code;
    let all = context.report.snapshot.stacks().iter();
    let stacks = all.map(|stack| sampled(context, stack));
    let is_hidden = |it: &Sampled<'_>| it.names.iter().any(|it| code.hidden.contains(it));
    stacks.filter(|it| it.bytes > 0 && !is_hidden(it)).collect()
}

impl Sampled<'_> {
    /// Whether the stack contains the frame at the end of this path.
    pub(super) fn is_below(&self, path: &[String]) -> bool {
        self.names.starts_with(path)
    }
}

fn sampled<'a>(context: &Context<'a>, stack: &'a StackProfile) -> Sampled<'a> {
    let mut frames: Vec<&StackFrame> = stack.frames.iter().rev().collect();
    if !context.code.has_all_frames {
        frames.drain(..context.own_code.executor_frames(&frames));
    }
    let site = stack.site.and_then(|it| context.report.snapshot.sites().get(it));
    let owner = match site {
        _ if stack.is_untracked => "(outside every task)".to_owned(),
        Some(site) => name(&site.name),
        None => "(other tasks)".to_owned(),
    };
    let names = frames.iter().map(|it| name(&frame_name(it)));
    let names = std::iter::once(owner).chain(names).collect();
    let (bytes, samples) = if context.code.is_allocated {
        (stack.allocated_bytes, stack.samples)
    } else {
        (stack.live_bytes, stack.live_samples)
    };
    Sampled { stack, bytes, samples, names, frames }
}

/// Returns the name of a frame. A function without a name is shown as an address.
pub(super) fn frame_name(frame: &StackFrame) -> String {
    if frame.function.is_empty() {
        let plain = StackFrame { file: None, line: None, ..frame.clone() };
        return plain.to_string();
    }
    frame.function.to_string()
}
