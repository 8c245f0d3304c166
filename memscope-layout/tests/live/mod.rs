//! Runs the sample, which prints where its futures are and what their bytes are. The layouts must
//! recognise them.

use std::{path::Path, process::Command};

use memscope_layout::{Discriminant, Layouts, Shape, TypeId};

/// Checks that every future is found by its vtable and waits at the lines that the sample prints.
pub(crate) fn joins(program: &Path, layouts: &Layouts) {
    let output = Command::new(program).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 23, "each is shown:\n{text}");
    let mut seen = 0;
    for line in text.lines() {
        let mut parts = line.split('\t');
        let label = parts.next().unwrap();
        let mut number = || parts.next().unwrap().parse::<u64>().unwrap();
        let (vtable, size) = (number() + layouts.base_address(), number());
        let id = layouts.by_vtable(vtable, size).unwrap_or_else(|| panic!("{label} is not known"));
        let name = &*layouts.future_type(id).unwrap().name;
        let expected = match label {
            "recurse" => "core::pin::Pin<alloc::boxed::Box<dyn core::future::future::Future",
            "same_name" => "::same::name::{async_fn_env#0}",
            "serve" => "corner_cases::serve::{async_fn_env#0}<corner_cases::",
            "blocks" => "corner_cases::blocks::{async_block_env#",
            "wrapper" => "corner_cases::Wrapper<corner_cases::branches::{async_fn_env#0}>",
            other => &format!("corner_cases::{other}::{{async_fn_env#0}}"),
        };
        assert!(name.contains(expected), "{label} is not {name}");
        assert_eq!(layouts.by_vtable(vtable, size + 1), None, "of another size it is another type");
        for poll in parts {
            let (bytes, lines) = poll.split_once(' ').unwrap();
            let lines: Vec<u32> = lines.split(',').filter_map(|it| it.parse().ok()).collect();
            let bytes: Vec<u8> = (0..bytes.len() / 2)
                .map(|at| u8::from_str_radix(&bytes[2 * at..2 * at + 2], 16).unwrap())
                .collect();
            let waits = waits(layouts, id, &bytes);
            if !lines.is_empty() {
                assert_eq!(waits, lines, "{label}");
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 3, "`chain` waits once by itself and twice in its child");
}

/// Returns the lines at which a future waits, outermost first, as far as its own bytes contain
/// them.
fn waits(layouts: &Layouts, id: TypeId, bytes: &[u8]) -> Vec<u32> {
    match &layouts.future_type(id).unwrap().shape {
        Shape::Coroutine(index) => {
            let coroutine = &layouts.coroutines()[*index];
            let value = read(coroutine.discriminant.unwrap(), bytes);
            let state = coroutine.state(value).unwrap_or_else(|| {
                panic!("{} has no state {value}", coroutine.path);
            });
            let Some(awaited) = state.awaited() else { return Vec::new() };
            let start = usize::try_from(awaited.offset).unwrap();
            let mut lines = vec![state.place.as_ref().unwrap().line];
            lines.extend(waits(layouts, awaited.future_type.unwrap(), &bytes[start..]));
            lines
        }
        Shape::Struct(fields) => match &fields[..] {
            [field] if field.is_certain => {
                let start = usize::try_from(field.offset).unwrap();
                waits(layouts, field.future_type, &bytes[start..])
            }
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

fn read(discriminant: Discriminant, bytes: &[u8]) -> u64 {
    let start = usize::try_from(discriminant.offset).unwrap();
    let size = usize::try_from(discriminant.size).unwrap();
    bytes[start..start + size].iter().rev().fold(0, |sum, it| sum << 8 | u64::from(*it))
}
