//! The admin listener: a fixed chain that no pipeline can break, on loopback or a Unix socket.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    pin::pin,
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use flagstone_pipeline::{Outcome, Pipeline, Trigger};
use flagstone_routes::metrics_content_type;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, HOST, ORIGIN, X_CONTENT_TYPE_OPTIONS},
};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, UnixListener};

use super::drain::{self, Drain, Phase};

/// How long a request's head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Where the admin listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AdminAddress {
    /// A TCP address; only loopback is accepted.
    Tcp(SocketAddr),
    /// A Unix socket, written `unix:/path`.
    Unix(std::path::PathBuf),
}

/// The admin listener's socket.
pub(crate) enum AdminListener {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// A Unix socket's file, removed at the end.
pub(crate) struct SocketFile(std::path::PathBuf);

/// What the admin listener shows and does.
pub(crate) struct Admin {
    pub(crate) pipeline: Pipeline,
    pub(crate) shown: Arc<dyn Shown>,
    /// What `/health` shows beside the status.
    pub(crate) version: &'static str,
    /// The names this listener may be called by; empty for a Unix socket.
    pub(crate) port: Option<u16>,
}

/// What of the server's other parts is shown.
pub(crate) trait Shown: Send + Sync {
    /// The metrics in Prometheus' text format.
    fn metrics(&self) -> String;
    /// The pipeline's status.
    fn status(&self) -> Value;
}

type Answer = Response<Full<Bytes>>;

// === impl AdminAddress ===

impl FromStr for AdminAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::Unix(path.into()));
        }
        let address: SocketAddr = text.parse().map_err(|_| {
            format!("`{text}` is no address: write `127.0.0.1:8081` or `unix:/run/flagstone.sock`")
        })?;
        if address.ip().is_loopback() {
            Ok(Self::Tcp(address))
        } else {
            Err(format!(
                "`{text}` is not a loopback address: the admin listener has no sign-in, so nobody else may reach it"
            ))
        }
    }
}

impl std::fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

// === impl AdminListener ===

impl AdminListener {
    /// Binds it. A socket file that nobody listens on any more is replaced.
    pub(crate) async fn bind(address: &AdminAddress) -> std::io::Result<Self> {
        match address {
            AdminAddress::Tcp(address) => Ok(Self::Tcp(TcpListener::bind(address).await?)),
            AdminAddress::Unix(path) => {
                let stale = path.exists() && std::os::unix::net::UnixStream::connect(path).is_err();
                if stale {
                    std::fs::remove_file(path)?;
                }
                let listener = UnixListener::bind(path)?;
                let owner_only = std::os::unix::fs::PermissionsExt::from_mode(0o600);
                std::fs::set_permissions(path, owner_only)?;
                Ok(Self::Unix(listener, SocketFile(path.clone())))
            }
        }
    }

    /// Where it listens in fact.
    pub(crate) fn address(&self) -> std::io::Result<AdminAddress> {
        match self {
            Self::Tcp(listener) => Ok(AdminAddress::Tcp(listener.local_addr()?)),
            Self::Unix(_, file) => Ok(AdminAddress::Unix(file.0.clone())),
        }
    }

