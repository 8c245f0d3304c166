//! The functions inside of allocators, which a reader leaves out.
//!
//! If a pattern matches a frame's whole name, a reader drops the frame and all that it calls. So
//! the innermost function that is shown is the one that asked for memory. Names are those of
//! symbols, demangled: `<alloc::raw_vec::RawVec<T>>::grow_one` (v0) or
//! `alloc::raw_vec::RawVec<T,A>::grow_one` (legacy). Names of sites and roots begin with `site ` or
//! `(`, so no pattern matches them.

/// Functions inside of allocators, as patterns of RE2.
const DROPPED: [&str; 5] = [
    // Functions that the compiler puts before the global allocator.
    r"(__rustc::)?__(rust|rdl|rg)_(alloc|alloc_zeroed|realloc)",
    r"<.+ as core::alloc::(global::GlobalAlloc|Allocator)>::.+",
    // How the standard library asks for memory.
    r"<?alloc::(alloc|raw_vec)::.+",
    r"(__libc_)?(malloc|calloc|realloc|memalign|aligned_alloc|posix_memalign)",
    // Memscope itself, except `KEPT`.
    r"<?memscope_(rs|runtime)::.+",
];

/// Functions of memscope that call the program's code.
pub(super) const KEPT: &str = r"<?memscope_runtime::(tasks|variables)::.+";

/// Returns one pattern that matches all of `DROPPED`.
pub(super) fn dropped() -> String {
    DROPPED.join("|")
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;

    /// Whether a reader drops a function, as pprof decides: by the name up to its first `(`.
    fn is_dropped(name: &str) -> bool {
        let name = name.split('(').next().unwrap_or_default();
        let matches = |pattern: &str| {
            Regex::new(&format!("^({pattern})$")).expect("a pattern").is_match(name)
        };
        matches(&dropped()) && !matches(KEPT)
    }

    #[test]
    fn functions_inside_of_allocators_are_dropped_and_all_others_are_not() {
        for name in [
            "__rustc::__rust_alloc",
            "__rust_alloc_zeroed",
            "__rustc::__rdl_alloc",
            "__rg_realloc",
            "alloc::alloc::alloc",
            "alloc::alloc::exchange_malloc",
            "alloc::alloc::Global::alloc_impl",
            "<alloc::alloc::Global>::alloc_impl",
            "<alloc::alloc::Global as core::alloc::Allocator>::allocate",
            "<memscope_runtime::alloc::allocator::TrackingAllocator as core::alloc::global::GlobalAlloc>::alloc",
            "<app::Counting as core::alloc::global::GlobalAlloc>::alloc",
            "alloc::raw_vec::finish_grow",
            "alloc::raw_vec::RawVecInner<A>::try_allocate_in",
            "<alloc::raw_vec::RawVec<u8>>::grow_one",
            "<alloc::raw_vec::RawVecInner>::reserve::do_reserve_and_handle::<alloc::alloc::Global>",
            "memscope_runtime::alloc::charge::charge",
            "<memscope_runtime::snapshot::MemorySnapshot>::tasks",
            "malloc",
            "__libc_calloc",
        ] {
            assert!(is_dropped(name), "{name}");
        }
        for name in [
            "alloc::vec::Vec<T,A>::reserve",
            "<alloc::vec::Vec<u8>>::with_capacity",
            "<alloc::boxed::Box<F,A> as core::ops::function::FnOnce<Args>>::call_once",
            "alloc::allocator_of_the_program::run",
            "app::alloc::alloc::fill",
            "<memscope_runtime::tasks::future::Tracked<F> as core::future::future::Future>::poll",
            "memscope_runtime::tasks::spawn::spawn_tracked",
            "memscope_runtime::variables::register::track_value",
            "tokio::runtime::task::raw::poll::<memscope_runtime::alloc::X, S>",
            "<F as axum::handler::Handler<(M,T1),S>>::call",
            "hashbrown::raw::RawTable<T,A>::reserve_rehash",
            "mallocs::run",
            "main",
            "",
            "(no stack)",
            "(no task)",
            "site alloc::alloc::alloc",
            "site __rust_alloc",
            "program+0x1a2b",
        ] {
            assert!(!is_dropped(name), "{name}");
        }
    }
}
