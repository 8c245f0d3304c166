//! Small services with a known fault, and healthy ones, run without any annotation, with annotated
//! tasks, and without annotations but with the graph of the heap, or in one of these ways: what is
//! found, and whether finding, cause, cure and holder are right.
//!
//! The time is simulated: it goes by in beats, each once the service is at rest, for ten minutes.
//! Healthy services are judged after each round.
//!
//! `cargo test -p memscope-tests --test causes` prints the table of docs/LEAKS.md and holds
//! it against that page. With `SERVICE` set to a name, and `SERVICE_MODE` to `bare`,
//! `annotated` or `held`, it runs that service and prints its findings; with `SERVICE_SHOW`, the
//! whole report as well.
#![expect(clippy::print_stdout, reason = "it prints a table, and services print their findings")]

use std::{
    env,
    process::{Child, Command, ExitCode, Stdio},
    sync::atomic::Ordering,
    time::Duration,
};

use memscope_rs::{
    Stacks, TrackingAllocator,
    analysis::{Leak, LeakCause, LeakKind, Leaks, Severity},
    builder,
};
use memscope_tests::{Zeroing, workers};

mod clock;
mod healthy;
mod kept;
mod large;
mod lost;
mod queues;
mod service;
mod several;
mod sick;
mod tasks;

use service::{Mode, Service};

#[global_allocator]
static ALLOCATOR: TrackingAllocator<Zeroing> = TrackingAllocator::new(Zeroing);

const NAME: &str = "SERVICE";
const MODE: &str = "SERVICE_MODE";
pub(crate) const SHOW: &str = "SERVICE_SHOW";
/// Beside other processes a copy may take long.
const LONG_PAUSE: Duration = Duration::from_secs(10);
/// How many services run at one time.
const AT_ONCE: usize = 4;

/// What must be found.
pub(crate) struct Fault {
    /// One of these: how long a task waits is known of annotated ones.
    pub(crate) kinds: &'static [LeakKind],
    /// The end of the site's name.
    pub(crate) site: &'static str,
    /// The function that its code is in: a finding names it, and a line in it, or no code.
    pub(crate) code: &'static str,
    /// The text of the file with that function.
    pub(crate) source: &'static str,
    /// One of these: a cell of an annotated task does not tell what keeps it.
    pub(crate) causes: &'static [LeakCause],
    /// Words of the cure.
    pub(crate) cure: &'static str,
    /// Words of what holds it, which the graph of the heap says; empty if it says nothing, because
    /// several roots hold it. With [`OR_NOTHING`]: a copy finds most of it below one of these, or
    /// not.
    pub(crate) holder: &'static str,
}

/// What ends the words of a holder that may not be named.
const OR_NOTHING: &str = ", or nothing";

