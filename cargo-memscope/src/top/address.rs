//! The argument of `top`: the address of a program that serves, or a file.

use std::path::{Path, PathBuf};

use memscope_runtime::__terminal::visible_path;

use crate::error::Error;

/// Paths of a server that are removed from an address.
const PAGES: [&str; 4] = ["/events", "/page", "/snapshot.json", "/report.html"];

/// The source of what is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// The address of a program that serves, such as `http://127.0.0.1:6071`.
    Url(String),
    File(PathBuf),
}

impl Address {
    /// Parses an argument. `127.0.0.1:6071` is an address, unless a file has that name.
    ///
    /// # Errors
    ///
    /// Returns an error for an address that has another scheme or no host.
    pub(super) fn of(from: &Path) -> Result<Self, Error> {
        let Some(text) = from.to_str() else { return Ok(Self::File(from.to_owned())) };
        let shown = visible_path(from);
        if let Some((scheme, rest)) = text.split_once("://") {
            let scheme = scheme.to_ascii_lowercase();
            if rest.is_empty() || rest.starts_with(['/', '?']) {
                return Err(Error::new(format!(
                    "{shown} names no host: write one such as http://127.0.0.1:6071"
                )));
            }
            return match &*scheme {
                "http" => Ok(Self::Url(format!("http://{}", without_page(rest)))),
                "https" => Err(Error::new(format!(
                    "{shown} is no address that is understood: programs serve at `http://`, and \
                     another host is best reached through `ssh -L 6071:127.0.0.1:6071 HOST`"
                ))),
                _ => Err(Error::new(format!(
                    "{shown} is no address that is understood: programs serve at `http://`"
                ))),
            };
        }
        if !from.exists() && is_host_and_port(text) {
            return Ok(Self::Url(format!("http://{}", without_page(text))));
        }
        Ok(Self::File(from.to_owned()))
    }
}

/// Returns an address without the path of a page. The query stays.
fn without_page(rest: &str) -> String {
    let (base, query) =
        rest.split_once('?').map_or((rest, None), |(base, query)| (base, Some(query)));
    let base = base.trim_end_matches('/');
    let base = PAGES.iter().find_map(|it| base.strip_suffix(it)).unwrap_or(base);
    query.map_or_else(|| base.to_owned(), |query| format!("{base}?{query}"))
}

fn is_host_and_port(text: &str) -> bool {
    let authority = text.split(['/', '?']).next().unwrap_or_default();
    let Some((host, port)) = authority.rsplit_once(':') else { return false };
    let is_name =
        |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | '-' | ':' | '[' | ']');
    !host.is_empty() && host.chars().all(is_name) && port.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Address, String> {
        Address::of(Path::new(text)).map_err(|it| it.to_string())
    }

    #[test]
    fn an_address_is_that_of_the_server_whatever_page_is_named() {
        let url = |text: &str| Ok(Address::Url(text.to_owned()));
        assert_eq!(of("http://127.0.0.1:6071"), url("http://127.0.0.1:6071"));
        assert_eq!(of("HTTP://127.0.0.1:6071/"), url("http://127.0.0.1:6071"));
        assert_eq!(of("http://h:1/snapshot.json"), url("http://h:1"));
        assert_eq!(of("http://h:1/memscope/page?token=t"), url("http://h:1/memscope?token=t"));
        assert_eq!(of("localhost:6071"), url("http://localhost:6071"));
        assert_eq!(of("[::1]:6071/memscope/"), url("http://[::1]:6071/memscope"));
    }

    #[test]
    fn what_is_no_address_is_a_file_or_says_what_to_write() {
        assert_eq!(of("report.json"), Ok(Address::File("report.json".into())));
        assert_eq!(of("localhost"), Ok(Address::File("localhost".into())));
        assert_eq!(of("C:\\report.json"), Ok(Address::File("C:\\report.json".into())));
        for wrong in ["https://h:1", "ftp://h", "http://", "http:///x", "http://?token=t"] {
            let error = of(wrong).unwrap_err();
            assert!(error.contains("http://"), "{wrong}: {error}");
        }
        assert!(of("https://h\u{1b}[2J").unwrap_err().contains("\\u{1b}"));
    }
}
