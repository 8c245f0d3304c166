//! The files whose code is loaded: the program and its shared libraries.

#[cfg(target_os = "linux")]
pub(crate) use linux::loaded;

use std::path::{Path, PathBuf};

use memscope_layout::Symbols;

/// A loaded file.
#[derive(Debug)]
pub(crate) struct Module {
    /// Added to the addresses that the linker assigned.
    bias: usize,
    /// The segments in memory: the linker's address, and the size.
    segments: Vec<(u64, u64)>,
    /// Those that the program may write: where they begin in memory, and where they end.
    writable: Vec<(usize, usize)>,
    /// Where the calling thread has its copy of the thread-locals, and the size.
    thread_locals: Option<(usize, usize)>,
    build_id: Option<Vec<u8>>,
    path: PathBuf,
    is_program: bool,
}

/// All loaded files.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) modules: Vec<Module>,
    /// How many libraries the program has unloaded so far.
    pub(super) unloads: u64,
}

impl Module {
    pub(crate) fn is_program(&self) -> bool {
        self.is_program
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn build_id(&self) -> Option<&[u8]> {
        self.build_id.as_deref()
    }

    /// The address of the first byte in memory, and the end.
    pub(super) fn range(&self) -> (usize, usize) {
        let place = |there: u64| self.bias.wrapping_add(usize::try_from(there).unwrap_or(0));
        let first = self.segments.iter().map(|it| it.0).min().map_or(0, place);
        let end = self.segments.iter().map(|it| it.0.saturating_add(it.1)).max().map_or(0, place);
        (first, end)
    }

    /// The linker's address of what is at this address, if that lies in this file.
    pub(super) fn file_address(&self, address: usize) -> Option<u64> {
        let there = address.wrapping_sub(self.bias) as u64;
        let is_inside = |&(start, size): &(u64, u64)| there.wrapping_sub(start) < size;
        self.segments.iter().any(is_inside).then_some(there)
    }

    /// Where what the linker put at this address lies in memory.
    #[allow(dead_code, reason = "for pictures of the heap, which are taken on Linux alone")]
    pub(crate) fn in_memory(&self, address: u64) -> usize {
        self.bias.wrapping_add(usize::try_from(address).unwrap_or(0))
    }

    /// The ranges of memory that the program may write.
    #[allow(dead_code, reason = "for pictures of the heap, which are taken on Linux alone")]
    pub(crate) fn writable(&self) -> &[(usize, usize)] {
        &self.writable
    }

    /// Where the calling thread has its copy of the thread-locals, and the size; `None` if the file
    /// has none, or the thread has not used them.
    #[allow(dead_code, reason = "for pictures of the heap, which are taken on Linux alone")]
    pub(crate) fn thread_locals(&self) -> Option<(usize, usize)> {
        self.thread_locals
    }

    /// Opens the file, unless another one is at its path by now.
    ///
    /// The program is found by `/proc/self/exe`, which leads to it even if it was removed. Of a
    /// library only the path is known. The build id must be the same, and the segments too. A
    /// library without a build id is not opened, as nothing else tells one build from another.
    pub(crate) fn open(&self) -> Option<Symbols> {
        let symbols = Symbols::open(&self.path).ok()?;
        let has_id = self.build_id.is_some() || self.is_program;
        let is_same = self.build_id.as_deref() == symbols.build_id()
            && self.segments == symbols.loaded()
            && has_id;
        is_same.then_some(symbols)
    }
}

/// Elsewhere no module is known, so no function has a name.
#[cfg(not(target_os = "linux"))]
pub(super) fn loaded() -> Loaded {
    Loaded::default()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{ffi::OsStr, ops::ControlFlow, os::unix::ffi::OsStrExt, ptr, slice};

    use libc::{PF_R, PF_W, PT_LOAD, PT_NOTE, PT_TLS};

    use super::{Loaded, Module};
    use crate::{
        primitives::loaded::{Header, LoadedFile, each_loaded, number},
        symbols::notes::find_build_id,
    };

    /// Only a damaged program has longer notes.
    const MOST_NOTE_BYTES: usize = 1 << 16;

    /// Asks the loader, which works without `/proc` too.
    pub(crate) fn loaded() -> Loaded {
        let mut loaded = Loaded::default();
        each_loaded(|file| {
            loaded.unloads = file.unloads;
            // The program comes first.
            let is_program = loaded.modules.is_empty();
            loaded.modules.push(module(&file, is_program));
            ControlFlow::Continue(())
        });
        loaded
    }

    fn module(file: &LoadedFile<'_>, is_program: bool) -> Module {
        let name: &[u8] = if is_program { b"/proc/self/exe" } else { file.name.to_bytes() };
        let in_memory = |it: &&Header| it.p_type == PT_LOAD;
        let segments = file.headers.iter().filter(in_memory);
        let segments = segments.map(|it| (number(it.p_vaddr) as u64, number(it.p_memsz) as u64));
        let writable = file.headers.iter().filter(in_memory).filter(|it| it.p_flags & PF_W != 0);
        let writable = writable.map(|it| file.range(it)).map(|it| (it.start, it.end));
        let own = file.thread_locals;
        let thread_locals = file.headers.iter().find(|it| it.p_type == PT_TLS && own != 0);
        Module {
            bias: file.bias,
            segments: segments.collect(),
            writable: writable.collect(),
            thread_locals: thread_locals.map(|it| (own, number(it.p_memsz))),
            build_id: build_id(file.bias, file.headers),
            path: OsStr::from_bytes(name).into(),
            is_program,
        }
    }

    fn build_id(bias: usize, headers: &[Header]) -> Option<Vec<u8>> {
        headers.iter().filter(|it| it.p_type == PT_NOTE).find_map(|note| {
            let (start, size) = (number(note.p_vaddr), number(note.p_filesz));
            let end = start.checked_add(size).filter(|_| size <= MOST_NOTE_BYTES)?;
            headers.iter().find(|it| {
                let (first, bytes) = (number(it.p_vaddr), number(it.p_filesz));
                let last = first.saturating_add(bytes);
                it.p_type == PT_LOAD && it.p_flags & PF_R != 0 && first <= start && end <= last
            })?;
            let notes = ptr::with_exposed_provenance::<u8>(bias.wrapping_add(start));
            // SAFETY: these bytes lie in a readable segment of a module that is loaded.
            let notes = unsafe { slice::from_raw_parts(notes, size) };
            find_build_id(notes).map(<[u8]>::to_vec)
        })
    }
}

#[cfg(all(test, target_os = "linux", not(miri)))]
mod tests {
    use super::*;

