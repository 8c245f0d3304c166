//! Figures of `/proc/self`: `statm`, `status` and `limits`.

use std::path::Path;

use super::small_file::SmallFile;

/// Sizes from `/proc/self/statm`, which the kernel writes without a walk over pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "the unit")]
pub(super) struct Statm {
    pub(super) virtual_bytes: u64,
    pub(super) resident_bytes: u64,
    /// Of these, pages of files and shared ones.
    pub(super) file_bytes: u64,
    /// Private memory that can be written, and the stack.
    pub(super) data_bytes: u64,
}

/// Sizes from `/proc/self/status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "the unit")]
pub(super) struct Status {
    pub(super) resident_bytes: Option<u64>,
    pub(super) anonymous_bytes: Option<u64>,
    /// Of files, and shared.
    pub(super) file_bytes: Option<u64>,
    pub(super) swap_bytes: Option<u64>,
    pub(super) peak_resident_bytes: Option<u64>,
}

/// Limits from `/proc/self/limits`; `None`: unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rlimits {
    pub(super) addresses: Option<u64>,
    pub(super) data: Option<u64>,
}

impl Rlimits {
    pub(super) const NONE: Self = Self { addresses: None, data: None };
}

pub(super) fn statm(path: &Path) -> Option<Statm> {
    parse_statm(SmallFile::<256>::read(path)?.text()?, page_bytes()?)
}

pub(super) fn status(path: &Path) -> Option<Status> {
    Some(parse_status(SmallFile::<4096>::read(path)?.text()?))
}

pub(super) fn rlimits(path: &Path) -> Option<Rlimits> {
    Some(parse_rlimits(SmallFile::<4096>::read(path)?.text()?))
}

/// The size of a page. `AT_PAGESZ` of the auxiliary vector says it; `None` if that cannot be read.
fn page_bytes() -> Option<u64> {
    use crate::primitives::sync::{AtomicU64, Ordering};
    static PAGE: AtomicU64 = AtomicU64::new(0);
    let known = PAGE.load(Ordering::Relaxed);
    if known != 0 {
        return Some(known);
    }
    let page = read_page_bytes()?;
    PAGE.store(page, Ordering::Relaxed);
    Some(page)
}

#[cfg(target_os = "linux")]
fn read_page_bytes() -> Option<u64> {
    use std::{fs::File, io::Read};
    const PAGE_SIZE: usize = 6;
    const WORD: usize = size_of::<usize>();
    let mut words = [0; 64 * WORD];
    let mut file = File::open("/proc/self/auxv").ok()?;
    let len = file.read(&mut words).ok()?;
    let word = |bytes: &[u8]| bytes.try_into().map(usize::from_ne_bytes).ok();
    let mut pairs = words.get(..len)?.chunks_exact(2 * WORD);
    let pair = pairs.find(|pair| word(&pair[..WORD]) == Some(PAGE_SIZE))?;
    word(&pair[WORD..]).map(|page| page as u64).filter(|page| page.is_power_of_two())
}

#[cfg(not(target_os = "linux"))]
fn read_page_bytes() -> Option<u64> {
    None
}

fn parse_statm(text: &str, page: u64) -> Option<Statm> {
    let mut fields = text.split_ascii_whitespace().map(str::parse::<u64>);
    let mut next = || fields.next()?.ok()?.checked_mul(page);
    let (virtual_bytes, resident_bytes, file_bytes) = (next()?, next()?, next()?);
    // The program's code, and libraries, which the kernel always calls 0.
    let [_, _] = [next()?, next()?];
    Some(Statm { virtual_bytes, resident_bytes, file_bytes, data_bytes: next()? })
}

fn parse_status(text: &str) -> Status {
    let size = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        kib(line)
    };
    let file_bytes = match (size("RssFile"), size("RssShmem")) {
        (Some(file), shared) => Some(file.saturating_add(shared.unwrap_or(0))),
        (None, _) => None,
    };
    Status {
        resident_bytes: size("VmRSS"),
        anonymous_bytes: size("RssAnon"),
        file_bytes,
        swap_bytes: size("VmSwap"),
        peak_resident_bytes: size("VmHWM"),
    }
}

/// Parses `  1234 kB`.
fn kib(text: &str) -> Option<u64> {
    let number = text.trim_ascii().strip_suffix("kB")?.trim_ascii_end();
    number.parse::<u64>().ok()?.checked_mul(1024)
}

fn parse_rlimits(text: &str) -> Rlimits {
    let soft = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        // `unlimited` is no number.
        line.split_ascii_whitespace().next()?.parse().ok()
    };
    Rlimits { addresses: soft("Max address space"), data: soft("Max data size") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pages_become_bytes() {
        let statm = parse_statm("1000 200 50 10 0 300 0\n", 4096);
        let expected = Statm {
            virtual_bytes: 4_096_000,
            resident_bytes: 819_200,
            file_bytes: 204_800,
            data_bytes: 1_228_800,
        };
        assert_eq!(statm, Some(expected));
        for wrong in
            ["", "1", "1 2 3 4 5", "1 2 3 4 5 x", "-1 2 3 4 5 6", "18446744073709551615 1 1 1 1 1"]
        {
            assert_eq!(parse_statm(wrong, 4096), None, "{wrong}");
        }
    }

    #[test]
    fn a_status_without_a_line_lacks_that_figure_alone() {
        let text = "Name:\tVmRSS: 7 kB\nVmHWM:\t    9000 kB\nVmRSS:\t    8192 kB\nRssAnon:\t    4096 kB\nRssFile:\t    4000 kB\nRssShmem:\t      96 kB\n";
        let expected = Status {
            resident_bytes: Some(8 << 20),
            anonymous_bytes: Some(4 << 20),
            file_bytes: Some(4 << 20),
            swap_bytes: None,
            peak_resident_bytes: Some(9_000 << 10),
        };
        assert_eq!(parse_status(text), expected);
        assert_eq!(parse_status("VmRSS:\t8192 pages\n"), Status::default());
    }

    #[test]
    fn an_unlimited_process_has_no_limit() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max data size             unlimited            unlimited            bytes     \n\
                    Max address space         1073741824           unlimited            bytes     \n";
        assert_eq!(parse_rlimits(text), Rlimits { addresses: Some(1 << 30), data: None });
        assert_eq!(parse_rlimits(""), Rlimits::NONE);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_resident_memory_within_its_addresses() {
        let statm = statm(Path::new("/proc/self/statm")).expect("proc");
        let status = status(Path::new("/proc/self/status")).expect("proc");
        assert!(statm.resident_bytes > 0 && statm.resident_bytes < statm.virtual_bytes);
        assert!(status.resident_bytes.is_some_and(|bytes| bytes > 0));
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_without_a_panic(text in "[ -~\n\t]{0,200}", page in any::<u64>()) {
            let _ = (parse_statm(&text, page), parse_status(&text), parse_rlimits(&text));
        }

        #[test]
        fn lines_near_the_right_ones_do_not_panic(
            name in "VmRSS|RssAnon|RssFile|RssShmem|VmSwap|VmHWM|Max address space|Max data size",
            rest in "[:\t 0-9kBunlimited-]{0,40}",
        ) {
            let text = format!("{name}{rest}\n");
            let _ = (parse_status(&text), parse_rlimits(&text));
        }
    }
}
