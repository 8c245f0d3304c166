//! Where a module of the program has its code and its read-only data.

#[cfg(target_pointer_width = "64")]
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use std::arch::asm;
use std::ops::{ControlFlow, Range};

use super::header::VTABLE_WORDS;
use crate::primitives::loaded::{LoadedFile, each_loaded};

/// The most address ranges of each kind that are kept.
const MOST: usize = 6;

/// The largest credible alignment in the vtable of a trait object.
const MOST_ALIGN: usize = 1 << 12;

/// The most bytes that are searched for tables.
#[cfg(feature = "symbols")]
const MOST_SEARCHED: usize = 16 << 20;

/// The address ranges of one module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Module {
    code: [(usize, usize); MOST],
    /// The ranges that are never written while the program runs.
    data: [(usize, usize); MOST],
}

fn contains(ranges: &[(usize, usize)], range: &Range<usize>) -> bool {
    ranges.iter().any(|(start, end)| *start <= range.start && range.end <= *end)
}

fn add(ranges: &mut [(usize, usize)], range: (usize, usize)) {
    if let Some(free) = ranges.iter_mut().find(|range| range.1 == 0) {
        *free = range;
    }
}

impl Module {
    /// Returns the module that has this address in its read-only data.
    pub(super) fn with(address: usize) -> Option<Self> {
        let mut found = None;
        each_loaded(|file| {
            let module = Self::of(&file);
            if !contains(&module.data, &(address..address.saturating_add(1))) {
                return ControlFlow::Continue(());
            }
            found = Some(module);
            ControlFlow::Break(())
        });
        found
    }

    fn of(file: &LoadedFile<'_>) -> Self {
        let mut found = Self { code: [(0, 0); MOST], data: [(0, 0); MOST] };
        for header in file.headers {
            let Range { start, end } = file.range(header);
            let is_loaded = header.p_type == libc::PT_LOAD;
            if is_loaded && header.p_flags & libc::PF_X != 0 {
                add(&mut found.code, (start, end));
            } else if header.p_type == libc::PT_GNU_RELRO
                || (is_loaded && header.p_flags & libc::PF_W == 0)
            {
                add(&mut found.data, (start, end));
            }
        }
        found
    }

    /// Reads a word of the module's read-only data.
    pub(super) fn word(&self, address: usize) -> Option<usize> {
        let end = address.checked_add(size_of::<usize>())?;
        let is_there =
            address.is_multiple_of(align_of::<usize>()) && contains(&self.data, &(address..end));
        // SAFETY: the module's read-only data is never written or unmapped while memscope, which
        // uses the module, is there. The address is aligned.
        is_there.then(|| unsafe { load(address) })
    }

    pub(super) fn is_code(&self, address: usize) -> bool {
        contains(&self.code, &(address..address.saturating_add(1)))
    }

    /// How many words from this address on are addresses of functions.
    pub(super) fn functions(&self, table: usize) -> usize {
        let is_function = |index: &usize| {
            let address = table.saturating_add(index * size_of::<usize>());
            self.word(address).is_some_and(|function| self.is_code(function))
        };
        (0..VTABLE_WORDS).take_while(is_function).count()
    }

    /// Whether this is the vtable of a trait object with a method: the function that drops it, its
    /// size, its alignment, and the method.
    pub(super) fn is_object_table(&self, table: usize) -> bool {
        let word = |index: usize| self.word(table.checked_add(index * size_of::<usize>())?);
        let (Some(drops), Some(size), Some(align), Some(method)) =
            (word(0), word(1), word(2), word(3))
        else {
            return false;
        };
        (drops == 0 || self.is_code(drops))
            && align.is_power_of_two()
            && align <= MOST_ALIGN
            && size.is_multiple_of(align)
            && self.is_code(method)
    }

