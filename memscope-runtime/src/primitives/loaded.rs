//! The files whose code is loaded, as the loader knows them: the program and its shared libraries.

use std::{
    ffi::{CStr, c_int, c_void},
    ops::{ControlFlow, Range},
    slice,
};

use libc::dl_phdr_info;

#[cfg(target_pointer_width = "64")]
pub(crate) type Header = libc::Elf64_Phdr;
#[cfg(not(target_pointer_width = "64"))]
pub(crate) type Header = libc::Elf32_Phdr;

/// A loaded file. The loader keeps it from being unloaded meanwhile.
#[derive(Clone, Copy)]
pub(crate) struct LoadedFile<'a> {
    /// Added to the addresses that the linker assigned.
    pub(crate) bias: usize,
    /// Its program headers.
    pub(crate) headers: &'a [Header],
    /// The path, as the loader has it. It is empty for the program.
    pub(crate) name: &'a CStr,
    /// The address of the calling thread's copy of the file's thread-locals; 0 if it has none.
    pub(crate) thread_locals: usize,
    /// How many files have been unloaded so far.
    pub(crate) unloads: u64,
}

impl LoadedFile<'_> {
    /// The addresses of a segment.
    pub(crate) fn range(&self, header: &Header) -> Range<usize> {
        let start = self.bias.wrapping_add(number(header.p_vaddr));
        start..start.saturating_add(number(header.p_memsz))
    }

    /// The addresses of its segments that are in memory.
    pub(crate) fn segments(&self) -> impl Iterator<Item = Range<usize>> {
        self.headers.iter().filter(|it| it.p_type == libc::PT_LOAD).map(|it| self.range(it))
    }
}

/// Calls `each` with each loaded file, the program first, until `each` breaks.
///
/// It takes the loader's lock, so it must not be called in the allocator. It allocates nothing, and
/// works without `/proc`.
pub(crate) fn each_loaded<F>(mut each: F)
where
    F: FnMut(LoadedFile<'_>) -> ControlFlow<()>,
{
    // SAFETY: `pass_on` of the same type expects this argument, which outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(pass_on::<F>), (&raw mut each).cast()) };
}

unsafe extern "C" fn pass_on<F>(file: *mut dl_phdr_info, _: usize, each: *mut c_void) -> c_int
where
    F: FnMut(LoadedFile<'_>) -> ControlFlow<()>,
{
    // SAFETY: the argument of `dl_iterate_phdr` above, which nothing else uses meanwhile.
    let each = unsafe { &mut *each.cast::<F>() };
    // SAFETY: the loader passes a description that is valid during this call.
    let file = unsafe { &*file };
    let headers: &[Header] = if file.dlpi_phdr.is_null() {
        &[]
    } else {
        // SAFETY: the loader passes the number of the headers, which are in memory that is only
        // read.
        unsafe { slice::from_raw_parts(file.dlpi_phdr, usize::from(file.dlpi_phnum)) }
    };
    let name = if file.dlpi_name.is_null() {
        c""
    } else {
        // SAFETY: the loader's text, which ends with a zero.
        unsafe { CStr::from_ptr(file.dlpi_name) }
    };
    let file = LoadedFile {
        bias: number(file.dlpi_addr),
        headers,
        name,
        thread_locals: file.dlpi_tls_data.addr(),
        unloads: file.dlpi_subs,
    };
    c_int::from(each(file).is_break())
}

/// Converts a number of the loader's to `usize`.
pub(crate) fn number(number: impl TryInto<usize>) -> usize {
    number.try_into().unwrap_or(usize::MAX)
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    #[test]
    fn the_program_comes_first_and_a_search_ends_where_it_breaks() {
        let here = number as fn(u64) -> usize as usize;
        let mut seen = Vec::new();
        each_loaded(|file| {
            let is_here = file.headers.iter().any(|it| file.range(it).contains(&here));
            seen.push((is_here, file.name.is_empty()));
            ControlFlow::Continue(())
        });
        assert_eq!(seen[0], (true, true));
        assert_eq!(seen.iter().filter(|(is_here, _)| *is_here).count(), 1, "{seen:?}");
        let mut calls = 0;
        each_loaded(|_| {
            calls += 1;
            ControlFlow::Break(())
        });
        assert_eq!(calls, 1);
    }
}
