//! The services that are compared.

use crate::load::Kind;

/// A service: a row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Service {
    pub(crate) name: &'static str,
    /// What it knows of the service's memory.
    pub(crate) knows: &'static str,
    /// Of its package.
    pub(crate) features: &'static str,
    /// Settings in the environment.
    pub(crate) settings: &'static [(&'static str, &'static str)],
    /// Whether snapshots are taken of it while it warms up.
    pub(crate) is_looked_at: bool,
    /// Whether its instructions are counted.
    pub(crate) is_counted: bool,
    /// The row that it is compared with: the same allocator without a tool.
    pub(crate) base: usize,
}

const fn service(name: &'static str, knows: &'static str, features: &'static str) -> Service {
    Service { name, knows, features, settings: &[], is_looked_at: false, is_counted: true, base: 0 }
}

const NOTHING: &str = "nothing";
const TASKS: &str = "live bytes of each task, exact; sampled stacks";
const HANDLERS: &str = "live bytes of each request and task, exact; sampled stacks";
const STACKS: &str = "live bytes of each stack, sampled";

const WITHOUT: Service = service("without memscope", NOTHING, "");
const AGAIN: Service = service("without memscope, again", NOTHING, "");
const LINKED: Service = service("**memscope** linked", TASKS, "memscope");
const LOOKED_AT: Service =
    Service { is_looked_at: true, ..service("**memscope** linked, looked at", TASKS, "memscope") };
const TRACKED: Service = service("**memscope**, handlers `#[tracked]`", HANDLERS, "tracked");
const LAYER: Service = service("**memscope**, `TrackLayer`", HANDLERS, "tower");

const JEMALLOC: Service = Service { base: JEMALLOC_AT, ..service("jemalloc", NOTHING, "jemalloc") };
/// The place of jemalloc without a tool among the web services.
const JEMALLOC_AT: usize = 11;

const fn profiled(
    name: &'static str,
    settings: &'static [(&'static str, &'static str)],
) -> Service {
    Service { settings, base: JEMALLOC_AT, ..service(name, STACKS, "profiling") }
}

const WEB: [Service; 15] = [
    WITHOUT,
    AGAIN,
    Service {
        settings: &[("MEMSCOPE_NAMES", "off"), ("MEMSCOPE_STACKS", "off")],
        ..service("**memscope** linked, no names and stacks", "live bytes of each task", "memscope")
    },
    LINKED,
    LOOKED_AT,
    TRACKED,
    LAYER,
    alone(service("hotpath-alloc linked", "allocated by each thread", "hotpath")),
    alone(service("hotpath-alloc, handlers measured", "allocated by each handler", "measured")),
    service("tracking-allocator", "live bytes of each group", "tracking-allocator"),
    // Valgrind takes a quarter of an hour for it.
    Service { is_counted: false, ..service("dhat", "live bytes of each stack", "dhat") },
    JEMALLOC,
    Service {
        base: JEMALLOC_AT,
        ..service("**memscope** over jemalloc", TASKS, "memscope-over-jemalloc")
    },
    profiled(
        "jemalloc's profile, a sample in 2 MiB",
        &[("_RJEM_MALLOC_CONF", "prof:true,prof_active:true,lg_prof_sample:21")],
    ),
    profiled(
        "jemalloc's profile, a sample in 512 KiB",
        &[("_RJEM_MALLOC_CONF", "prof:true,prof_active:true,lg_prof_sample:19")],
    ),
];

/// Without the server that hotpath starts on a port.
const fn alone(service: Service) -> Service {
    Service { settings: &[("HOTPATH_METRICS_SERVER_OFF", "true")], ..service }
}

const SHOP: [Service; 6] = [WITHOUT, AGAIN, LINKED, LOOKED_AT, TRACKED, LAYER];

/// All services under this load. The first is what those over the system's allocator are compared
/// with.
pub(crate) fn under(kind: Kind) -> &'static [Service] {
    match kind {
        Kind::Web => &WEB,
        Kind::Shop | Kind::Live => &SHOP,
    }
}