    /// Calls `each` with the place of each table that begins with exactly `functions` functions, in
    /// the read-only data around an address.
    #[cfg(feature = "symbols")]
    pub(super) fn each_table(&self, beside: usize, functions: usize, mut each: impl FnMut(usize)) {
        let around = self.data.iter().filter(|range| (range.0..range.1).contains(&beside));
        // Tables are relocated, so they are not in the larger range of the code's segment.
        let Some((start, end)) = around.copied().min_by_key(|(start, end)| end - start) else {
            return;
        };
        if end - start > MOST_SEARCHED {
            return;
        }
        for table in (start.next_multiple_of(size_of::<usize>())..end).step_by(size_of::<usize>()) {
            if self.functions(table) == functions {
                each(table);
            }
        }
    }

    /// Returns a word of a table in the read-only data that begins with exactly `functions`
    /// functions.
    pub(super) fn table(&self, table: usize, functions: usize, index: usize) -> Option<usize> {
        if self.functions(table) != functions {
            return None;
        }
        self.word(table.checked_add(index.checked_mul(size_of::<usize>())?)?)
    }
}

/// Reads a word wherever it is. The search also reads the words behind a table, which may be the
/// last one of its object. So neither the compiler nor a sanitizer may see the read.
///
/// # Safety
///
/// The word must be mapped and readable, at an aligned address.
#[inline]
unsafe fn load(address: usize) -> usize {
    #[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
    {
        let word: usize;
        // SAFETY: the caller's contract. It reads memory and changes one register.
        unsafe {
            asm!("mov {}, [{}]", out(reg) word, in(reg) address,
                options(readonly, nostack, preserves_flags));
        }
        word
    }
    #[cfg(all(target_arch = "aarch64", target_pointer_width = "64"))]
    {
        let word: usize;
        // SAFETY: the caller's contract. It reads memory and changes one register.
        unsafe {
            asm!("ldr {}, [{}]", out(reg) word, in(reg) address,
                options(readonly, nostack, preserves_flags));
        }
        word
    }
    #[cfg(not(all(
        any(target_arch = "x86_64", target_arch = "aarch64"),
        target_pointer_width = "64"
    )))]
    {
        // SAFETY: the caller's contract.
        unsafe { std::ptr::with_exposed_provenance::<usize>(address).read_volatile() }
    }
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;

    /// A table like a task's vtable.
    #[derive(Debug)]
    #[repr(C)]
    struct Table {
        functions: [fn() -> usize; 3],
        numbers: [usize; 2],
    }

    fn one() -> usize {
        1
    }

    static TABLE: Table = Table { functions: [one; 3], numbers: [48, 7] };

    #[test]
    fn a_trait_object_is_recognised_by_its_vtable() {
        let object: Box<dyn Fn() -> usize> = Box::new(one);
        // SAFETY: a box of a trait object is two addresses.
        let [_, table] = unsafe { std::mem::transmute_copy::<_, [usize; 2]>(&object) };
        let module = Module::with(ptr::from_ref(&TABLE).addr()).expect("this program");
        assert_eq!(object(), 1);
        assert!(module.is_object_table(table));
        assert!(!module.is_object_table(ptr::from_ref(&TABLE).addr()));
        assert!(!module.is_object_table(ptr::from_ref(&object).addr()));
    }

    #[test]
    fn a_table_is_read_where_nothing_writes_and_believed_for_its_functions_alone() {
        assert_eq!((TABLE.functions[0]() + TABLE.numbers[0]), 49);
        let table = ptr::from_ref(&TABLE).addr();
        let module = Module::with(table).expect("this program");
        assert_eq!(module.functions(table), 3);
        assert_eq!(module.table(table, 3, 3), Some(48));
        assert_eq!(module.table(table, 2, 3), None, "it has three");
        assert_eq!(module.table(table + 8, 3, 3), None);
        let on_stack = Table { ..TABLE };
        assert_eq!(module.table(ptr::from_ref(&on_stack).addr(), 3, 3), None, "it can be written");
        assert_eq!((module.word(table + 1), module.word(usize::MAX)), (None, None));
        #[cfg(feature = "symbols")]
        {
            let mut tables = Vec::new();
            module.each_table(table, 3, |table| tables.push(table));
            assert!(tables.contains(&table));
            assert!(!tables.contains(&(table + 8)));
        }
        assert!(Module::with(ptr::from_ref(&on_stack).addr()).is_none());
    }
}