    #[test]
    fn this_function_is_in_the_program_and_the_c_library_is_not() {
        let loaded = loaded();
        let program = &loaded.modules[0];
        let here = super::loaded as *const () as usize;
        assert!(program.is_program() && program.file_address(here).is_some());
        assert!(program.open().is_some(), "{program:?}");
        let abort = libc::abort as *const () as usize;
        let of: Vec<_> =
            loaded.modules.iter().filter(|it| it.file_address(abort).is_some()).collect();
        let [library] = &of[..] else { panic!("{of:?}") };
        assert_eq!(library.is_program(), cfg!(target_feature = "crt-static"));
        let on_heap = Box::new(1);
        let heap = std::ptr::from_ref(&*on_heap).addr();
        assert!(loaded.modules.iter().all(|it| it.file_address(heap).is_none()));
    }

    #[test]
    fn another_build_is_not_opened() {
        let program = || loaded().modules.swap_remove(0);
        assert!(Module { path: "/bin/sh".into(), ..program() }.open().is_none());
        assert!(Module { path: "/".into(), ..program() }.open().is_none());
        assert!(Module { path: "Cargo.toml".into(), ..program() }.open().is_none());
        let mut other = program();
        other.segments[0].1 += 1;
        assert!(other.open().is_none(), "another program's segments");
        let mut other = program();
        other.build_id = other.build_id.map(|id| id.iter().map(|it| !it).collect());
        assert_eq!(other.open().is_none(), other.build_id.is_some(), "another build");
        let no_id = Module { build_id: None, is_program: false, ..program() };
        assert!(no_id.open().is_none());
    }
}
