//! Which unwinder the program has: one that takes the loader's lock, or one that takes none.
//!
//! glibc finds the tables of an address without a lock by `_dl_find_object`, from 2.35 on. Of the
//! unwinders, libgcc calls it from GCC 12 on. An older one, or LLVM's, walks the list of modules
//! under the loader's lock. So the module that has the unwinder must name that function.

use std::{
    ffi::{CStr, c_int, c_void},
    ptr, slice,
};

use super::unwind;

#[cfg(target_pointer_width = "64")]
type Header = libc::Elf64_Phdr;
#[cfg(not(target_pointer_width = "64"))]
type Header = libc::Elf32_Phdr;

/// An entry of a module's dynamic section.
#[repr(C)]
#[derive(Clone, Copy)]
struct Entry {
    tag: isize,
    value: usize,
}

/// Kinds of entries: the last one, the address of the strings, their size.
const LAST: isize = 0;
const STRINGS: isize = 5;
const STRINGS_SIZE: isize = 10;
/// Only a damaged module has more entries, or more strings.
const MOST_ENTRIES: usize = 1 << 10;
const MOST_STRINGS: usize = 1 << 28;

const FINDS: &CStr = c"_dl_find_object";
const UNWINDS: &CStr = c"_Unwind_Backtrace";

/// Whether unwinding takes no lock. Must not be called in the allocator, because it asks the
/// loader.
pub(super) fn is_lock_free() -> bool {
    #[cfg(all(target_feature = "crt-static", target_arch = "x86_64"))]
    return is_linked();
    #[cfg(not(all(target_feature = "crt-static", target_arch = "x86_64")))]
    is_loaded()
}

/// Whether a static program has the function: no part of it but its unwinder asks for that.
#[cfg(all(target_feature = "crt-static", target_arch = "x86_64"))]
fn is_linked() -> bool {
    let function: usize;
    // SAFETY: reads the symbol's address, which is 0 if no part has the symbol: it is weak here.
    unsafe {
        std::arch::asm!(
            ".weak _dl_find_object",
            "mov {function}, qword ptr [rip + _dl_find_object@GOTPCREL]",
            function = out(reg) function,
            options(nostack, readonly, preserves_flags),
        );
    }
    function != 0
}

/// Whether the module that has the unwinder names the function.
#[cfg_attr(all(target_feature = "crt-static", target_arch = "x86_64"), allow(dead_code))]
fn is_loaded() -> bool {
    let unwinder = unwind::address();
    if names(unwinder, FINDS) {
        return true;
    }
    // In a program with fixed addresses this may be a stub, which leads to another module.
    // SAFETY: the name ends with a zero.
    let next = unsafe { libc::dlsym(libc::RTLD_NEXT, UNWINDS.as_ptr()) };
    !next.is_null() && names(unwinder, UNWINDS) && names(next.addr(), FINDS)
}

struct Search {
    address: usize,
    name: &'static CStr,
    is_named: bool,
}

/// Whether the module that has this address imports or exports a symbol of this name.
fn names(address: usize, name: &'static CStr) -> bool {
    let mut search = Search { address, name, is_named: false };
    // SAFETY: `look_at` expects this argument, which outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(look_at), (&raw mut search).cast()) };
    search.is_named
}

/// Looks at one module. Ends the search at the one that has the address.
unsafe extern "C" fn look_at(
    module: *mut libc::dl_phdr_info,
    _: libc::size_t,
    search: *mut c_void,
) -> c_int {
    const GO_ON: c_int = 0;
    const STOP: c_int = 1;
    // SAFETY: the loader passes a module that is valid during this call.
    let module = unsafe { &*module };
    // SAFETY: the argument of `dl_iterate_phdr` above, which nothing else uses meanwhile.
    let search = unsafe { &mut *search.cast::<Search>() };
    if module.dlpi_phdr.is_null() {
        return GO_ON;
    }
    let count = usize::from(module.dlpi_phnum);
    // SAFETY: so many program headers are there, in memory that is only read.
    let headers = unsafe { slice::from_raw_parts(module.dlpi_phdr, count) };
    let base = usize::try_from(module.dlpi_addr).unwrap_or(0);
    let has_address = |header: &&Header| {
        header.p_type == libc::PT_LOAD && range(base, header).contains(&search.address)
    };
    if !headers.iter().any(|header| has_address(&header)) {
        return GO_ON;
    }
    if let Some(dynamic) = headers.iter().find(|header| header.p_type == libc::PT_DYNAMIC) {
        let entries = ptr::with_exposed_provenance(range(base, dynamic).start);
        // SAFETY: the loader's own header says that this module's dynamic section is there.
        search.is_named = unsafe { has_name(base, entries, search.name) };
    }
    STOP
}

/// The addresses of a segment.
fn range(base: usize, header: &Header) -> std::ops::Range<usize> {
    let start = base.wrapping_add(usize::try_from(header.p_vaddr).unwrap_or(0));
    start..start.saturating_add(usize::try_from(header.p_memsz).unwrap_or(0))
}

/// Whether a name is among the names of a module's symbols.
///
/// # Safety
///
/// `entries` must be the dynamic section of a module that is loaded at `base`.
unsafe fn has_name(base: usize, entries: *const Entry, name: &CStr) -> bool {
    let (mut strings, mut size) = (0_usize, 0);
    for index in 0..MOST_ENTRIES {
        // SAFETY: the section ends with an entry of the kind `LAST`, at which this loop ends.
        let entry = unsafe { entries.add(index) };
        // SAFETY: as above.
        let entry = unsafe { entry.read() };
        match entry.tag {
            LAST => break,
            STRINGS => strings = entry.value,
            STRINGS_SIZE => size = entry.value,
            _ => {}
        }
    }
    if strings == 0 || size == 0 || size > MOST_STRINGS {
        return false;
    }
    // Most loaders have made an address of the offset by now.
    let start = if strings < base { base.wrapping_add(strings) } else { strings };
    let start = ptr::with_exposed_provenance::<u8>(start);
    // SAFETY: the loader looks up symbols by this table, which is never written.
    let strings = unsafe { slice::from_raw_parts(start, size) };
    let name = name.to_bytes_with_nul();
    strings.windows(name.len()).any(|there| there == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_names_what_it_imports_and_nothing_else() {
        let own = a_module_names_what_it_imports_and_nothing_else as fn() as usize;
        assert!(names(own, c"pthread_getattr_np"));
        assert!(!names(own, c"no_module_has_this_name"));
        assert!(!names(0, c"malloc"), "no module is there");
    }
}
