//! The functions that a finding names as the code that allocates or spawns.

use crate::{
    analysis::stacks::{Fold, fold},
    model::{StackFrame, StackProfile, human::path_end, symbol::owner},
};

/// Functions of a stack that a finding shows.
const SHOWN_FUNCTIONS: usize = 2;
const FUNCTION_COLUMNS: usize = 48;

/// Parts of the names of Tokio's functions that make a task's cell.
pub(super) const SPAWNS: [&str; 3] =
    ["::task::core::Cell", "tokio::task::spawn", "::scheduler::Handle::spawn"];

/// The program's functions that spawn, if the bytes of a stack are cells of Tokio's.
pub(super) fn spawning_code(stack: &StackProfile) -> Option<String> {
    let spawns = |frame: &StackFrame| SPAWNS.iter().any(|words| frame.function.contains(words));
    let outermost = stack.frames.iter().rposition(spawns)?;
    code(&stack.frames[outermost + 1..])
}

/// The innermost functions of a stack, and the program's own if these are all of libraries; `None`
/// if no name is known. The crate of the outermost function is the program's.
pub(super) fn code(frames: &[StackFrame]) -> Option<String> {
    let functions = fold(frames, usize::MAX).into_iter().filter_map(|fold| match fold {
        Fold::Function(name, place) if !is_address(&name) => Some((name, place)),
        _ => None,
    });
    let mut functions: Vec<_> = functions.collect();
    // A closure and the function around it have one name.
    functions.dedup();
    let own = owner(&functions.last()?.0);
    let first_own = functions.iter().position(|(name, _)| owner(name) == own);
    let shown = functions
        .iter()
        .enumerate()
        .filter(|(at, _)| *at < SHOWN_FUNCTIONS || Some(*at) == first_own);
    let shown = shown.map(|(_, (name, place))| {
        let name = path_end(name, FUNCTION_COLUMNS);
        match place {
            Some((file, line)) => format!("`{name}` ({}:{line})", path_end(file, 40)),
            None => format!("`{name}`"),
        }
    });
    Some(shown.collect::<Vec<_>>().join(" in "))
}

fn is_address(name: &str) -> bool {
    name.contains("+0x") || name.contains(" at 0x")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_of_libraries_is_followed_by_that_of_the_program_which_calls_them() {
        let named = |functions: &[&str]| {
            let frames = functions.iter().map(|function| StackFrame {
                function: (*function).to_owned().into(),
                ..StackFrame::default()
            });
            code(&frames.collect::<Vec<_>>())
        };
        let buffer = ["bytes::BytesMut::reserve_inner", "bytes::BytesMut::reserve"];
        let calls =
            [&buffer[..], &["app::upload", "app::serve", "tokio::runtime::task::raw::poll"]]
                .concat();
        assert_eq!(
            named(&calls).as_deref(),
            Some("`bytes::BytesMut::reserve_inner` in `bytes::BytesMut::reserve` in `app::upload`")
        );
        assert_eq!(
            named(&["app::put", "cache::insert", "app::serve", "tokio::runtime::task::raw::poll"])
                .as_deref(),
            Some("`app::put` in `cache::insert`")
        );
        assert_eq!(
            named(&["tokio::Block::new", "app::serve"]).as_deref(),
            Some("`tokio::Block::new` in `app::serve`")
        );
        assert_eq!(named(&["std::thread::spawn"]), None);
    }
}
