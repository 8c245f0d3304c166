//! Several copies of memscope in one process, for example of a separately linked plugin. Each
//! report file is written by one of them.
//!
//! Copies share no symbol and no variable, but they share the list of the process's mappings. For
//! each path, a copy maps an empty in-memory file that is named after the path. It counts the
//! mappings of that name that were there before. The mapping ends with the process, with `exec`,
//! and with the report job.

use std::path::Path;

/// The claim of this copy of memscope to write a path.
#[derive(Debug)]
pub(super) struct Claim {
    /// How many other copies had claimed the path before.
    pub(super) others: u32,
    #[cfg(any(target_os = "linux", target_os = "android"))]
    _mapping: Option<linux::Mapping>,
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl Claim {
    /// Claims a path. NOTE: copies do not see each other on this system. The second copy to write
    /// finds the first one's file.
    pub(super) fn of(_: &Path) -> Self {
        Self { others: 0 }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use std::{
        ffi::{CString, OsStr},
        fs,
        os::{
            fd::{AsRawFd, FromRawFd, OwnedFd},
            unix::ffi::OsStrExt,
        },
        ptr,
    };

    use super::{Claim, Path};

    impl Claim {
        pub(in crate::output::auto_report) fn of(path: &Path) -> Self {
            let name = format!("memscope-report-{:016x}", hash(path.as_os_str()));
            let maps = fs::read("/proc/self/maps").unwrap_or_default();
            let file = format!("/memfd:{name} (deleted)");
            let lines = maps.split(|&byte| byte == b'\n');
            let others = lines.filter(|line| line.ends_with(file.as_bytes())).count();
            Self {
                others: u32::try_from(others).unwrap_or(u32::MAX),
                _mapping: Mapping::new(&name),
            }
        }
    }

    /// Hashes with FNV-1a, because copies may come from different compilers, with different hashes.
    fn hash(path: &OsStr) -> u64 {
        path.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        })
    }

    /// One page of addresses without memory, unmapped when dropped.
    #[derive(Debug)]
    pub(super) struct Mapping {
        address: usize,
    }

    const LENGTH: usize = 1;

    impl Mapping {
        /// Returns `None` if the system provides no mapping; other copies then do not see this one.
        fn new(name: &str) -> Option<Self> {
            let name = CString::new(name).ok()?;
            // SAFETY: a C string.
            let descriptor = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) };
            if descriptor == -1 {
                return None;
            }
            // SAFETY: just made, and owned by nothing else. The mapping outlives it.
            let file = unsafe { OwnedFd::from_raw_fd(descriptor) };
            let (access, kind) = (libc::PROT_NONE, libc::MAP_SHARED);
            // SAFETY: at an address that the system chooses, so it replaces no other mapping.
            let address =
                unsafe { libc::mmap(ptr::null_mut(), LENGTH, access, kind, file.as_raw_fd(), 0) };
            (address != libc::MAP_FAILED).then(|| Self { address: address.expose_provenance() })
        }
    }

    impl Drop for Mapping {
        fn drop(&mut self) {
            // SAFETY: mapped by `new`, and no pointer leads there.
            unsafe { libc::munmap(ptr::with_exposed_provenance_mut(self.address), LENGTH) };
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_claim_is_seen_until_it_is_dropped_and_by_its_path_alone() {
            let [path, other] = ["/copies/report.json", "/copies/other.json"].map(Path::new);
            let first = Claim::of(path);
            let second = Claim::of(path);
            assert_eq!((first.others, second.others, Claim::of(other).others), (0, 1, 0));
            drop(first);
            assert_eq!(Claim::of(path).others, 1);
            drop(second);
            assert_eq!(Claim::of(path).others, 0);
        }
    }
}
