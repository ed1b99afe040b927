//! What a hostile client may send, byte by byte, and what may come of it: directly, and behind proxies.

/// What has to come of a case where nobody stands between.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expected {
    /// One of these statuses, and the connection is not used further than they allow.
    Status(&'static [u16]),
    /// One of these, or the connection is closed without an answer.
    StatusOrClosed(&'static [u16]),
}

/// Bytes, and what has to come of them. `HOST` stands for the server's address. `/smuggled` is what must never be asked
/// for: it stands within a body, a header or behind a request's end.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) direct: Expected,
    /// What may come of it behind a proxy besides that and the proxy's own refusals: proxies mend some requests.
    pub(crate) behind: &'static [u16],
}

use Expected::{Status, StatusOrClosed};

fn case(name: &'static str, bytes: impl Into<Vec<u8>>, direct: Expected) -> Case {
    Case { name, bytes: bytes.into(), direct, behind: &[] }
}

impl Case {
    fn behind(self, behind: &'static [u16]) -> Self {
        Self { behind, ..self }
    }
}

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: HOST\r\n\r\n";

/// A request whose head has these lines after the host.
fn head(first: &str, lines: &str) -> String {
    format!("{first} HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n{lines}\r\n")
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = framing();
    cases.extend(heads());
    cases.extend(targets());
    cases.extend(protocols());
    cases
}

/// Where a body ends: what two servers in a row must not see differently.
fn framing() -> Vec<Case> {
    let post = |lines: &str, body: &str| head("POST /api/v1/evaluate", lines) + body;
    let smuggled = SMUGGLED.len();
    vec![
        case(
            "length and chunked",
            post(
                &format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", 5 + smuggled),
                &format!("0\r\n\r\n{SMUGGLED}"),
            ),
            StatusOrClosed(&[400, 401]),
        ),
        case(
            "chunked and length",
            post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", &format!("0\r\n\r\n{SMUGGLED}")),
            StatusOrClosed(&[400, 401]),
        ),
        case(
            "two lengths that differ",
            post(&format!("Content-Length: 0\r\nContent-Length: {smuggled}\r\n"), SMUGGLED),
            Status(&[400]),
        ),
        case("two lengths in one line", post("Content-Length: 0, 5\r\n", "hello"), Status(&[400])),
        case(
            "two equal lengths",
            post("Content-Length: 2\r\nContent-Length: 2\r\n", "{}"),
            Status(&[400, 401]),
        ),
        case("a length with a sign", post("Content-Length: +2\r\n", "{}"), Status(&[400])),
        case("a length in hex", post("Content-Length: 0x2\r\n", "{}"), Status(&[400])),
        case("a negative length", post("Content-Length: -1\r\n", ""), Status(&[400])),
        case(
            "a length beyond all numbers",
            post("Content-Length: 99999999999999999999\r\n", ""),
            Status(&[400, 413]),
        ),
        case(
            "chunked not last",
            post("Transfer-Encoding: chunked, gzip\r\n", &format!("0\r\n\r\n{SMUGGLED}")),
            Status(&[400, 501]),
        ),
        case(
            "chunked twice",
            post("Transfer-Encoding: chunked, chunked\r\n", &format!("0\r\n\r\n{SMUGGLED}")),
            StatusOrClosed(&[400, 401]),
        ),
        case(
            "an unknown coding",
            post("Transfer-Encoding: xchunked\r\n", &format!("0\r\n\r\n{SMUGGLED}")),
            Status(&[400, 501]),
        ),
        case(
            "a coding after a tab",
            post("Transfer-Encoding:\tchunked\r\nContent-Length: 3\r\n", &format!("0\r\n\r\n{SMUGGLED}")),
            StatusOrClosed(&[400, 401]),
        ),
        case(
            "a coding with a vertical tab",
            post("Transfer-Encoding: \u{b}chunked\r\n", &format!("0\r\n\r\n{SMUGGLED}")),
            StatusOrClosed(&[400]),
        ),
        case(
            "chunked in HTTP/1.0",
            format!(
                "POST /api/v1/evaluate HTTP/1.0\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}"
            ),
            StatusOrClosed(&[400, 401]),
        ),
        case(
            "a chunk's size with an extension",
            post("Transfer-Encoding: chunked\r\n", "2;name=value\r\n{}\r\n0\r\n\r\n"),
            Status(&[401]),
        ),
        case(
            "an endless chunk extension",
            post(
                "Transfer-Encoding: chunked\r\n",
                &format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "x".repeat(100_000)),
            ),
            StatusOrClosed(&[400, 401]),
        )
        .behind(&[502]),
        case(
            "a chunk's size that is no number",
            post("Transfer-Encoding: chunked\r\n", "zz\r\n{}\r\n0\r\n\r\n"),
            StatusOrClosed(&[400, 401]),
        )
        .behind(&[502]),
        case(
            "a chunk's size beyond all numbers",
            post("Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
            StatusOrClosed(&[400, 401]),
        )
        .behind(&[502]),
        case(
            "a chunk longer than it says",
            post("Transfer-Encoding: chunked\r\n", &format!("1\r\n{{}}{SMUGGLED}")),
            StatusOrClosed(&[400, 401]),
        )
        .behind(&[502]),
    ]
}

