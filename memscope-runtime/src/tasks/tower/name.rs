//! The name of a request: its route, never its raw path.

use std::borrow::Cow;

use http::{Method, request::Parts};

/// The default name of a request.
pub(super) fn of(parts: &Parts) -> Cow<'_, str> {
    #[cfg(feature = "tonic")]
    if let Some(name) = grpc::name_of(parts) {
        return name.into();
    }
    // PERF: one allocation, and nothing is formatted.
    [word(&parts.method), " ", route(parts).unwrap_or("(no route)")].concat().into()
}

/// The template of the route, if a router has noted it in the request.
#[cfg(feature = "axum")]
fn route(parts: &Parts) -> Option<&str> {
    parts.extensions.get::<axum::extract::MatchedPath>().map(axum::extract::MatchedPath::as_str)
}

#[cfg(not(feature = "axum"))]
fn route(_: &Parts) -> Option<&str> {
    None
}

/// A method's word. Clients may invent methods; these share one.
fn word(method: &Method) -> &str {
    match *method {
        Method::GET
        | Method::POST
        | Method::PUT
        | Method::DELETE
        | Method::HEAD
        | Method::OPTIONS
        | Method::CONNECT
        | Method::PATCH
        | Method::TRACE => method.as_str(),
        _ => "OTHER",
    }
}

/// gRPC: the path is the name of the service and the method.
#[cfg(feature = "tonic")]
mod grpc {
    use std::sync::OnceLock;

    use http::{Method, header::CONTENT_TYPE, request::Parts};

    use crate::primitives::Hash;

    /// The most paths that are names.
    const NAMES: usize = 256;

    /// The paths that are names: a hash table with open addressing, from which nothing is removed.
    static KNOWN: [OnceLock<Box<str>>; NAMES] = [const { OnceLock::new() }; NAMES];

    /// The name of a gRPC request. `None` for any other request, and for a path of another form.
    pub(super) fn name_of(parts: &Parts) -> Option<&str> {
        let content_type = parts.headers.get(CONTENT_TYPE)?.as_bytes();
        if parts.method != Method::POST || !content_type.starts_with(b"application/grpc") {
            return None;
        }
        let path = parts.uri.path();
        is_method(path).then(|| if is_known(path, &KNOWN) { path } else { "(other gRPC)" })
    }

    /// Whether a path has the form `/package.Service/Method`.
    fn is_method(path: &str) -> bool {
        let is_name = |it: &str, other: &[char]| {
            !it.is_empty() && it.chars().all(|it| it.is_ascii_alphanumeric() || other.contains(&it))
        };
        path.strip_prefix('/').and_then(|it| it.split_once('/')).is_some_and(|(service, method)| {
            is_name(service, &['.', '_']) && is_name(method, &['_'])
        })
    }

    /// Whether the path is in the table. Adds it if there is room.
    fn is_known(path: &str, table: &[OnceLock<Box<str>>]) -> bool {
        let start = usize::try_from(Hash::new().text(path).get() >> 32).unwrap_or(0);
        (0..table.len()).any(|step| {
            let slot = &table[(start + step) % table.len()];
            &**slot.get_or_init(|| path.into()) == path
        })
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn only_a_service_and_a_method_are_a_name() {
            for path in ["/shop.Orders/List", "/Orders/List_2", "/a.b_c.D/E"] {
                assert!(is_method(path), "{path}");
            }
            for path in ["", "/", "/a", "/a/", "//b", "/a/b/c", "/a/b.c", "a/b", "/a%20/b"] {
                assert!(!is_method(path), "{path}");
            }
        }

        #[test]
        fn a_full_table_knows_the_first_paths_and_no_others() {
            let table = [const { OnceLock::new() }; 4];
            let known = |path: &str| is_known(path, &table);
            let paths = ["/a/a", "/b/b", "/c/c", "/d/d"];
            assert!(paths.iter().all(|path| known(path)));
            assert!(!known("/e/e") && !known("/f/f"));
            assert!(paths.iter().all(|path| known(path)), "they stay");
        }
    }
}
