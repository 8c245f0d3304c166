//! The report of a real process, this one, is joined with its program and its libraries.
#![cfg(target_os = "linux")]

use std::{fs, hint::black_box, path::Path, process::Command, thread, time::Duration};

use memscope_runtime::{
    Stacks, TrackingAllocator,
    async_memory::{MemorySnapshot, StackFrame, StackProfile, StacksState, get_memory_snapshot},
    builder,
};

#[global_allocator]
static ALLOCATOR: TrackingAllocator = TrackingAllocator::new(std::alloc::System);

const SIZE: usize = 3 << 20;
/// The line of `allocates`.
const LINE: u32 = line!() + 4;

#[expect(clippy::inline_always, reason = "the test needs an inlined call")]
#[inline(always)]
fn allocates() -> Vec<u8> {
    vec![black_box(7); SIZE]
}

#[inline(never)]
fn keeps(kept: &mut Vec<Vec<u8>>) {
    kept.push(allocates());
}

/// The stack of the large blocks.
fn of(snapshot: &MemorySnapshot) -> &StackProfile {
    let large = snapshot.stacks().iter().max_by_key(|it| it.live_bytes);
    large.expect("a stack")
}

#[test]
fn a_saved_report_tells_file_and_line_of_what_this_process_allocates() {
    builder().stacks(Stacks::EveryBytes(4 << 10)).init().expect("good settings");
    let mut kept = Vec::new();
    for _ in 0..8 {
        keeps(&mut kept);
    }
    if get_memory_snapshot().stacks_measured() != StacksState::On {
        return eprintln!("skipped: no stacks on this system");
    }
    let mut snapshot = get_memory_snapshot();
    for _ in 0..2_000 {
        if snapshot.stack_names_pending() == 0 {
            break;
        }
        thread::sleep(Duration::from_millis(5));
        snapshot = get_memory_snapshot();
    }
    let before = of(&snapshot).clone();
    assert!(before.frames.iter().any(|it| it.function == "own_report::keeps"), "{before:?}");
    // The program has read the lines of its own functions itself.
    let own = |stack: &StackProfile| -> Vec<StackFrame> {
        let frames = stack.frames.iter().filter(|it| it.function.starts_with("own_report::"));
        frames.cloned().collect()
    };
    assert!(own(&before).iter().all(|it| it.line.is_some()), "{before:?}");
    assert!(before.frames.iter().any(|it| it.line.is_none()), "{before:?}");
    // Threads are begun by the C library.
    let library = before.frames.iter().find_map(|it| it.library.as_deref()).expect("a library");
    assert!(Path::new(library).exists(), "{library}");
    assert!(snapshot.libraries().iter().any(|it| it.path == library && it.build_id.is_some()));
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("own-report.json");
    snapshot.write_to(&path).expect("written");

    let mut tool = Command::new(env!("CARGO_BIN_EXE_cargo-memscope"));
    let output = tool.args(["memscope", "report", "--format", "json"]).arg(&path).output();
    let output = output.expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    let after = MemorySnapshot::from_json(&text).expect("a report");
    fs::remove_file(path).expect("its own file");
    let frames = &of(&after).frames;
    assert!(frames.len() > before.frames.len() && own(&before) == own(of(&after)));
    let call = frames.iter().position(|it| it.function.ends_with("allocates")).expect("inlined");
    let place = |at: usize| {
        let file = frames[at].file.as_deref().unwrap_or_default();
        (file.ends_with("tests/own_report.rs"), frames[at].line)
    };
    assert!(frames[call].is_inlined);
    assert_eq!(place(call), (true, Some(LINE + 1)));
    assert_eq!(frames[call + 1].function, "own_report::keeps");
    assert_eq!(place(call + 1), (true, Some(LINE + 6)));
    assert_eq!(after.process(), snapshot.process(), "all else is as it was");
    drop(kept);
}