/// The lines of a head.
fn heads() -> Vec<Case> {
    vec![
        case(
            "lines that end in LF alone",
            "GET /health HTTP/1.1\nHost: HOST\nConnection: close\n\n",
            StatusOrClosed(&[200, 400]),
        ),
        case("a folded line", head("GET /health", "X-Folded: a\r\n b\r\n"), Status(&[400])).behind(&[200]),
        case(
            "a line that begins with a blank",
            "GET /health HTTP/1.1\r\n Host: HOST\r\n\r\n",
            Status(&[400]),
        ),
        case("a blank before the colon", head("GET /health", "X-Blank : a\r\n"), Status(&[400])),
        case(
            "a blank before the length's colon",
            head("POST /api/v1/evaluate", &format!("Content-Length : {}\r\n", SMUGGLED.len())) + SMUGGLED,
            Status(&[400]),
        ),
        case("a line without a colon", head("GET /health", "nothing\r\n"), Status(&[400])).behind(&[200]),
        case("a line without a name", head("GET /health", ": value\r\n"), Status(&[400])).behind(&[200]),
        case("NUL in a name", head("GET /health", "X-\0: a\r\n"), Status(&[400])),
        case("NUL in a value", head("GET /health", "X-Nul: a\0b\r\n"), Status(&[400])),
        case("CR alone in a value", head("GET /health", "X-Cr: a\rX-Other: b\r\n"), Status(&[400])),
        case("no host", "GET /health HTTP/1.1\r\nConnection: close\r\n\r\n", Status(&[400])),
        case("two hosts", head("GET /health", "Host: evil.test\r\n"), Status(&[400])),
        case(
            "a host that is none",
            "GET /health HTTP/1.1\r\nHost: a/b@c\r\nConnection: close\r\n\r\n",
            Status(&[400]),
        ),
        case("another host in the target", head("GET http://evil.test/health", ""), Status(&[400]))
            .behind(&[200]),
        case(
            "100 kB of headers",
            head("GET /health", &format!("X-Long: {}\r\n", "x".repeat(100_000))),
            Status(&[431]),
        ),
        case("100 headers", head("GET /health", &"X-Many: x\r\n".repeat(100)), Status(&[431])),
        case(
            "an upgrade to h2c",
            head("GET /health", "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"),
            Status(&[200]),
        ),
        case("an upgrade to a web socket", head("GET /health", "Upgrade: websocket\r\n"), Status(&[200])),
        case(
            "an expectation that nobody knows",
            head("GET /health", "Expect: miracles\r\n"),
            Status(&[200, 417]),
        ),
    ]
}

