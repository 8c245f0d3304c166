//! Reads what a running program serves over HTTP, or what was saved of it.

use std::{env, fmt::Display, path::Path, time::Duration};

use memscope_runtime::__terminal::{self, said, visible, visible_path};
use ureq::Agent;

use crate::error::Error;

/// The largest answer that is read.
const MOST_BYTES: u64 = 1 << 30;
/// The longest time that an answer may take: a picture of a large process takes seconds.
const MOST_TIME: Duration = Duration::from_secs(90);
/// The most bytes of an error that are printed.
const MOST_WHY: usize = 300;

/// What a program serves at a path, or has saved as JSON.
pub(crate) fn bytes(from: &Path, path: &str) -> Result<Vec<u8>, Error> {
    if let Some(url) = url(from, path) {
        return get(&url);
    }
    let cannot =
        |why: &dyn Display| Error::new(format!("cannot read {}: {why}", visible_path(from)));
    __terminal::read(from, __terminal::MOST_BYTES, Some(b'{')).map_err(|error| cannot(&error))
}

/// The address of a path, if this is one of a program that serves: `http://127.0.0.1:6071`, or the
/// path itself.
fn url(from: &Path, path: &str) -> Option<String> {
    let url = from.to_str().filter(|it| it.starts_with("http://"))?;
    let is_whole =
        url.strip_prefix("http://").is_some_and(|it| it.trim_end_matches('/').contains('/'));
    let base = url.trim_end_matches('/');
    Some(if is_whole && base.ends_with(path) { base.to_owned() } else { format!("{base}/{path}") })
}

/// What the program answers.
fn get(url: &str) -> Result<Vec<u8>, Error> {
    let cannot = |why: &str| Error::new(format!("{} does not answer: {why}", visible(url)));
    let config = Agent::config_builder().http_status_as_error(false).proxy(None);
    let agent = Agent::from(config.timeout_global(Some(MOST_TIME)).build());
    let mut request = agent.get(url);
    if let Ok(token) = env::var("MEMSCOPE_SERVE_TOKEN") {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    let mut answer = request.call().map_err(|error| cannot(&said(&error, MOST_WHY)))?;
    let status = answer.status();
    let body = answer.body_mut().with_config().limit(MOST_BYTES).read_to_vec();
    let body = body.map_err(|error| cannot(&said(&error, MOST_WHY)))?;
    if status.is_success() {
        return Ok(body);
    }
    let why = String::from_utf8_lossy(&body);
    Err(Error::new(format!("{} answers {status}: {}", visible(url), said(&why.trim(), MOST_WHY))))
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
        assert_eq!(of("tasks.json"), None);
    }
}
