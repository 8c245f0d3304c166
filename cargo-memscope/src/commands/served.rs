//! Reads and prints what a running program serves over HTTP, or a saved file of it.

use std::{
    env,
    fmt::Display,
    io::{Read, Write},
    path::Path,
    time::Duration,
};

use memscope_runtime::{
    __terminal::{self, said, visible, visible_path},
    async_memory::MemorySnapshot,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use ureq::{
    Agent, Body,
    config::ConfigBuilder,
    http::{Response, StatusCode},
    typestate::AgentScope,
};

use crate::{error::Error, output::naming};

/// The largest answer that is read.
const MOST_BYTES: u64 = 1 << 30;
/// The longest time that an answer may take. A picture of a large process takes seconds.
const MOST_TIME: Duration = Duration::from_secs(90);
/// The most bytes of an error that are printed.
const MOST_WHY: usize = 300;
/// The most characters of a version.
const MOST_VERSION: usize = 40;

/// Reads the report that a program serves or has saved. Returns its text and the snapshot in it.
pub(crate) fn snapshot(from: &Path) -> Result<(String, MemorySnapshot), Error> {
    let is_none = |why: &dyn Display| Error::new(format!("{}: {why}", visible_path(from)));
    let text = String::from_utf8(bytes(from, "snapshot.json")?).map_err(|error| is_none(&error))?;
    let snapshot = read(&text).map_err(|error| is_none(&error))?;
    Ok((text, snapshot))
}

/// Reads a report. If another version wrote it, an error says so, as that may be the cause.
pub(crate) fn read(text: &str) -> Result<MemorySnapshot, Error> {
    #[derive(Deserialize)]
    struct Writer {
        memscope_format: u64,
        memscope_version: String,
    }
    const OWN: &str = env!("CARGO_PKG_VERSION");
    MemorySnapshot::from_json(text).map_err(|error| {
        let writer = serde_json::from_str(text).ok();
        match writer.filter(|it: &Writer| it.memscope_format == 1 && it.memscope_version != OWN) {
            Some(Writer { memscope_version: version, .. }) => Error::new(format!(
                "{error}; memscope {} wrote it, and this is memscope {OWN}",
                __terminal::cell(&version, MOST_VERSION)
            )),
            None => Error::new(error.to_string()),
        }
    })
}

/// Reads the first bytes of a saved file, as text. Returns `None` for an address, and for a pipe,
/// which can be read only once.
pub(crate) fn beginning(from: &Path) -> Option<String> {
    const MOST: u64 = 4 << 10;
    std::fs::metadata(from).ok().filter(std::fs::Metadata::is_file)?;
    let mut start = Vec::new();
    std::fs::File::open(from).ok()?.take(MOST).read_to_end(&mut start).ok()?;
    Some(String::from_utf8_lossy(&start).into_owned())
}

/// Reads the value that a program serves at a path or has saved. `made` names the function that
/// made the value.
pub(crate) fn value<T: DeserializeOwned>(from: &Path, path: &str, made: &str) -> Result<T, Error> {
    serde_json::from_slice(&bytes(from, path)?).map_err(|error| {
        let (from, why) = (visible_path(from), said(&error, MOST_WHY));
        Error::new(format!("{from} is no {made} has made: {why}"))
    })
}

/// Prints a value as JSON, or as text with all rows or the first ones.
pub(crate) fn print(
    value: &(impl Serialize + Display),
    json: bool,
    full: bool,
) -> Result<(), Error> {
    let mut out = anstream::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, value).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else if full {
        write!(out, "{value:#}")?;
    } else {
        write!(out, "{}", naming("--full", value))?;
    }
    out.flush()?;
    Ok(())
}

/// Reads the bytes that a program serves at a path or has saved as JSON.
fn bytes(from: &Path, path: &str) -> Result<Vec<u8>, Error> {
    if let Some(url) = url(from, path) {
        return get(&url);
    }
    let scheme = from.to_str().and_then(|it| it.split_once("://")).map(|(scheme, _)| scheme);
    if scheme.is_some_and(|it| it.bytes().all(|byte| byte.is_ascii_alphanumeric())) {
        return Err(no_address(from));
    }
    let cannot =
        |why: &dyn Display| Error::new(format!("cannot read {}: {why}", visible_path(from)));
    __terminal::read(from, __terminal::MOST_BYTES, Some(b'{')).map_err(|error| cannot(&error))
}

