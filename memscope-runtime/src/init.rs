//! What a program calls first: settings, and the start time.

use crate::{
    config::{self, Builder, ENABLED},
    model::Error,
    output::start,
    primitives::{clock, reserve},
    snapshot::collector,
};

/// The settings of the environment (`MEMSCOPE_*`), or else the defaults; to be changed before
/// [`Builder::init`].
pub fn builder() -> Builder {
    start::environment().builder.clone()
}

impl Builder {
    /// Applies the settings and fixes the start time.
    ///
    /// Tasks that ran before keep what they have; with fewer `ended_tasks` than before, rows past
    /// the new number are not shown any more.
    ///
    /// # Errors
    ///
    /// When `ended_tasks` is not in 1..=1,048,576, `site_rows` not in 1..=16,384 or
    /// `live_variables` not in
    /// 1..=67,108,864, or `await_points` are asked for without the feature `layout`; then nothing is changed.
    pub fn init(self) -> Result<(), Error> {
        self.check()?;
        // The environment first, so that it does not win; the effects last, as they look at what is
        // set.
        start::start();
        start::apply(&self);
        init();
        Ok(())
    }
}

/// Fixes the start time that throughput is counted from. Tracking works without; a second call does
/// nothing.
///
/// ```
/// memscope_runtime::init();
/// ```
pub fn init() {
    if ENABLED {
        start::start();
        clock::start();
        reserve::hold();
        if config::sample_every_ns() == 0 {
            collector::disarm();
        } else {
            collector::arm();
        }
    }
}

/// [`init`] for an async `main`.
///
/// # Errors
///
/// None today: the `Result` is room for checks that may fail one day.
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