fn main() -> ExitCode {
    let sick = [sick::SICK, lost::LOST, several::SEVERAL, queues::QUEUES, kept::KEPT, tasks::TASKS];
    let services = || sick.iter().chain(&[healthy::HEALTHY, large::LARGE]).copied().flatten();
    if let Ok(name) = env::var(NAME) {
        let service = services().find(|service| service.name.contains(&name));
        be(service.expect("no service has this in its name"));
        return ExitCode::SUCCESS;
    }
    if env::args().any(|argument| argument == "--list") {
        println!("causes: test");
        return ExitCode::SUCCESS;
    }
    let all: Vec<(&Service, Mode)> = services()
        .flat_map(|service| service.modes.iter().map(move |mode| (service, *mode)))
        .collect();
    let results = run(&all);
    let table = table(&results);
    println!("{table}");
    let wrong: Vec<&Outcome<'_>> = results.iter().filter(|it| !it.is_right()).collect();
    for outcome in &wrong {
        println!("WRONG: {} ({})\n{}", outcome.service.name, outcome.mode.name(), outcome.leaks);
        for alarm in &outcome.alarms {
            println!("ALARM: {alarm}");
        }
    }
    let page = include_str!("../../../docs/LEAKS.md");
    let is_shown = page.contains(&table);
    if !is_shown {
        println!("docs/LEAKS.md does not show this table");
    }
    if wrong.is_empty() && is_shown { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn be(service: &Service) {
    // A service allocates little, so more of it is sampled. The timeline has what each round looks
    // at, and nothing between: the collector looks as often as the machine lets it run.
    builder()
        .sample_every(Duration::ZERO)
        .stacks(Stacks::EveryBytes(
            env::var("SERVICE_STACKS").map_or(4, |it| it.parse().unwrap()) << 10,
        ))
        .holders_pause(LONG_PAUSE)
        .init()
        .expect("settings");
    let name = env::var(MODE).unwrap_or_default();
    let mode = Mode::ALL.into_iter().find(|mode| mode.name() == name).unwrap_or(Mode::Annotated);
    clock::start();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(4)
        .enable_all()
        .on_thread_park(clock::worker_parks)
        .on_thread_unpark(clock::worker_runs)
        .build()
        .expect("a runtime");
    service::IS_HEALTHY.store(service.fault.is_none(), Ordering::Relaxed);
    let leaks = runtime.block_on((service.run)(mode));
    if env::var(SHOW).is_ok() {
        println!("{leaks}");
    } else {
        let findings = (&leaks, &*service::lock(&service::ALARMS));
        println!("{}", serde_json::to_string(&findings).expect("JSON"));
    }
    runtime.shutdown_background();
}

/// Runs each of these in a process of its own, several at one time.
fn run<'s>(all: &[(&'s Service, Mode)]) -> Vec<Outcome<'s>> {
    workers::each(all, AT_ONCE, |(service, mode)| Outcome::of(service, *mode))
}

/// The findings at the end, and those above *low* that a healthy service had before.
fn findings(service: &Service, mode: Mode) -> (Leaks, Vec<Leak>) {
    let child = Command::new(env::current_exe().expect("a path"))
        .env(NAME, service.name)
        .env(MODE, mode.name())
        .env_remove(SHOW)
        .env("MEMSCOPE_HOLDERS", if mode == Mode::Held { "on" } else { "off" })
        .stdout(Stdio::piped())
        .spawn();
    let output = child.and_then(Child::wait_with_output).expect("it starts and ends");
    assert!(output.status.success(), "{}", service.name);
    serde_json::from_slice(&output.stdout).expect("findings")
}

struct Outcome<'s> {
    service: &'s Service,
    mode: Mode,
    leaks: Leaks,
    /// What a healthy service had after a round.
    alarms: Vec<Leak>,
}

impl<'s> Outcome<'s> {
    fn of(service: &'s Service, mode: Mode) -> Self {
        let (leaks, alarms) = findings(service, mode);
        Self { service, mode, leaks, alarms }
    }

    /// The finding that is right.
    fn found(&self) -> Option<&Leak> {
        let fault = self.service.fault.as_ref()?;
        self.leaks.iter().find(|leak| {
            fault.kinds.contains(&leak.kind)
                && leak.place.name.ends_with(fault.site)
                && fault.causes.contains(&leak.cause)
                && leak.fix.contains(fault.cure)
                && leak.allocated_at.as_ref().is_none_or(|code| has_line_of(code, fault))
                && (self.mode != Mode::Held || is_held_as(fault, leak))
        })
    }

    /// Whether a finding is about another part of the fault: another site that has a share in it,
    /// or what no task has made, with the line and the cure.
    fn is_of_fault(&self, leak: &Leak) -> bool {
        self.service.fault.as_ref().is_some_and(|fault| {
            let has_line = leak.allocated_at.as_ref().is_some_and(|code| has_line_of(code, fault));
            fault.kinds.contains(&leak.kind) && leak.fix.contains(fault.cure) && has_line
        })
    }

    /// What is found and should not be.
    fn others(&self) -> usize {
        if self.service.fault.is_none() {
            let at_end = self.leaks.iter().filter(|leak| leak.severity > Severity::Low).count();
            return self.alarms.len() + at_end;
        }
        let found = self.found();
        self.leaks.iter().filter(|leak| Some(*leak) != found && !self.is_of_fault(leak)).count()
    }

