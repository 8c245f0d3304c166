//! What a program calls first: settings, and the start time.

use crate::{
    config::{self, Builder, ENABLED},
    model::Error,
    output::start,
    primitives::{clock, reserve},
    snapshot::collector,
};

/// The settings of the environment (`MEMSCOPE_*`), or the defaults. Change them, then call
/// [`Builder::init`].
pub fn builder() -> Builder {
    start::environment().builder.clone()
}

impl Builder {
    /// Applies the settings and fixes the start time.
    ///
    /// Tasks that ran before keep what they have. If `ended_tasks` is lower than before, rows
    /// beyond the new number are no longer shown.
    ///
    /// # Errors
    ///
    /// Returns an error, and changes nothing, if
    ///
    /// - `ended_tasks` is not in 1..=1,048,576,
    /// - `site_rows` is not in 1..=16,384,
    /// - `live_variables` is not in 1..=67,108,864,
    /// - `stacks` are not every 1..=2^40 bytes, or
    /// - `await_points` are asked for without the feature `layout`.
    pub fn init(self) -> Result<(), Error> {
        self.check()?;
        // The environment comes first, so that these settings replace it. The effects come last,
        // because they read the settings.
        start::start();
        start::apply(&self);
        init();
        Ok(())
    }
}

/// Fixes the start time from which throughput is counted. Tracking works without it; a second call
/// does nothing.
///
/// ```
/// memscope_runtime::init();
/// ```
pub fn init() {
    if ENABLED {
        start::start();
        clock::start();
        reserve::hold();
        #[cfg(feature = "tokio")]
        crate::alloc::unannotated::expect_report();
        if config::sample_every_ns() == 0 {
            collector::disarm();
        } else {
            collector::arm();
        }
        #[cfg(feature = "report-file")]
        crate::output::server::start_if_wanted();
    }
}

/// [`init`] for an async `main`.
///
/// # Errors
///
/// None today. The `Result` leaves room for checks that may fail one day.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// memscope_runtime::async_memory::initialize().await?;
/// # Ok::<(), memscope_runtime::Error>(())
/// # }).unwrap();
/// ```
pub async fn initialize() -> Result<(), Error> {
    init();
    Ok(())
}
