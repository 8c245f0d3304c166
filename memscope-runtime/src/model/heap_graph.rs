//! What holds the program's memory: roots, what each of them keeps alive, and what none reaches.

use serde::{Deserialize, Serialize};

use super::{StackFrame, TaskId};

/// Which roots hold which blocks of the heap, at one moment;
/// [`heap_graph`](crate::async_memory::heap_graph) makes it, and `Display` prints it.
///
/// `bytes = Σ roots.retained_bytes + shared_bytes + Σ unreachable.bytes`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeapGraph {
    /// How long the process stood still.
    pub pause_ns: u64,
    /// How long the whole took. The process ran on meanwhile.
    pub taken_ns: u64,
    /// The most memory that the copy of the process took at one time: what was resident above the
    /// memory that it began with. The system counts that in steps of some pages.
    #[serde(default)]
    pub copy_bytes: u64,
    /// Blocks in the graph.
    pub blocks: u64,
    /// Their bytes, as the program asked for them.
    pub bytes: u64,
    /// Live blocks that are not in the graph: they are from before
    /// [`Builder::holders`](crate::Builder::holders) was on.
    #[serde(default)]
    pub blocks_from_before: u64,
    /// Their bytes.
    #[serde(default)]
    pub bytes_from_before: u64,
    /// Roots that hold anything. The roots that hold most alone come first.
    pub roots: Vec<HeldBy>,
    /// Bytes that several roots hold together, and none alone.
    #[serde(default)]
    pub shared_bytes: u64,
    /// Their blocks.
    #[serde(default)]
    pub shared_blocks: u64,
    /// The largest kinds of blocks through which several roots hold them.
    #[serde(default)]
    pub shared: Vec<HeapStep>,
    /// What no root reaches, the largest first.
    pub unreachable: Vec<Unreachable>,
    /// Threads that ran while the picture was taken. What only their registers held at that moment
    /// counts as unreachable, and old words of their stacks may hold something.
    #[serde(default)]
    pub running_threads: u64,
}

/// What kind of root it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RootKind {
    /// A `static` of the program.
    Static,
    /// A thread-local variable of one thread.
    ThreadLocal,
    /// A task that has not ended: what its future holds.
    Task,
    /// The stack of a thread. It counts only for what no other kind of root reaches.
    Stack,
    /// The async runtime.
    Runtime,
    /// Libraries, and files that are mapped. It counts as a stack does.
    #[default]
    Other,
}

/// A root, and what it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeldBy {
    /// The path of the static, the name of the task, or what it is.
    pub name: String,
    /// What kind of root it is.
    pub kind: RootKind,
    /// The task. `None` if the root is no task, or if memscope has no row for it.
    pub task: Option<TaskId>,
    /// The thread that a stack or a thread-local belongs to.
    pub thread: Option<String>,
    /// The variable of the task's future through which more than half of `retained_bytes` is held.
    /// `None` if there is none, or it is not known: it needs memscope's feature `layout`, full
    /// debug information (`debug = 2`) in the program's file, and a task that waits. It is looked
    /// for in the 256 waiting tasks that hold most.
    pub variable: Option<String>,
    /// Where that variable is declared, if debug information says so.
    pub variable_file: Option<String>,
    /// The line there.
    pub variable_line: Option<u32>,
    /// Where the task is spawned, or the static is declared, if that is known. The latter needs
    /// full debug information (`debug = 2`) in the program's file.
    pub file: Option<String>,
    /// The line there.
    pub line: Option<u32>,
    /// Bytes that are held through this root alone: without it they would be unreachable.
    pub retained_bytes: u64,
    /// Bytes that the root reaches, alone or with others.
    pub reachable_bytes: u64,
    /// Whether `reachable_bytes` is complete. If there are very many roots, memscope knows only
    /// what most of them hold alone.
    pub reachable_is_whole: bool,
    /// Blocks of `retained_bytes`.
    pub blocks: u64,
    /// The way down: the kind of blocks that holds most of `retained_bytes`, then the kind that
    /// holds most of those, and so on.
    pub largest: Vec<HeapStep>,
}

impl HeldBy {
    /// The name, with the variable of the task: ``session, `frames` ``.
    pub fn title(&self) -> String {
        match &self.variable {
            Some(variable) => format!("{}, `{variable}`", self.name),
            None => self.name.clone(),
        }
    }

    /// The file and the line of what holds: of the task's variable if that is known, else of the
    /// task's spawn or of the static.
    pub fn place(&self) -> (Option<&str>, Option<u32>) {
        match &self.variable_file {
            Some(file) => (Some(file), self.variable_line),
            None => (self.file.as_deref(), self.line),
        }
    }
}

/// Blocks of one kind: made in one site, of about one size.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeapStep {
    /// How many blocks.
    pub blocks: u64,
    /// The sum of their own sizes.
    pub own_bytes: u64,
    /// Their bytes, and those of all that is held through them alone.
    pub retained_bytes: u64,
    /// The site whose tasks made them; `None` if no task did.
    pub site: Option<String>,
    /// The task, if one made all of them.
    pub task: Option<TaskId>,
    /// Where one of them was made, if that was sampled, innermost call first.
    pub stack: Vec<StackFrame>,
}

/// Blocks that no root reaches: true leaks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Unreachable {
    /// Their bytes.
    pub bytes: u64,
    /// How many blocks.
    pub blocks: u64,
    /// How many leaks of this kind there are: lost blocks, or cycles, each with what it holds.
    pub leaks: u64,
    /// Whether these are cycles of blocks that hold each other, as `Rc`s do. Otherwise blocks were
    /// lost, as by `mem::forget`.
    pub in_cycle: bool,
    /// The site whose tasks made them; `None` if no task did.
    pub site: Option<String>,
    /// The task, if one made them.
    pub task: Option<TaskId>,
    /// Where one of them was made, if that was sampled, innermost call first.
    pub stack: Vec<StackFrame>,
}

impl HeapGraph {
    /// Bytes that no root reaches.
    pub fn unreachable_bytes(&self) -> u64 {
        self.unreachable.iter().fold(0, |sum, it| sum.saturating_add(it.bytes))
    }
}
