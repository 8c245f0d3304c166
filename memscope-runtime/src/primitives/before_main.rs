//! Functions that the loader calls before `main`.

/// Has the loader call a function once, on the main thread, before `main`. `linux` is the section
/// there: those with a number come first, the lower ones before the higher ones.
///
/// C compilers fill these sections too. The standard library's own, on Linux, is
/// `.init_array.00099`. The function must not panic, and may use what needs no set-up before: the
/// environment, files, and statics that are constants.
#[doc(hidden)]
#[macro_export]
macro_rules! __before_main {
    ($linux:literal, $function:ident) => {
        // SAFETY: the section holds pointers to functions without arguments, which the loader
        // calls.
        #[used]
        #[cfg_attr(target_os = "linux", unsafe(link_section = $linux))]
        #[cfg_attr(
            any(
                target_os = "android",
                target_os = "freebsd",
                target_os = "netbsd",
                target_os = "openbsd",
                target_os = "dragonfly",
                target_os = "illumos",
            ),
            unsafe(link_section = ".init_array")
        )]
        #[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__mod_init_func"))]
        #[cfg_attr(windows, unsafe(link_section = ".CRT$XCU"))]
        static BEFORE_MAIN: extern "C" fn() = $function;
    };
}
#[cfg(feature = "enabled")]
pub(crate) use __before_main;
