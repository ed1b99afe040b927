//! What answers a request that no route does, or that no route may see.

use flagstone_layers::kernel::{Matched, Problem, Request, Response};
use http::{
    HeaderMap, HeaderValue, Method, StatusCode, Uri, Version,
    header::{ALLOW, HOST},
};

/// The longest target of a request, path and query, in bytes.
const TARGET_BYTES: usize = 8 * 1024;

/// The methods that routes may have.
const METHODS: &str = "GET, HEAD, POST, PUT, DELETE, OPTIONS";

/// Why a request reaches no route, whatever its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misdirected {
    /// Its target is longer than is read.
    TooLong,
    /// `TRACE` and `CONNECT` are for proxies; what they would do here helps only attackers.
    Method,
    /// It is not said once, and in one way, which host is meant. Proxies and caches in front may take it for another one.
    Host(&'static str),
}

impl Misdirected {
    /// Looks at a request's first line and its host. A server routes what is misdirected to the fallback.
    pub fn check(method: &Method, uri: &Uri, version: Version, headers: &HeaderMap) -> Option<Self> {
        if uri.path_and_query().is_some_and(|target| target.as_str().len() > TARGET_BYTES) {
            return Some(Self::TooLong);
        }
        if matches!(*method, Method::TRACE | Method::CONNECT) {
            return Some(Self::Method);
        }
        let mut hosts = headers.get_all(HOST).iter();
        let host = hosts.next();
        if hosts.next().is_some() {
            return Some(Self::Host("There is more than one Host header."));
        }
        match (host, uri.authority()) {
            (Some(host), Some(authority))
                if !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()) =>
            {
                Some(Self::Host("The Host header names another host than the target."))
            }
            (Some(host), _) if !is_host(host.as_bytes()) => Some(Self::Host("The Host header is no host.")),
            (None, None) if version == Version::HTTP_11 => Some(Self::Host("There is no Host header.")),
            _ => None,
        }
    }
}

/// Whether it can be a name or an address with or without a port. An empty one is allowed (RFC 9110 §7.2).
fn is_host(host: &[u8]) -> bool {
    host.len() <= 261 && host.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:[]%".contains(byte))
}

/// 404 for an unknown path, 405 with `Allow` for a known one, 414 and 400 for what is [`Misdirected`].
pub(crate) fn answer(request: &Request) -> Response {
    let (exchange, head) = (request.exchange(), request.head());
    let problem = match Misdirected::check(head.method(), head.uri(), head.version(), head.headers()) {
        Some(Misdirected::TooLong) => Problem::new(
            StatusCode::URI_TOO_LONG,
            "URI_TOO_LONG",
            format!("A request's target is at most {TARGET_BYTES} bytes."),
        ),
        Some(Misdirected::Method) => not_allowed(METHODS),
        Some(Misdirected::Host(detail)) => Problem::new(StatusCode::BAD_REQUEST, "BAD_HOST", detail),
        None => match exchange.matched() {
            Matched::MethodNotAllowed { allow } => not_allowed(allow),
            _ => Problem::new(StatusCode::NOT_FOUND, "NOT_FOUND", "There is no such path."),
        },
    };
    problem.into_response(exchange)
}

fn not_allowed(allow: &str) -> Problem {
    let detail = format!("This path takes {allow}.");
    let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", detail);
    match HeaderValue::from_str(allow) {
        Ok(allow) => problem.header(ALLOW, allow),
        Err(_) => problem,
    }
}

/// What a route answers in a process that serves nothing.
pub(crate) fn no_server(request: &Request) -> Response {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", "This process serves nothing.")
        .into_response(request.exchange())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &Method, uri: &str, version: Version, hosts: &[&str]) -> Option<Misdirected> {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, HeaderValue::from_str(host).unwrap());
        }
        Misdirected::check(method, &uri.parse().unwrap(), version, &headers)
    }

    #[test]
    fn a_host_is_said_once_and_in_one_way() {
        let get = |uri, version, hosts: &[&str]| check(&Method::GET, uri, version, hosts);
        assert_eq!(get("/", Version::HTTP_11, &["a.test:80"]), None);
        assert_eq!(get("/", Version::HTTP_11, &["[::1]:8080"]), None);
        assert_eq!(get("http://a.test/", Version::HTTP_11, &["A.test"]), None);
        assert_eq!(get("https://a.test/", Version::HTTP_2, &[]), None);
        assert_eq!(get("/", Version::HTTP_10, &[]), None);
        for (uri, version, hosts) in [
            ("/", Version::HTTP_11, [].as_slice()),
            ("/", Version::HTTP_11, &["a", "a"]),
            ("/", Version::HTTP_10, &["a", "b"]),
            ("http://a.test/", Version::HTTP_11, &["b.test"]),
            ("https://a.test/", Version::HTTP_2, &["b.test"]),
            ("/", Version::HTTP_11, &["a/b"]),
            ("/", Version::HTTP_11, &["user@a"]),
            ("/", Version::HTTP_11, &["a, b"]),
        ] {
            assert!(matches!(get(uri, version, hosts), Some(Misdirected::Host(_))), "{uri} {hosts:?}");
        }
    }

    #[test]
    fn methods_for_proxies_and_endless_targets_reach_no_route() {
        assert_eq!(check(&Method::TRACE, "/", Version::HTTP_11, &["a"]), Some(Misdirected::Method));
        assert_eq!(check(&Method::CONNECT, "a:443", Version::HTTP_11, &["a:443"]), Some(Misdirected::Method));
        let long = format!("/{}", "a".repeat(TARGET_BYTES));
        assert_eq!(check(&Method::GET, &long, Version::HTTP_11, &["a"]), Some(Misdirected::TooLong));
    }
}
