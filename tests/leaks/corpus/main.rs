//! Small services, healthy and sick, each in a process of its own. What memscope finds in them is
//! compared with what is wrong with them.
//!
//! `cargo test -p memscope-tests --test corpus` prints the table. With `MEMSCOPE_SERVICE` set to a
//! part of a name it runs that service in this process and prints its findings.
#![expect(
    clippy::print_stdout,
    reason = "it prints a table, and services hand their findings over"
)]

use std::{
    env,
    process::{Command, ExitCode},
};

use memscope_rs::{
    TrackingAllocator,
    analysis::{Leak, Leaks},
};
use memscope_tests::workers;

mod doubling;
mod healthy;
mod service;
mod sick;

use service::{Service, Sickness};

#[global_allocator]
static ALLOCATOR: TrackingAllocator = TrackingAllocator::new(std::alloc::System);

/// Names the service that this process is to be.
const NAME: &str = "MEMSCOPE_SERVICE";
/// Makes a service print its findings for people.
const SHOW: &str = "MEMSCOPE_SHOW";
/// How many services run at one time: they wait most of it.
const AT_ONCE: usize = 4;

fn main() -> ExitCode {
    let services =
        || sick::SICK.iter().chain(doubling::SICK).chain(healthy::HEALTHY).chain(doubling::HEALTHY);
    if let Ok(name) = env::var(NAME) {
        let service = services().find(|service| service.name.contains(&name));
        be(service.expect("no service has this in its name"));
        return ExitCode::SUCCESS;
    }
    if env::args().any(|argument| argument == "--list") {
        println!("corpus: test");
        return ExitCode::SUCCESS;
    }
    let services: Vec<&Service> = services().collect();
    let results: Vec<Result<'_>> = workers::each(&services, AT_ONCE, |service| Result::of(service));
    results.iter().for_each(Result::print);
    let sum = |count: fn(&Result<'_>) -> usize| results.iter().map(count).sum::<usize>();
    let (right, wrong) = (sum(|result| result.right), sum(|result| result.wrong.len()));
    let sick = sum(|result| usize::from(result.service.sickness.is_some()));
    let found = sum(|result| usize::from(result.right != 0));
    println!(
        "{} services, {sick} of them sick: precision {:.3} ({right} of {} findings), recall {:.3} \
         ({found} of {sick})",
        results.len(),
        share(right, right + wrong),
        right + wrong,
        share(found, sick),
    );
    if wrong == 0 && found == sick { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[expect(clippy::cast_precision_loss, reason = "small")]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

fn be(service: &Service) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a runtime");
    let leaks = runtime.block_on((service.run)());
    if env::var(SHOW).is_ok() {
        println!("{leaks}");
    } else {
        println!("{}", serde_json::to_string(&leaks).expect("JSON"));
    }
    runtime.shutdown_background();
}

struct Result<'s> {
    service: &'s Service,
    right: usize,
    wrong: Vec<Leak>,
}

impl<'s> Result<'s> {
    /// Runs the service in a process of its own.
    fn of(service: &'s Service) -> Self {
        let program = env::current_exe().expect("a path");
        let output = Command::new(program)
            .env(NAME, service.name)
            .env_remove(SHOW)
            .output()
            .expect("it starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {errors}", service.name);
        let leaks: Leaks = serde_json::from_slice(&output.stdout).expect("findings");
        let (right, wrong): (Vec<_>, Vec<_>) = leaks
            .into_iter()
            .partition(|leak| service.sickness.as_ref().is_some_and(|it| it.is(leak)));
        // To say the same thing twice is to say it wrongly once.
        let (first, again) = match right.len() {
            0 => (0, Vec::new()),
            _ => (1, right.into_iter().skip(1).collect()),
        };
        Self { service, right: first, wrong: wrong.into_iter().chain(again).collect() }
    }

    fn print(&self) {
        let is_sick = self.service.sickness.is_some();
        let is_right = self.wrong.is_empty() && is_sick == (self.right != 0);
        println!(
            "{:52} {:7} findings: {}  {}",
            self.service.name,
            if is_sick { "sick" } else { "healthy" },
            self.right + self.wrong.len(),
            if is_right { "as it should be" } else { "WRONG" },
        );
        for leak in &self.wrong {
            println!("        {}", leak.to_string().replace('\n', "\n        "));
        }
    }
}

impl Sickness {
    fn is(&self, leak: &Leak) -> bool {
        leak.kind == self.kind
            && leak.place.name == self.site
            && self.variables.iter().all(|name| leak.variables.iter().any(|found| found == name))
    }
}
