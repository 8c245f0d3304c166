//! Which unwinder the program has: one that takes the loader's lock, or one that takes none.
//!
//! glibc finds the tables of an address without a lock by `_dl_find_object`, from 2.35 on. Of the
//! unwinders, libgcc calls it from GCC 12 on. An older one, or LLVM's, walks the list of modules
//! under the loader's lock. So the module that has the unwinder must name that function.

use std::{ffi::CStr, ops::ControlFlow, ptr, slice};

use super::{loaded::each_loaded, unwind};

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

/// Whether a static program has the function. Only its unwinder would use it.
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

/// Whether the file that has this address imports or exports a symbol of this name.
fn names(address: usize, name: &CStr) -> bool {
    let mut is_named = false;
    each_loaded(|file| {
        let has_address = file.segments().any(|it| it.contains(&address));
        if !has_address {
            return ControlFlow::Continue(());
        }
        if let Some(dynamic) = file.headers.iter().find(|it| it.p_type == libc::PT_DYNAMIC) {
            let entries = ptr::with_exposed_provenance(file.range(dynamic).start);
            // SAFETY: the loader's own header says that this file's dynamic section is there.
            is_named = unsafe { has_name(file.bias, entries, name) };
        }
        ControlFlow::Break(())
    });
    is_named
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
