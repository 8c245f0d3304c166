//! Minimal ELF files with the sections of a test.

use std::ops::Range;

const HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;

/// A section: its name, type and bytes.
pub(crate) type Section<'a> = (&'a str, u32, &'a [u8]);

/// Makes a 64-bit library with these sections, loaded at these addresses.
pub(crate) fn elf(sections: &[Section<'_>], loaded: Range<u64>) -> Vec<u8> {
    let mut names = vec![0];
    let mut bytes = vec![0; HEADER + PROGRAM_HEADER];
    let mut headers = vec![0; HEADER];
    let with_names = sections.iter().copied().chain([(".shstrtab", 3, &[][..])]);
    for (name, kind, content) in with_names {
        let name_at = u32::try_from(names.len()).unwrap();
        names.extend(name.bytes().chain([0]));
        let content = if name == ".shstrtab" { names.clone() } else { content.to_vec() };
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        headers.extend(name_at.to_le_bytes());
        headers.extend(kind.to_le_bytes());
        let numbers = [0, 0, bytes.len(), content.len(), 0, 1, 0];
        headers.extend(numbers.iter().flat_map(|it| it.to_le_bytes()));
        bytes.extend(content);
    }
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    let sections_at = bytes.len() as u64;
    bytes.extend(headers);

    let count = u16::try_from(sections.len() + 2).unwrap();
    // A shared library for x86-64.
    let mut header = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0\x01\0\0\0".to_vec();
    for number in [0, HEADER as u64, sections_at] {
        header.extend(number.to_le_bytes());
    }
    header.extend(0u32.to_le_bytes());
    for number in [64, 56, 1, 64, count, count - 1] {
        header.extend(u16::to_le_bytes(number));
    }
    // `PT_LOAD`, readable. The file itself comes first in the segment.
    header.extend(1u32.to_le_bytes());
    header.extend(4u32.to_le_bytes());
    let size = loaded.end - loaded.start;
    for number in [0, loaded.start, loaded.start, size, size, 0x1000] {
        header.extend(number.to_le_bytes());
    }
    bytes[..HEADER + PROGRAM_HEADER].copy_from_slice(&header);
    bytes
}
