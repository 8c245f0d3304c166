//! A Prometheus server of its own: a free port, a folder that it alone uses, and its HTTP API.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{self, Child, Command, Output, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use form_urlencoded::Serializer;
use serde_json::Value;

use crate::support::{LONG, get};

/// The server. When this is dropped, the server ends and its folder is removed.
#[derive(Debug)]
pub(crate) struct Prometheus {
    process: Child,
    address: SocketAddr,
    folder: PathBuf,
    log: Arc<Mutex<Vec<String>>>,
}

impl Prometheus {
    /// Starts a server that scrapes this address each second as the job `shop`, with these rules.
    /// `past` is `OpenMetrics` text with times: earlier scrapes, if there are any.
    pub(crate) fn start(target: SocketAddr, rules: &Path, past: Option<&str>) -> Self {
        let parent = option_env!("CARGO_TARGET_TMPDIR").map_or_else(env::temp_dir, PathBuf::from);
        let folder = parent.join(format!("prometheus-{}-{}", process::id(), target.port()));
        fs::create_dir_all(&folder).expect("a folder");
        let file = |name: &str| folder.join(name).to_str().expect("UTF-8").to_owned();
        let config = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}\n\
             rule_files: ['{}']\n\
             scrape_configs:\n- job_name: shop\n  static_configs: [{{ targets: ['{target}'] }}]\n",
            rules.display(),
        );
        fs::write(file("prometheus.yml"), config).expect("a file");
        let data = file("data");
        if let Some(past) = past {
            fs::write(file("past.txt"), past).expect("a file");
            let arguments = ["tsdb", "create-blocks-from", "openmetrics", &file("past.txt"), &data];
            let output = Command::new("promtool").args(arguments).output().expect("promtool");
            assert!(output.status.success(), "{}", text(&output));
        }

        let mut process = Command::new("prometheus")
            .arg(format!("--config.file={}", file("prometheus.yml")))
            .arg(format!("--storage.tsdb.path={data}"))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("prometheus");
        let lines = BufReader::new(process.stderr.take().expect("a pipe")).lines();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (found, finds) = mpsc::channel();
        let kept = Arc::clone(&log);
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let address = line.split_once("msg=\"Listening on\" address=");
                if let Some((_, address)) = address {
                    // An error means that the test has ended.
                    let _ = found.send(address.trim().parse::<SocketAddr>());
                }
                kept.lock().expect("no panic").push(line);
            }
        });
        // The value is dropped, and so the process ended, if the server does not start.
        let mut started = Self { process, address: target, folder, log };
        let address = finds.recv_timeout(LONG);
        let address = address.unwrap_or_else(|_| panic!("it does not start: {:#?}", started.log()));
        started.address = address.expect("an address");
        let start = Instant::now();
        while get(started.address, "/-/ready").status != 200 {
            assert!(start.elapsed() < LONG, "it is not ready: {:#?}", started.log());
            thread::sleep(Duration::from_millis(50));
        }
        started
    }

    /// The lines that the server has written to stderr.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().expect("no panic").clone()
    }

    /// The data of an answer of its API.
    pub(crate) fn api(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let query = Serializer::new(String::new()).extend_pairs(parameters).finish();
        let answer = get(self.address, &format!("/api/v1/{path}?{query}"));
        let answer: Value = serde_json::from_str(answer.text()).expect("JSON");
        assert_eq!(answer["status"], "success", "{parameters:?}: {answer}");
        answer["data"].clone()
    }

    /// The result of a query, at this second of Unix time or now.
    pub(crate) fn query(&self, expression: &str, at: Option<u64>) -> Vec<Value> {
        let at = at.map(|it| it.to_string());
        let mut parameters = vec![("query", expression)];
        parameters.extend(at.as_ref().map(|it| ("time", &**it)));
        self.api("query", &parameters)["result"].as_array().cloned().expect("a result")
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // An error means that the server has ended, or that the folder is gone.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn text(output: &Output) -> String {
    let (out, error) = (&output.stdout, &output.stderr);
    String::from_utf8_lossy(out).into_owned() + &String::from_utf8_lossy(error)
}