    /// Serves until the connections of the main listener are gone.
    pub(crate) async fn serve(self, admin: Arc<Admin>, drain: Drain) {
        let mut phase = drain.watch();
        loop {
            let accepted = tokio::select! {
                biased;
                () = drain::reached(&mut phase, Phase::Draining) => return,
                accepted = self.accept() => accepted,
            };
            match accepted {
                Ok(io) => {
                    let admin = Arc::clone(&admin);
                    let mut phase = drain.watch();
                    drain.spawn(async move {
                        let service = service_fn(move |request| {
                            let admin = Arc::clone(&admin);
                            async move { Ok::<_, Infallible>(admin.answer(request).await) }
                        });
                        let mut connection = pin!(
                            http1::Builder::new()
                                .timer(TokioTimer::new())
                                .header_read_timeout(HEAD_TIMEOUT)
                                .serve_connection(io, service)
                        );
                        tokio::select! {
                            _ = connection.as_mut() => return,
                            () = drain::reached(&mut phase, Phase::Draining) => {
                                connection.as_mut().graceful_shutdown();
                            }
                        }
                        tokio::select! {
                            _ = connection => {}
                            () = drain::reached(&mut phase, Phase::Aborting) => {}
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept an admin connection; trying again");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn accept(&self) -> std::io::Result<TokioIo<Box<dyn Stream>>> {
        let stream: Box<dyn Stream> = match self {
            Self::Tcp(listener) => Box::new(listener.accept().await?.0),
            Self::Unix(listener, _) => Box::new(listener.accept().await?.0),
        };
        Ok(TokioIo::new(stream))
    }
}

/// A connection of either kind.
trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Stream for T {}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = std::fs::remove_file(&self.0);
    }
}

// === impl Admin ===

impl Admin {
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        if let Err(why) = self.check_caller(request.headers()) {
            return problem(StatusCode::FORBIDDEN, "FORBIDDEN", why);
        }
        match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/health") => {
                json_answer(StatusCode::OK, &json!({ "status": "ok", "version": self.version }))
            }
            (&Method::GET | &Method::HEAD, "/metrics") => {
                text(metrics_content_type(request.headers()), self.shown.metrics())
            }
            (&Method::GET | &Method::HEAD, "/pipeline") => json_answer(StatusCode::OK, &self.shown.status()),
            (&Method::POST, "/pipeline/reload") => self.reload(request.uri().query()).await,
            (_, "/health" | "/metrics" | "/pipeline" | "/pipeline/reload") => {
                problem(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "This path has another method.")
            }
            _ => problem(
                StatusCode::NOT_FOUND,
                "NOT_FOUND",
                "The admin listener has GET /health, /metrics, /pipeline and POST /pipeline/reload.",
            ),
        }
    }

    async fn reload(&self, query: Option<&str>) -> Answer {
        let outcome = match query {
            None | Some("" | "dry_run=false") => self.pipeline.reload(Trigger::Admin).await,
            Some("dry_run=true") => self.pipeline.dry_run().await,
            Some(_) => {
                return problem(
                    StatusCode::BAD_REQUEST,
                    "BAD_QUERY",
                    "The only parameter is dry_run=true or false.",
                );
            }
        };
        let status = match outcome {
            Outcome::Applied { .. } | Outcome::Unchanged { .. } => StatusCode::OK,
            Outcome::Rejected { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Outcome::RestartRequired { .. } => StatusCode::CONFLICT,
        };
        json_answer(status, &serde_json::to_value(&outcome).unwrap_or_default())
    }

    /// A browser page must not reach this listener, neither directly nor by a name that was re-bound to loopback.
    fn check_caller(&self, headers: &HeaderMap) -> Result<(), &'static str> {
        if headers.contains_key(ORIGIN) || headers.contains_key(SEC_FETCH_SITE) {
            return Err("The admin listener answers no browser.");
        }
        let Some(port) = self.port else { return Ok(()) };
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        if is_loopback(host, port) { Ok(()) } else { Err("The Host header is not this listener's.") }
    }
}

/// Whether a `Host` header names a loopback address, or `localhost`, and this port.
fn is_loopback(host: &str, port: u16) -> bool {
    let Some((name, written)) = host.rsplit_once(':') else { return false };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let loopback = name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    loopback && written.parse() == Ok(port)
}

fn json_answer(status: StatusCode, value: &Value) -> Answer {
    let mut answer = text(HeaderValue::from_static("application/json"), value.to_string());
    *answer.status_mut() = status;
    answer
}

fn problem(status: StatusCode, code: &str, detail: &str) -> Answer {
    let title = status.canonical_reason().unwrap_or_default();
    let body = json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "code": code, "detail": detail });
    let mut answer = text(HeaderValue::from_static("application/problem+json"), body.to_string());
    *answer.status_mut() = status;
    answer
}

fn text(content_type: HeaderValue, body: String) -> Answer {
    let mut answer = Response::new(Full::from(body));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_listened_on() {
        assert!("127.0.0.1:8081".parse::<AdminAddress>().is_ok());
        assert!("[::1]:0".parse::<AdminAddress>().is_ok());
        assert_eq!("unix:/run/a.sock".parse(), Ok(AdminAddress::Unix("/run/a.sock".into())));
        for bad in ["0.0.0.0:8081", "192.0.2.1:8081", "localhost:8081", "", "8081"] {
            assert!(bad.parse::<AdminAddress>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_host_that_was_rebound_is_refused() {
        for good in ["localhost:81", "127.0.0.1:81", "127.9.9.9:81", "[::1]:81"] {
            assert!(is_loopback(good, 81), "{good}");
        }
        for bad in [
            "localhost",
            "localhost:82",
            "evil.example:81",
            "127.0.0.1.evil.example:81",
            "",
            ":81",
            "10.0.0.1:81",
        ] {
            assert!(!is_loopback(bad, 81), "{bad}");
        }
    }
}
