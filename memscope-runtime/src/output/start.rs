//! Applies the settings of the environment and of the program.

use super::pressure;
use crate::{
    accounting::{budget, stacks},
    alloc::{countdown, current::exempt, warn},
    config::{self, Builder, ENABLED},
    environment::{self, Environment},
    primitives::Once,
    snapshot::collector,
    symbols,
    tasks::excess,
};

/// Returns the environment as it was at the first call, which also prints what is wrong with it.
pub(crate) fn environment() -> &'static Environment {
    static ENVIRONMENT: Once<Environment> = Once::new();
    ENVIRONMENT.get_or_init(|| {
        if !ENABLED {
            return Environment::default();
        }
        exempt(|| {
            let (environment, wrong) = environment::read();
            for wrong in wrong {
                warn(format_args!("{wrong}"));
            }
            environment
        })
    })
}

/// Applies the environment, once. Called before `main` where the platform allows it, and by every
/// call that sets something up.
pub(crate) fn start() {
    static START: Once<()> = Once::new();
    if ENABLED {
        #[cfg(unix)]
        super::os_hooks::watch_forks();
        START.get_or_init(|| {
            let environment = environment();
            apply(&environment.builder);
            // A report and the server's page judge growth by the time before them.
            let is_shown = environment.report.is_some() || environment.serve.is_some();
            let is_reported = is_shown && config::sample_every_ns() != 0;
            if environment.is_sampled || is_reported {
                collector::arm();
            }
            if environment.report.is_some() {
                symbols::name_stacks_ahead();
            }
            #[cfg(feature = "report-file")]
            {
                super::auto_report::start_from_env(environment);
                super::server::want(environment);
            }
            #[cfg(not(feature = "report-file"))]
            if environment.serve.is_some() {
                warn(format_args!("MEMSCOPE_SERVE needs the feature `server`"));
            }
            #[cfg(not(feature = "report-file"))]
            if environment.report.is_some() || environment.every.is_some() {
                warn(format_args!("MEMSCOPE_REPORT needs the feature `report-file`"));
            }
        });
    }
}

/// Stores these settings, and starts what they turn on.
pub(crate) fn apply(settings: &Builder) {
    let looked_before = settings.store();
    if ENABLED {
        stacks::start();
        countdown::note_main_stack();
        countdown::forget();
    }
    #[cfg(feature = "tokio")]
    crate::alloc::unannotated::watch(config::unannotated());
    if cfg!(feature = "tokio") && !looked_before && config::unannotated() && ENABLED {
        #[cfg(feature = "tokio")]
        crate::alloc::unannotated::prepare();
    }
    #[cfg(feature = "layout")]
    if settings.asks_for_await_points() && ENABLED {
        crate::await_points::tree::turn_on();
    }
    if ENABLED {
        pressure::settings_changed();
        excess::prepare();
        settings.budgets().iter().for_each(|(name, bytes)| budget::set_named(name, *bytes));
    }
}