/// The first line: methods and targets. What needs a session needs it however its path is spelt.
fn targets() -> Vec<Case> {
    let get = |name, target: &str, expected| case(name, head(&format!("GET {target}"), ""), expected);
    vec![
        case("TRACE", head("TRACE /health", ""), Status(&[405])),
        case("TRACE of nothing", head("TRACE /nothing", ""), Status(&[405])),
        case("CONNECT", "CONNECT HOST HTTP/1.1\r\nHost: HOST\r\n\r\n", Status(&[405])),
        case("an unknown method", head("BREW /health", ""), Status(&[405])),
        case(
            "a method of 10 kB",
            head(&format!("{} /health", "A".repeat(10_000)), ""),
            Status(&[400, 405, 414, 431]),
        ),
        case("a method that is none", head("G@T /health", ""), Status(&[400])),
        get("two slashes", "//api/management/projects", Status(&[404])),
        get("two slashes within", "/api//management/projects", Status(&[404])),
        get("an encoded slash", "/api%2Fmanagement/projects", Status(&[404])),
        get("an encoded letter", "/api/%6danagement/projects", Status(&[404])),
        get("dots", "/health/../api/management/projects", Status(&[404])),
        get("encoded dots", "/health/%2e%2e/api/management/projects", Status(&[404])),
        get("dots after a semicolon", "/health/..;/api/management/projects", Status(&[404])),
        get("a backslash", "/health\\..\\api\\management\\projects", Status(&[400, 404])),
        get("an encoded NUL", "/api/management/projects%00", Status(&[401, 404])),
        get("another case", "/API/Management/Projects", Status(&[404])),
        get("a slash at the end", "/api/management/projects/", Status(&[401, 404])),
        get("a target without a slash", "api/management/projects", Status(&[400, 404])),
        get("a fragment", "/api/management/projects#/health", Status(&[400, 401, 404])),
        get("bytes above ASCII", "/api/management/pr\u{f6}jects", Status(&[400, 404])),
        get("a target of 9,000 bytes", &format!("/{}", "a".repeat(9_000)), Status(&[414])),
        get("a target of 100 kB", &format!("/{}", "a".repeat(100_000)), StatusOrClosed(&[414, 431])),
        case("a blank in the target", "GET /health /smuggled HTTP/1.1\r\nHost: HOST\r\n\r\n", Status(&[400])),
        case(
            "asterisk",
            "OPTIONS * HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n",
            Status(&[204, 404, 405]),
        )
        .behind(&[200]),
    ]
}

/// Other protocols, and none.
fn protocols() -> Vec<Case> {
    vec![
        case("HTTP/0.9", "GET /health\r\n", StatusOrClosed(&[400])),
        case("HTTP/3.0", "GET /health HTTP/3.0\r\nHost: HOST\r\n\r\n", StatusOrClosed(&[400, 505]))
            .behind(&[200]),
        case("HTTP/1.2", "GET /health HTTP/1.2\r\nHost: HOST\r\n\r\n", StatusOrClosed(&[400, 505]))
            .behind(&[200]),
        case(
            "a TLS hello",
            [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[0x41; 512]].concat(),
            StatusOrClosed(&[400]),
        ),
        case(
            "a PROXY header nobody asked for",
            format!("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n{}", head("GET /health", "")),
            StatusOrClosed(&[400]),
        ),
        case(
            "an HTTP/2 preface and rubbish",
            [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &[0xff; 64]].concat(),
            StatusOrClosed(&[]),
        )
        .behind(&[404, 502]),
        case(
            "random bytes",
            (0..4096_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect::<Vec<_>>(),
            StatusOrClosed(&[400]),
        ),
        case("blank lines and nothing", "\r\n\r\n\r\n\r\n", StatusOrClosed(&[400])),
    ]
}
