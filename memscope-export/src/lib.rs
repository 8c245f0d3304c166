#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

// Bottom first: a module imports only from modules above it.
// Each exact figure of a snapshot, divided among the stacks and tasks that are known.
mod attribution;
// The calls of a part, the outermost first, with the names that all formats give them.
mod calls;
// Folded stacks: one line a stack.
mod folded;
// The JSON of speedscope.
mod speedscope;
// The gzipped protobuf that `go tool pprof`, Pyroscope and Parca read.
mod pprof;
// The page, with a snapshot inside or live.
mod html;
// Reports whose name ends in `.html` are written as the page.
mod before_main;
mod page;
mod update;
// What a scraper sees: bounded families of metrics, and their OpenMetrics text.
mod metrics;

pub use crate::{
    attribution::PprofKind,
    folded::{folded, folded_name, folded_of},
    html::{html, html_policy, live_page, live_page_policy, page_json, write_html},
    metrics::{
        CounterFloors, MetricFamily, MetricKind, MetricSeries, MetricValue, metric_families,
        metrics, open_metrics, text_of,
    },
    pprof::pprof,
    speedscope::speedscope,
    update::{page_update, page_update_with},
};
