//! What scrapers see, from scrape to scrape. `ci/export.sh` checks it with promtool if it is
//! installed.

use std::{
    collections::HashMap,
    io::Write,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use memscope_runtime::async_memory::track;
use memscope_server::serve;

use crate::support::get;

/// The counters of a scrape, by their series.
fn counters(text: &str) -> HashMap<String, u64> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit_once(' '))
        .filter(|(series, _)| series.split('{').next().is_some_and(|it| it.ends_with("_total")))
        .map(|(series, figure)| (series.to_owned(), figure.parse().expect("a figure")))
        .collect()
}

#[test]
fn no_counter_falls_while_tasks_come_and_go() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let work = runtime.spawn(async {
        loop {
            for name in ["a", "b", "c"] {
                let task = track(async { drop(vec![1_u8; 1_000]) }).named(name);
                let _ended = tokio::spawn(task).await;
                let _ended = tokio::spawn(async { drop(vec![1_u8; 1_000]) }).await;
            }
        }
    });
    let server = serve("127.0.0.1:0").expect("a server");
    let mut before = HashMap::new();
    for _ in 0..4 {
        let now = counters(get(server.local_address(), "/metrics").text());
        for (series, figure) in &before {
            assert!(now.get(series).is_none_or(|now| now >= figure), "{series} fell from {figure}");
        }
        assert_ne!(now, before, "each second has its own");
        before = now;
        thread::sleep(Duration::from_secs(1));
    }
    assert!(before.keys().any(|series| series.contains("site=\"a\"")), "{before:?}");
    work.abort();
    server.shutdown();
}

#[test]
#[ignore = "needs promtool"]
fn promtool_finds_nothing_wrong_with_what_is_served() {
    let server = serve("127.0.0.1:0").expect("a server");
    let answer = get(server.local_address(), "/metrics");
    // promtool reads the older text format, in which a counter has `_total` in its name.
    let mut metrics = answer.text().to_owned();
    for line in answer.text().lines() {
        if let ["#", "TYPE", name, "counter"] = line.split(' ').collect::<Vec<_>>()[..] {
            for word in ["TYPE", "HELP"] {
                let from = format!("# {word} {name} ");
                metrics = metrics.replace(&from, &format!("# {word} {name}_total "));
            }
        }
    }
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = promtool.spawn().expect("promtool");
    promtool.stdin.take().expect("a pipe").write_all(metrics.as_bytes()).expect("it reads");
    let output = promtool.wait_with_output().expect("its end");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    server.shutdown();
}
