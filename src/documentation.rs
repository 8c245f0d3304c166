//! The guides, as they stand in `docs/`.
//!
//! Their programs are tests of the documentation. Their links lead here from other pages: Markdown
//! takes the first definition of a link, so `links.md` goes before each page.

/// One module a page.
macro_rules! pages {
    ($($(#[$condition:meta])* $page:ident: $file:literal;)*) => { $(
        $(#[$condition])*
        #[doc = include_str!("links.md")]
        #[doc = include_str!($file)]
        pub mod $page {}
    )* };
}

pages! {
    accuracy: "../docs/ACCURACY.md";
    await_points: "../docs/AWAIT_POINTS.md";
    ci: "../docs/CI.md";
    configuration: "../docs/CONFIGURATION.md";
    examples: "../examples/README.md";
    from_await_tree: "../docs/FROM_AWAIT_TREE.md";
    leaks: "../docs/LEAKS.md";
    limits: "../docs/LIMITS.md";
    memory: "../docs/MEMORY.md";
    names: "../docs/NAMES.md";
    performance: "../docs/PERFORMANCE.md";
    #[cfg(any(not(doctest), all(feature = "opentelemetry", feature = "prometheus-client")))]
    production: "../docs/PRODUCTION.md";
    // Its programs are parts of two files that are compiled elsewhere.
    #[cfg(not(doctest))]
    shrink_your_futures: "../docs/shrink-your-futures.md";
    tasks: "../docs/TASKS.md";
    testing: "../docs/TESTING.md";
    track_var: "../docs/TRACK_VAR.md";
    #[cfg(any(not(doctest), feature = "tracing"))]
    tracing: "../docs/TRACING.md";
    tracking: "../docs/TRACKING.md";
}
