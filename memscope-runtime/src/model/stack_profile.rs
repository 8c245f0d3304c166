//! A call stack that allocates, and how much: by estimate, from samples.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};

use super::{
    TrendPoint,
    task::TaskId,
    text::{MOST_NAME, cell, path_end},
};

/// A call stack at which blocks were allocated, in one site: which code allocates.
///
/// Tasks and sites are counted exactly. Stacks are sampled, so all figures of this row but the
/// numbers of samples are estimates. They are unbiased, and [`live_error`](Self::live_error) says
/// how far off they may be.
///
/// ```
/// use memscope_runtime::{
///     Stacks,
///     async_memory::{StacksState, get_memory_snapshot},
///     builder,
/// };
///
/// # #[global_allocator]
/// # static A: memscope_runtime::TrackingAllocator =
/// #     memscope_runtime::TrackingAllocator::new(std::alloc::System);
/// builder().stacks(Stacks::EveryBytes(1 << 20)).init()?;
/// let cache: Vec<Vec<u8>> = (0..64).map(|_| vec![1; 1 << 20]).collect();
///
/// let snapshot = get_memory_snapshot();
/// if snapshot.stacks_measured() == StacksState::On {
///     let stack = &snapshot.stacks()[0];
///     assert!(stack.live_bytes > 32 << 20 && stack.live_samples > 8);
///     assert!(stack.site.is_none(), "no task allocated it");
///     let error = stack.live_error().expect("it has samples");
///     println!("{} bytes, give or take {:.0} %", stack.live_bytes, 100.0 * error);
/// }
/// # drop(cache);
/// # Ok::<(), memscope_runtime::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StackProfile {
    /// The calls, the innermost first. Those inside of allocators are left out, as far as they have
    /// names.
    pub frames: Vec<StackFrame>,
    /// Whether the stack had more frames than these.
    pub is_cut: bool,
    /// Whether the blocks are outside every task.
    pub is_untracked: bool,
    /// The index of the site in [`sites`](crate::async_memory::MemorySnapshot::sites) whose tasks
    /// have the blocks, or have allocated them. `None`: no task, or a site without a row.
    pub site: Option<usize>,
    /// The task that has all sampled live blocks; `None` if several have, or none.
    pub task: Option<TaskId>,
    /// Live bytes, by estimate.
    pub live_bytes: u64,
    /// Bytes of all allocations since sampling began, by estimate.
    pub allocated_bytes: u64,
    /// The number of live samples, from which `live_bytes` is estimated.
    pub live_samples: u64,
    /// The number of all samples, from which `allocated_bytes` is estimated.
    pub samples: u64,
    /// Its live and allocated bytes at earlier times, by estimate, the oldest first: at most 16
    /// points, the last one is this snapshot. Empty if the stack is not among the 64 largest, or
    /// was not in any sample before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<TrendPoint>,
}

/// One call of a stack.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct StackFrame {
    /// The function's name with its path. Empty if the name is not known.
    pub function: Cow<'static, str>,
    /// The file of the call, if it is known.
    pub file: Option<Cow<'static, str>>,
    /// The line there.
    pub line: Option<u32>,
    /// The address of the call: its last byte.
    pub address: u64,
    /// The offset of `address` from where its file was loaded. It is the same in each run of a
    /// build. `None` if the file is not known.
    pub offset: Option<u64>,
    /// The path of the shared library that the call is in; its build is in
    /// [`libraries`](crate::async_memory::MemorySnapshot::libraries). `None`: the call is in the
    /// program, or `offset` is not known either.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub library: Option<Cow<'static, str>>,
    /// Whether the compiler has put this function's code into the function of the next frame, whose
    /// address it shares.
    #[serde(skip_serializing_if = "is_false")]
    pub is_inlined: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_false(it: &bool) -> bool {
    !it
}

/// A shared library of the program.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Library {
    /// Its path, as the loader has it.
    pub path: String,
    /// The linker's name for exactly this build, in hexadecimal digits.
    pub build_id: Option<String>,
}

/// The function's name; where that is not known, the address in its file or in the process.
impl fmt::Display for StackFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.offset, &self.library) {
            _ if !self.function.is_empty() => f.write_str(&cell(&self.function, MOST_NAME))?,
            (Some(offset), None) => write!(f, "program+{offset:#x}")?,
            (Some(offset), Some(library)) => {
                let name = library.rsplit_once('/').map_or(&**library, |(_, name)| name);
                write!(f, "{}+{offset:#x}", cell(name, MOST_NAME))?;
            }
            (None, _) => write!(f, "library at {:#x}", self.address)?,
        }
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, " ({}:{line})", path_end(file, MOST_NAME)),
            (Some(file), None) => write!(f, " ({})", path_end(file, MOST_NAME)),
            (None, _) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_without_a_name_is_an_address_and_no_guess() {
        let named =
            StackFrame { function: "app::fill".into(), offset: Some(16), ..StackFrame::default() };
        assert_eq!(named.to_string(), "app::fill");
        let at = StackFrame { file: Some("src/a.rs".into()), line: Some(7), ..named };
        assert_eq!(at.to_string(), "app::fill (src/a.rs:7)");
        let unnamed = StackFrame { address: 0x7f00, ..StackFrame::default() };
        assert_eq!(unnamed.to_string(), "library at 0x7f00");
        let own = StackFrame { offset: Some(0x1a2b), ..unnamed };
        assert_eq!(own.to_string(), "program+0x1a2b");
        let of_library = StackFrame { library: Some("/lib/libplugin.so".into()), ..own };
        assert_eq!(of_library.to_string(), "libplugin.so+0x1a2b");
    }
}
