//! Short rounds, each with new processes: what differs from process to process is noise too.

use std::io;

use comparison::statistics::quantile;

use crate::{
    client,
    load::{Kind, Load},
    server::{Program, Server},
};

/// How much is done in a round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    pub(crate) warm_up: usize,
    pub(crate) slices: usize,
    pub(crate) requests: usize,
    pub(crate) connections: usize,
}

impl Effort {
    const WEB: Self = Self { warm_up: 5_000, slices: 15, requests: 3_000, connections: 32 };
    /// These requests take far longer.
    const SHOP: Self = Self { warm_up: 500, slices: 15, requests: 120, ..Self::WEB };

    pub(crate) fn of(kind: Kind, is_quick: bool) -> Self {
        let whole = if kind == Kind::Web { Self::WEB } else { Self::SHOP };
        if is_quick { Self { warm_up: whole.warm_up / 10, slices: 1, ..whole } } else { whole }
    }
}

/// One service in one round.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Round {
    pub(crate) cpu_ns_per_request: f64,
    pub(crate) p99_ns: f64,
    pub(crate) resident_bytes: f64,
}

/// Starts all services, and gives each a slice of the load in turn, the order reversed from slice
/// to slice. Only one is under load at a time.
pub(crate) fn run(
    programs: &[Program],
    kind: Kind,
    number: usize,
    effort: Effort,
) -> io::Result<Vec<Round>> {
    // Of two processors the services have the first.
    let servers: io::Result<Vec<Server>> =
        programs.iter().map(|program| Server::start(program, 0)).collect();
    let servers = servers?;
    let load = Load::over(effort.connections, kind);
    for server in &servers {
        warm_up(server, &load, effort.warm_up)?;
    }
    let mut used = vec![0; servers.len()];
    let mut latencies = vec![Vec::new(); servers.len()];
    for slice in 0..effort.slices {
        let which = slice * effort.requests..(slice + 1) * effort.requests;
        for turn in 0..servers.len() {
            let turn = if slice % 2 == 0 { turn } else { servers.len() - 1 - turn };
            let index = (turn + number) % servers.len();
            let address = servers[index].address;
            let before = client::usage(address)?.cpu_ns;
            latencies[index].extend(load.make(address, which.clone())?);
            used[index] += client::usage(address)?.cpu_ns - before;
        }
    }
    let requests = (effort.slices * effort.requests) as f64;
    let mut rounds = Vec::new();
    for ((server, used), latencies) in servers.iter().zip(used).zip(latencies) {
        let mut latencies: Vec<f64> = latencies.into_iter().map(|latency| latency as f64).collect();
        latencies.sort_by(f64::total_cmp);
        rounds.push(Round {
            cpu_ns_per_request: used as f64 / requests,
            p99_ns: quantile(&latencies, 0.99).unwrap_or(f64::NAN),
            resident_bytes: client::usage(server.address)?.resident_bytes as f64,
        });
    }
    Ok(rounds)
}

/// Makes this many requests, and has a snapshot taken after each few hundred if the service is one
/// that is looked at.
fn warm_up(server: &Server, load: &Load, requests: usize) -> io::Result<()> {
    const BETWEEN: usize = 500;
    for start in (0..requests).step_by(BETWEEN) {
        load.make(server.address, start..requests.min(start + BETWEEN))?;
        if server.is_looked_at {
            client::look(server.address)?;
        }
    }
    Ok(())
}

/// Instructions for each request over one connection: the difference between a long and a short
/// run, so that start and end do not count.
pub(crate) fn instructions(program: &Program, kind: Kind, is_quick: bool) -> io::Result<f64> {
    let (few, many) = match (kind, is_quick) {
        (Kind::Web, true) => (200, 400),
        (Kind::Web, false) => (2_000, 6_000),
        (_, true) => (20, 40),
        (_, false) => (200, 600),
    };
    let count = |requests| {
        let server = Server::start_counting(program)?;
        // Over a websocket and without one, where there are both.
        let load = Load::over(if kind == Kind::Live { 2 } else { 1 }, kind);
        warm_up(&server, &load, few)?;
        load.make(server.address, 0..requests)?;
        server.instructions()
    };
    Ok((count(many)? as f64 - count(few)? as f64) / (many - few) as f64)
}
