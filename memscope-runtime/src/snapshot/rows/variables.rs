//! Rows of variables and of their places in the code.

use std::collections::HashMap;

use super::site_names::SiteNames;
use crate::{
    accounting::{VariableReading, VariableSiteReading},
    model::{MOST_NAME, TaskId, VariableProfile, VariableSiteProfile, text},
    primitives::{order, reserve},
    snapshot::capture::Reading,
};

/// The memory that one variable takes beside its row: names and places.
const VARIABLE_BYTES: usize = 1 << 10;

/// The live variables, the largest first. Then, for each site, the last one that has ended or could
/// not be followed.
pub(crate) fn variables(reading: &Reading, names: &SiteNames) -> Vec<VariableProfile> {
    let mut live = reserve::rows(&reading.variables, |variable| {
        reserve::spend(VARIABLE_BYTES);
        Some(live_variable(variable, names))
    });
    order::by(&mut live, |a, b| {
        (b.heap_bytes, b.lifetime_ns, &a.name).cmp(&(a.heap_bytes, a.lifetime_ns, &b.name))
    });
    for site in reading.variable_sites.iter().filter(|site| site.last.is_some()) {
        if reserve::has_room(&mut live) {
            live.extend(past_variable(site));
            reserve::spend(VARIABLE_BYTES);
        } else {
            reserve::leave_out(1);
        }
    }
    live
}

fn live_variable(reading: &VariableReading, names: &SiteNames) -> VariableProfile {
    let key = reading.site.key;
    VariableProfile {
        name: text::start(key.name, MOST_NAME).into_owned(),
        type_name: text::type_name(key.type_name),
        file: text::file(key.file),
        line: key.line,
        task: TaskId::new(reading.task),
        task_site: names.get(reading.task_site),
        freed_by: None,
        stack_bytes: reading.site.stack_bytes(),
        heap_bytes: reading.heap_bytes,
        extent: reading.extent,
        live: true,
        lifetime_ns: reading.lifetime_ns,
    }
}

fn past_variable(site: &VariableSiteReading) -> Option<VariableProfile> {
    let past = site.last?;
    Some(VariableProfile {
        name: text::start(site.key.name, MOST_NAME).into_owned(),
        type_name: text::type_name(site.key.type_name),
        file: text::file(site.key.file),
        line: site.key.line,
        task: TaskId::new(past.task),
        task_site: None,
        freed_by: TaskId::new(past.freed_by),
        stack_bytes: site.stack_bytes,
        heap_bytes: past.heap_bytes,
        extent: past.extent,
        live: false,
        lifetime_ns: past.lifetime_ns,
    })
}

/// One row for each `track_var!` and type, largest live bytes first.
pub(crate) fn variable_sites(reading: &Reading) -> Vec<VariableSiteProfile> {
    let mut live_bytes: HashMap<*const (), u64> = HashMap::new();
    for variable in &reading.variables {
        if !reserve::room(&mut live_bytes) {
            break;
        }
        *live_bytes.entry(std::ptr::from_ref(variable.site).cast()).or_default() +=
            variable.heap_bytes;
    }
    let row = |site: &VariableSiteReading| VariableSiteProfile {
        name: text::start(site.key.name, MOST_NAME).into_owned(),
        type_name: text::type_name(site.key.type_name),
        file: text::file(site.key.file),
        line: site.key.line,
        stack_bytes: site.stack_bytes,
        registered: site.registered,
        live: site.registered.saturating_sub(site.ended + site.repeated + site.unfollowed),
        ended: site.ended,
        repeated: site.repeated,
        unfollowed: site.unfollowed,
        live_bytes: live_bytes.get(&site.id).copied().unwrap_or(0),
        largest_bytes: site.largest_bytes,
        lifetime_sum_ns: site.lifetime_sum_ns,
        longest_lifetime_ns: site.longest_lifetime_ns,
    };
    let mut rows = reserve::rows(&reading.variable_sites, |site| Some(row(site)));
    order::by(&mut rows, |a, b| {
        (b.live_bytes, b.registered, &a.name).cmp(&(a.live_bytes, a.registered, &b.name))
    });
    rows
}