    fn is_right(&self) -> bool {
        self.others() == 0 && self.service.fault.is_some() == self.found().is_some()
    }
}

/// Whether the code of a finding is the function of a fault, at a line in it.
fn has_line_of(code: &str, fault: &Fault) -> bool {
    if let Some(helper) = code.strip_prefix("`memscope_tests::shelf::note` (") {
        let text = include_str!("../../support/shelf.rs").lines().zip(1u32..);
        let mut lines = text.filter(|(text, _)| text.contains("vec![")).map(|(_, line)| line);
        return lines.any(|line| {
            helper.split([')', ',']).any(|it| it.ends_with(&format!("shelf.rs:{line}")))
        });
    }
    let (module, function) = fault.code.split_once("::").expect("a path");
    let (file, start) = (format!("{module}.rs:"), format!("fn {function}("));
    let source = fault.source.lines().zip(1u32..);
    let lines: Vec<u32> = source
        .skip_while(|(text, _)| !text.trim_start_matches("async ").starts_with(&start))
        .take_while(|(text, _)| *text != "}")
        .map(|(_, line)| line)
        .collect();
    let named = code.split(" in ").filter(|it| it.contains(fault.code));
    let mut places = named.filter_map(|it| it.split_once(&file)?.1.split([')', ',']).next());
    places.any(|line| lines.contains(&line.parse().expect("a line")))
}

fn is_held_as(fault: &Fault, leak: &Leak) -> bool {
    let (holder, may_be_none) = match fault.holder.strip_suffix(OR_NOTHING) {
        Some(holder) => (holder, true),
        None => (fault.holder, fault.holder.is_empty()),
    };
    leak.held_by
        .as_ref()
        .map_or(may_be_none || !service::HAS_GRAPHS, |by| !holder.is_empty() && by.contains(holder))
}

/// One row a service, and a line with the sums.
fn table(results: &[Outcome<'_>]) -> String {
    let mut rows = vec![
        "| service | found as | bare | annotated | with the graph | cure | held by |".to_owned(),
        "|---|---|---|---|---|---|---|".to_owned(),
    ];
    for of_service in results.chunk_by(|one, next| std::ptr::eq(one.service, next.service)) {
        let Some(first) = of_service.first() else { continue };
        let shown = |outcome: &Outcome<'_>| match (&outcome.service.fault, outcome.is_right()) {
            (None, true) => "nothing above low",
            (Some(_), true) => "right",
            (_, false) => "WRONG",
        };
        let (kind, cure, holder) = first.service.fault.as_ref().map_or_else(
            || ("–".to_owned(), "–", ""),
            |fault| {
                let kinds: Vec<String> = fault.kinds.iter().map(ToString::to_string).collect();
                (format!("{}: {}", kinds.join(" or "), fault.site), fault.cure, fault.holder)
            },
        );
        let holder = if holder.is_empty() { "–" } else { holder };
        let of_mode = |mode| of_service.iter().find(|it| it.mode == mode).map_or("–", shown);
        let cells = Mode::ALL.map(of_mode);
        let name = first.service.name;
        rows.push(format!("| {name} | {kind} | {} | {cure} | {holder} |", cells.join(" | ")));
    }
    let count = |is: fn(&Outcome<'_>) -> bool| results.iter().filter(|it| is(it)).count();
    let sick = count(|it| it.service.fault.is_some());
    let led = count(|it| it.found().is_some());
    let named = count(|it| it.found().is_some_and(|leak| leak.allocated_at.is_some()));
    let wrong: usize = results.iter().map(Outcome::others).sum();
    rows.push(String::new());
    rows.push(format!(
        "{} runs, {sick} of them sick: {led} led to the site and the cure, {named} of them to the \
         function and the line that allocate, {wrong} findings are wrong.",
        results.len()
    ));
    rows.join("\n")
}
