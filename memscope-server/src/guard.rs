//! Which requests are answered at all, and what every answer carries.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderValue, Method, StatusCode, Uri,
    header::{self, HeaderName},
    uri::Authority,
};
use subtle::ConstantTimeEq;

const MOST_URL_BYTES: usize = 2_048;

/// Which requests a router answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guard {
    /// The token that each request must bring, if there is one.
    pub(crate) token: Option<String>,
    /// Whether the host name in the request must be that of this host. It must for a server, but
    /// not for mounted routes.
    pub(crate) checks_host: bool,
}

/// The headers of each answer. With them a page of another site cannot read the answer, even if its
/// host name leads to this host.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// The policy of an answer that is not a page.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

/// Answers a request, or refuses it with a reason.
pub(crate) async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let mut response = match guard.check(&request) {
        Ok(()) => next.run(request).await,
        Err(refused) => refused.into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(NOTHING));
    response
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    Method,
    Url,
    Host,
    Foreign,
    Token,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, why) = match self {
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD are answered.\n"),
            Self::Url => (StatusCode::URI_TOO_LONG, "The address is too long.\n"),
            Self::Host => (
                StatusCode::FORBIDDEN,
                "This name is not known here. Use an IP address or `localhost`, or a token.\n",
            ),
            Self::Foreign => (StatusCode::FORBIDDEN, "Other sites may not ask here.\n"),
            Self::Token => (
                StatusCode::UNAUTHORIZED,
                "A token is needed: `Authorization: Bearer …`, or `?token=…`.\n",
            ),
        };
        let mut response = (status, why).into_response();
        let (name, value) = match self {
            Self::Method => (header::ALLOW, "GET, HEAD"),
            Self::Token => (header::WWW_AUTHENTICATE, "Bearer"),
            _ => return response,
        };
        response.headers_mut().insert(name, HeaderValue::from_static(value));
        response
    }
}

impl Guard {
    fn check(&self, request: &Request) -> Result<(), Refused> {
        let (uri, headers) = (request.uri(), request.headers());
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err(Refused::Method);
        }
        let length = uri.path_and_query().map_or(0, |it| it.as_str().len());
        if length > MOST_URL_BYTES {
            return Err(Refused::Url);
        }
        let brings_token = self.token.as_ref().map(|token| brings(token, uri, headers));
        // A page that was tricked onto this host does not know the token.
        if self.checks_host && brings_token != Some(true) && !is_own_host(uri, headers) {
            return Err(Refused::Host);
        }
        if is_foreign(uri, headers) {
            return Err(Refused::Foreign);
        }
        // Probes have no token, and learn nothing but that the server answers.
        if brings_token == Some(false) && uri.path() != "/health" {
            return Err(Refused::Token);
        }
        Ok(())
    }
}

/// The paths for which the process stands still.
const PICTURES: [&str; 3] = ["/holders.json", "/tasks.json", "/tasks.txt"];

/// Whether the browser says that another site asks. Such a site may link to a page, but not to a
/// picture of the process, for which the process stands still.
fn is_foreign(uri: &Uri, headers: &HeaderMap) -> bool {
    let says = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
    let is_other = matches!(says("sec-fetch-site"), Some(b"cross-site" | b"same-site"));
    let shows_page = says("sec-fetch-mode") == Some(b"navigate") && !PICTURES.contains(&uri.path());
    is_other && !shows_page
}

/// Whether the request names this host by an IP address or as `localhost`. No other site has such a
/// name.
fn is_own_host(uri: &Uri, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let host = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
    let is_own = |authority: &Authority| {
        let name = authority.host();
        let is_bare = !authority.as_str().contains('@');
        is_bare && (is_address(name) || is_local(name))
    };
    host.as_ref().is_some_and(is_own) && uri.authority().is_none_or(is_own)
}

fn is_address(name: &str) -> bool {
    let inner = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let v6 = inner.is_some_and(|name| name.parse::<Ipv6Addr>().is_ok());
    v6 || name.parse::<Ipv4Addr>().is_ok()
}

fn is_local(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
}

/// Whether the request brings this token, in a header or in its address.
fn brings(token: &str, uri: &Uri, headers: &HeaderMap) -> bool {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
    });
    let query = || parameter(uri, "token");
    bearer.or_else(query).is_some_and(|brought| is_same(&brought, token))
}

/// Compares two tokens in a time that depends on the lengths alone.
fn is_same(brought: &str, token: &str) -> bool {
    brought.as_bytes().ct_eq(token.as_bytes()).into()
}

/// The value of a parameter in the query.
pub(crate) fn parameter(uri: &Uri, name: &str) -> Option<String> {
    let pairs = form_urlencoded::parse(uri.query()?.as_bytes());
    pairs.into_iter().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// Whether other hosts cannot reach this address.
pub(crate) fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}
