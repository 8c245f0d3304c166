//! Where a report comes from: a file, or a service that runs.

use std::{fmt::Display, path::Path, time::Duration};

use memscope_runtime::{
    __terminal::{MOST_BYTES, read, said, visible_path},
    async_memory::MemorySnapshot,
};

use crate::error::Error;

/// How long a service may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most bytes of a service's error that are printed.
const MOST_WHY: usize = 300;

/// Reads the text of a report from a file or an address, and the report.
///
/// # Errors
///
/// If there is none, or it is none.
pub(super) fn snapshot(source: &str) -> Result<(String, MemorySnapshot), Error> {
    let text = match source.split_once("://") {
        Some(("http", rest)) => fetch(source, rest)?,
        Some((scheme, _)) if scheme.bytes().all(|it| it.is_ascii_alphanumeric()) => {
            return Err(Error::new(format!(
                "{} is no address that is understood: services of memscope answer at `http://`",
                visible_path(Path::new(source))
            )));
        }
        _ => file(Path::new(source))?,
    };
    let snapshot = MemorySnapshot::from_json(&text)
        .map_err(|error| Error::new(format!("{}: {error}", visible_path(Path::new(source)))))?;
    Ok((text, snapshot))
}

fn file(path: &Path) -> Result<String, Error> {
    let name = visible_path(path);
    let cannot = |why: &dyn Display| Error::new(format!("cannot read {name}: {why}"));
    let bytes = read(path, MOST_BYTES, Some(b'{')).map_err(|error| cannot(&error))?;
    String::from_utf8(bytes).map_err(|error| cannot(&error))
}

/// Asks a service for its snapshot. An address without a path is that of the service itself.
fn fetch(address: &str, rest: &str) -> Result<String, Error> {
    let has_path = rest.split_once('/').is_some_and(|(_, path)| !path.is_empty());
    let address = if has_path {
        address.to_owned()
    } else {
        format!("{}/snapshot.json", address.trim_end_matches('/'))
    };
    let cannot = |why: &dyn Display| {
        let (name, why) = (visible_path(Path::new(&address)), said(&why, MOST_WHY));
        Error::new(format!("cannot read {name}: {why}"))
    };
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .proxy(None)
        .max_redirects(0)
        .build()
        .into();
    let mut answer = agent.get(&address).call().map_err(|error| match error {
        ureq::Error::StatusCode(401) => {
            cannot(&"it asks for a token: append `/snapshot.json?token=…` to the address")
        }
        error => cannot(&error),
    })?;
    let body = answer.body_mut().with_config().limit(MOST_BYTES);
    body.read_to_string().map_err(|error| cannot(&error))
}
