//! The notes of an ELF file, one of which is its build id.
#![cfg(target_os = "linux")]

const NT_GNU_BUILD_ID: u32 = 3;

/// Finds the build id among notes. A note consists of the size of its name, the size of its
/// content, its type, the name and the content. The last two are each padded to a multiple of
/// four.
pub(crate) fn find_build_id(mut notes: &[u8]) -> Option<&[u8]> {
    loop {
        let name_size = usize::try_from(word(notes, 0)?).ok()?;
        let size = usize::try_from(word(notes, 4)?).ok()?;
        let says = 12usize.checked_add(name_size.checked_next_multiple_of(4)?)?;
        if word(notes, 8)? == NT_GNU_BUILD_ID && notes.get(12..16)? == b"GNU\0" {
            return notes.get(says..says.checked_add(size)?);
        }
        notes = notes.get(says.checked_add(size.checked_next_multiple_of(4)?)?..)?;
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_id_is_found_behind_other_notes_and_not_in_damaged_ones() {
        let note = |name: &[u8], kind: u32, says: &[u8]| {
            let sizes = [name, says].map(|part| u32::try_from(part.len()).expect("short"));
            let mut bytes: Vec<u8> =
                [sizes[0], sizes[1], kind].iter().flat_map(|it| it.to_ne_bytes()).collect();
            for part in [name, says] {
                bytes.extend(part);
                bytes.resize(bytes.len().next_multiple_of(4), 0);
            }
            bytes
        };
        let notes = [note(b"GNU\0", 1, b"abcde"), note(b"GNU\0", 3, b"build")].concat();
        assert_eq!(find_build_id(&notes), Some(&b"build"[..]));
        for cut in 0..notes.len() - 3 {
            assert_eq!(find_build_id(&notes[..cut]), None, "{cut}");
        }
        assert_eq!(find_build_id(&[0xff; 64]), None);
        assert_eq!(find_build_id(&[0; 64]), None);
    }
}