/// Returns the address of a path at a server, or `None` for a file. `from` is the server's address,
/// such as `http://127.0.0.1:6071`, or that of the path itself, and may have a token.
fn url(from: &Path, path: &str) -> Option<String> {
    let url = from.to_str().filter(|it| it.starts_with("http://"))?;
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let base = base.trim_end_matches('/');
    let is_whole = base.strip_suffix(path).is_some_and(|it| it.ends_with('/') && it != "http://");
    let query = if query.is_empty() { String::new() } else { format!("?{query}") };
    Some(if is_whole { format!("{base}{query}") } else { format!("{base}/{path}{query}") })
}

/// Asks a program for a path, and returns the answer before its body is read. The answer must come
/// within `begin`, and its body within `whole`. Returns `None` if the program has no place for
/// another client now.
pub(crate) fn open(
    from: &Path,
    path: &str,
    begin: Duration,
    whole: Duration,
) -> Result<Option<Body>, Error> {
    let url = url(from, path).ok_or_else(|| no_address(from))?;
    let config = config().timeout_connect(Some(begin)).timeout_recv_response(Some(begin));
    let mut answer = call(&url, &config.timeout_recv_body(Some(whole)).build().into())?;
    match answer.status() {
        status if status.is_success() => Ok(Some(answer.into_body())),
        status if status.as_u16() == 503 => Ok(None),
        _ => {
            let mut why = Vec::new();
            // If the body cannot be read, the error is without it.
            let _ = answer.body_mut().as_reader().take(MOST_WHY as u64).read_to_end(&mut why);
            Err(refusal(&url, answer.status(), &why))
        }
    }
}

/// Returns the answer of the program.
fn get(url: &str) -> Result<Vec<u8>, Error> {
    let agent = config().timeout_global(Some(MOST_TIME)).build().into();
    let mut answer = call(url, &agent)?;
    let body = answer.body_mut().with_config().limit(MOST_BYTES).read_to_vec();
    let body = body.map_err(|error| no_answer(url, &error))?;
    if answer.status().is_success() { Ok(body) } else { Err(refusal(url, answer.status(), &body)) }
}

fn config() -> ConfigBuilder<AgentScope> {
    Agent::config_builder().http_status_as_error(false).proxy(None).max_redirects(0)
}

fn call(url: &str, agent: &Agent) -> Result<Response<Body>, Error> {
    let mut request = agent.get(url);
    if let Ok(token) = env::var("MEMSCOPE_SERVE_TOKEN") {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    request.call().map_err(|error| no_answer(url, &error))
}

fn no_answer(url: &str, why: &dyn Display) -> Error {
    Error::new(format!("{} does not answer: {}", visible(url), said(&why, MOST_WHY)))
}

fn refusal(url: &str, status: StatusCode, body: &[u8]) -> Error {
    if status.as_u16() == 401 {
        let why = "asks for a token: set `MEMSCOPE_SERVE_TOKEN`";
        return Error::new(format!("{} {why}", visible(url)));
    }
    let why = String::from_utf8_lossy(body);
    Error::new(format!("{} answers {status}: {}", visible(url), said(&why.trim(), MOST_WHY)))
}

fn no_address(from: &Path) -> Error {
    Error::new(format!(
        "{} is no address that is understood: programs serve at `http://`",
        visible_path(from)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_that_of_the_program_or_of_the_path() {
        let of = |from: &str| url(Path::new(from), "tasks.json");
        let whole = || Some("http://127.0.0.1:6071/tasks.json".to_owned());
        assert_eq!(of("http://127.0.0.1:6071"), whole());
        assert_eq!(of("http://127.0.0.1:6071/"), whole());
        assert_eq!(of("http://127.0.0.1:6071/tasks.json"), whole());
        let below = Some("http://127.0.0.1:80/memscope/tasks.json".to_owned());
        assert_eq!(of("http://127.0.0.1:80/memscope/"), below);
        let with_token = "http://127.0.0.1:6071/tasks.json?token=secret";
        assert_eq!(of(with_token).as_deref(), Some(with_token));
        assert_eq!(of("http://127.0.0.1:6071/?token=secret").as_deref(), Some(with_token));
        assert_eq!(of("tasks.json"), None);
    }
}
