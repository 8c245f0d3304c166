//! Which functions a function calls, as far as its machine code names them.

use std::path::Path;

use object::{Architecture, Object, ObjectSection, ObjectSymbol, SymbolKind};

use super::{Symbols, parse, symbols};
use crate::error::{Error, Kind};

/// The most bytes of one function that are read.
const MOST_BYTES: u64 = 1 << 16;

impl Symbols {
    /// Calls `found` with each direct call or jump out of functions: the index of the function in
    /// `functions`, and the address that it calls. Calls through a pointer are none of them.
    ///
    /// `functions` are the addresses that the linker assigned to the starts of functions, sorted.
    /// On other processors than x86-64 and aarch64 nothing is found.
    ///
    /// # Errors
    ///
    /// Fails if the file is damaged.
    pub fn find_calls(
        &self,
        functions: &[u64],
        found: impl FnMut(usize, u64),
    ) -> Result<(), Error> {
        Self::find_calls_in(&self.file, functions, found)
    }

    /// Like [`find_calls`](Self::find_calls), for the bytes of a file in memory.
    ///
    /// # Errors
    ///
    /// Fails if the bytes are no ELF file, or a damaged one.
    pub fn find_calls_in(
        bytes: &[u8],
        functions: &[u64],
        found: impl FnMut(usize, u64),
    ) -> Result<(), Error> {
        debug_assert!(functions.is_sorted(), "the caller sorts them");
        find(bytes, functions, found).map_err(|kind| Error::new(Path::new("the file"), kind))
    }
}

fn find(bytes: &[u8], functions: &[u64], mut found: impl FnMut(usize, u64)) -> Result<(), Kind> {
    let file = parse(bytes)?;
    let calls: fn(&[u8], u64, &mut dyn FnMut(u64)) = match file.architecture() {
        Architecture::X86_64 => calls_of_x86_64,
        Architecture::Aarch64 => calls_of_aarch64,
        _ => return Ok(()),
    };
    // Several symbols of one function may differ in size.
    let mut sizes = vec![0; functions.len()];
    for symbol in symbols(&file).filter(|it| it.kind() == SymbolKind::Text && it.is_definition()) {
        if let Ok(at) = functions.binary_search(&symbol.address()) {
            sizes[at] = symbol.size().max(sizes[at]);
        }
    }
    for (index, (&start, &size)) in functions.iter().zip(&sizes).enumerate() {
        let size = size.min(MOST_BYTES);
        let code = file.sections().find_map(|it| it.data_range(start, size).ok().flatten());
        let Some(code) = code.filter(|_| size != 0) else { continue };
        calls(code, start, &mut |callee| {
            if callee.wrapping_sub(start) >= size {
                found(index, callee);
            }
        });
    }
    Ok(())
}

/// Bytes inside another instruction may look like a call. What they would call is hardly ever the
/// start of a function.
fn calls_of_x86_64(code: &[u8], start: u64, found: &mut dyn FnMut(u64)) {
    const CALL: u8 = 0xe8;
    const JUMP: u8 = 0xe9;
    for (end, window) in (start.wrapping_add(5)..).zip(code.windows(5)) {
        if let [CALL | JUMP, a, b, c, d] = *window {
            found(end.wrapping_add_signed(i32::from_le_bytes([a, b, c, d]).into()));
        }
    }
}

fn calls_of_aarch64(code: &[u8], start: u64, found: &mut dyn FnMut(u64)) {
    const BRANCH: u32 = 0b00_0101;
    for (at, bytes) in (start..).step_by(4).zip(code.as_chunks::<4>().0) {
        let instruction = u32::from_le_bytes(*bytes);
        // With or without the bit that says that it returns.
        if instruction >> 26 & 0b01_1111 == BRANCH {
            // The distance in instructions, with its sign.
            let distance = (instruction << 6).cast_signed() >> 6;
            found(at.wrapping_add_signed(i64::from(distance) * 4));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(calls: fn(&[u8], u64, &mut dyn FnMut(u64)), code: &[u8], start: u64) -> Vec<u64> {
        let mut found = Vec::new();
        calls(code, start, &mut |callee| found.push(callee));
        found
    }

    #[test]
    fn calls_and_jumps_of_x86_64_lead_to_their_functions() {
        // push; call +0x10; jmp -0x20; call *(%rax); a call that is cut off.
        let code =
            [0x53, 0xe8, 0x10, 0, 0, 0, 0xe9, 0xe0, 0xff, 0xff, 0xff, 0xff, 0x10, 0xe8, 0, 0, 0];
        assert_eq!(called(calls_of_x86_64, &code, 0x1000), [0x1016, 0xfeb]);
        assert_eq!(called(calls_of_x86_64, &[], 0), []);
    }

    #[test]
    fn calls_and_jumps_of_aarch64_lead_to_their_functions() {
        // bl +0x10; b -4; blr x8; ret.
        let words: [u32; 4] = [0x9400_0004, 0x17ff_ffff, 0xd63f_0100, 0xd65f_03c0];
        let code = words.map(u32::to_le_bytes).concat();
        assert_eq!(called(calls_of_aarch64, &code, 0x1000), [0x1010, 0x1000]);
    }

    #[inline(never)]
    fn is_called() -> u32 {
        std::hint::black_box(1)
    }

    #[inline(never)]
    fn calls_another() -> u32 {
        std::hint::black_box(is_called() + 1)
    }

    #[test]
    #[cfg(all(target_os = "linux", not(miri)))]
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    fn a_function_of_this_program_calls_what_it_names() {
        assert_eq!(calls_another(), 2);
        let file = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let start = |name: &str| {
            let parsed = parse(&file).unwrap();
            let symbol = parsed.symbols().find(|it| it.name().is_ok_and(|it| it.contains(name)));
            symbol.unwrap().address()
        };
        let [caller, target] = ["calls_another", "is_called"].map(start);
        let mut found = Vec::new();
        let functions = [caller, caller + 1];
        Symbols::find_calls_in(&file, &functions, |index, it| found.push((index, it))).unwrap();
        assert!(found.contains(&(0, target)), "{found:x?}");
        assert!(found.iter().all(|it| it.0 == 0), "no function begins at the other address");
        assert!(Symbols::find_calls_in(b"no file", &functions, |_, _| ()).is_err());
    }
}
