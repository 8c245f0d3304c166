//! Functions and lines of files whose debug information is damaged: some, none, or an error.
#![cfg(target_os = "linux")]

mod common;
mod damage;

use std::{cell::RefCell, fs, path::Path};

use common::compile;
use damage::{cases, damage};
use memscope_layout::{Frame, Symbolizer, Symbols};
use object::{Object, ObjectSection, ObjectSymbol};
use proptest::prelude::*;

#[test]
fn a_damaged_file_yields_lines_or_an_error() {
    let flags = ["-Cdebuginfo=2", "-Cpanic=abort", "-O", "--crate-type=cdylib"];
    let program = compile("smallest", "damaged-lines", &flags).program;
    let healthy = fs::read(&program).unwrap();
    let section = |name: &str| {
        let file = object::File::parse(&*healthy).unwrap();
        let (at, size) = file.section_by_name(name)?.file_range()?;
        Some(usize::try_from(at).unwrap()..usize::try_from(at + size).unwrap())
    };
    let headers = u64::from_le_bytes(healthy[40..48].try_into().unwrap());
    let mut regions = vec![0..64, usize::try_from(headers).unwrap()..healthy.len()];
    for name in ["info", "abbrev", "line", "str", "ranges", "rnglists", "addr", "aranges"] {
        regions.extend(section(&format!(".debug_{name}")).filter(|it| !it.is_empty()));
    }
    assert!(regions.len() > 6, "{regions:x?}");
    regions.push(0..healthy.len());
    // The last of these are in no function.
    let code = section(".text").unwrap();
    let addresses: Vec<u64> = {
        let file = object::File::parse(&*healthy).unwrap();
        let start = file.section_by_name(".text").unwrap().address();
        let code = start..start + code.len() as u64;
        [0].into_iter().chain(code.step_by(7).take(400)).chain([u64::MAX - 1, u64::MAX]).collect()
    };
    let statics: Vec<u64> = {
        let file = object::File::parse(&*healthy).unwrap();
        let kept = file.symbols().find(|it| it.name().is_ok_and(|name| name.contains("PANICS")));
        let kept = kept.unwrap().address();
        [0].into_iter().chain(kept - 64..kept + 64).chain([u64::MAX]).collect()
    };
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("damaged-lines.so");
    let [with_lines, without, refused] = [RefCell::new(0), RefCell::new(0), RefCell::new(0)];
    let mut runner = prop::test_runner::TestRunner::new(cases(1_500));
    let damaged = RefCell::new(Vec::new());
    let [inlined, lines_alone, declared] = [const { RefCell::new(0) }; 3];
    let run = runner.run(&damage(regions.len()), |damage| {
        let mut bytes = damaged.borrow_mut();
        bytes.clone_from(&healthy);
        damage.apply(&mut bytes, &regions);
        let names = |index: usize, frames: &[Frame]| {
            for frame in frames {
                let name = frame.function.as_deref().unwrap_or("of a line alone");
                assert!(!name.is_empty() && name.len() < 4_096 && frame.line != Some(0));
                assert_eq!(frame.file.is_some(), frame.line.is_some());
                *lines_alone.borrow_mut() += usize::from(frame.line.is_some());
            }
            assert!(index < addresses.len());
            *inlined.borrow_mut() += frames.len();
        };
        // Some are refused.
        let _ = Symbols::find_frames_in(&bytes, &addresses, 8 << 20, names);
        let _ = Symbols::find_declared_in(&bytes, &statics, 8 << 20, |index, _, line| {
            assert!(line != 0 && index < statics.len());
            *declared.borrow_mut() += 1;
        });
        // A new file: the one before may be mapped.
        drop(fs::remove_file(&path));
        fs::write(&path, &*bytes).unwrap();
        let Ok(symbolizer) = Symbolizer::open(&path) else {
            *refused.borrow_mut() += 1;
            return Ok(());
        };
        let frames = symbolizer.frames_of(&addresses);
        prop_assert!(frames.iter().all(|it| it.len() <= 256));
        let has_lines = frames.iter().flatten().any(|it| it.line.is_some());
        *if has_lines { &with_lines } else { &without }.borrow_mut() += 1;
        Ok(())
    });
    run.unwrap();
    let counts = [with_lines, without, refused].map(RefCell::into_inner);
    assert!(counts.iter().all(|it| *it > 20), "{counts:?}");
    assert!(inlined.into_inner() > 1_000 && lines_alone.into_inner() > 1_000);
    assert!(declared.into_inner() > 100);
}
