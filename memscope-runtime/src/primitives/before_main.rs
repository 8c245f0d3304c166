//! Functions that the loader calls before `main`.

/// Makes the loader call a function once, on the main thread, before `main`. `linux` is the name of
/// the section on Linux. Numbered sections come first, in the order of their numbers.
///
/// C compilers fill these sections too. On Linux, the standard library uses `.init_array.00099`.
/// The function must not panic. It may use what needs no set-up: the environment, files, and
/// statics with constant values.
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
