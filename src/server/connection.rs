//! One connection: HTTP/1.1 or HTTP/2 with prior knowledge, each request onto its route's chain.

use std::{
    convert::Infallible,
    error::Error,
    future::Future,
    mem,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use flagstone_layers::kernel::{
    Body, BoxError, Call, Exchange, Matched, Next, Panic, Problem, Request, Response, Run,
};
use flagstone_pipeline::{Pipeline, Snapshot};
use flagstone_routes::{Misdirected, Table};
use http::{
    HeaderValue, Method, StatusCode, Version,
    header::{ACCESS_CONTROL_REQUEST_METHOD, CONNECTION},
};
use http_body::Body as _;
use hyper::{body::Incoming, server::conn::http1, service::Service};
use hyper_util::{
    rt::{TokioExecutor, TokioTimer},
    server::{conn::auto, graceful::GracefulConnection},
};
use tokio::{net::TcpStream, runtime::Handle, sync::watch};
use tokio_util::task::AbortOnDropHandle;

use super::{
    activity::{Activity, Timeouts, Watchdog, Watched},
    answer_body::AnswerBody,
    drain::{self, Phase},
    proxy_protocol::{self, BadHeader, ProxyProtocol},
};

/// The most headers in a request, unless hyper is told another number.
const HYPERS_HEADERS: usize = 100;

/// What bounds a connection.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Times after which it is closed.
    pub(crate) timeouts: Timeouts,
    /// The largest request head, in bytes.
    pub(crate) head_bytes: usize,
    /// The most headers in a request.
    pub(crate) headers: usize,
    /// The most concurrent requests on one HTTP/2 connection.
    pub(crate) streams: u32,
    /// Which proxies say whose connection it is.
    pub(crate) proxy_protocol: ProxyProtocol,
}

/// Serves connections: what all of them share.
pub(crate) struct Connections {
    router: Arc<Router>,
    limits: Limits,
    /// By far the most common, without what tells one version from the other.
    http1: http1::Builder,
    http2: auto::Builder<TokioExecutor>,
    either: auto::Builder<TokioExecutor>,
    open: AtomicUsize,
    refused: AtomicU64,
    unreadable: AtomicU64,
}

/// Finds a request's chain: the one place where routing happens.
pub(crate) struct Router {
    pipeline: Pipeline,
    table: Table,
    /// Where what may wait runs, unless on the connection's own runtime.
    control: Option<Handle>,
}

/// Counts an open connection for as long as it lives.
struct Open(Arc<Connections>);

/// What the first bytes of a connection say.
enum Spoken<'a> {
    Http1(&'a http1::Builder),
    /// HTTP/2, or too little to tell.
    Other(&'a auto::Builder<TokioExecutor>),
}

#[derive(Clone)]
struct RequestService {
    connections: Arc<Connections>,
    activity: Arc<Activity>,
    peer: SocketAddr,
}

/// An answer on its way, noting when it is there.
struct Answer {
    stage: Stage,
    /// Other answers share the connection.
    multiplexed: bool,
    /// A refusal may end the connection: of the request's body more may stay unread than is read for nobody.
    ends_if_refused: bool,
    service: RequestService,
}

enum Stage {
    /// Nobody was asked yet. Before hyper polls the answer, it hands on what has come of the request's body, so that
    /// who is asked then finds it there.
    Begun(http::Request<Incoming>),
    Called(Guarded),
}

/// A call, where a panic is an answer too.
struct Guarded(Option<Call>);

// === impl Connections ===

impl Connections {
    pub(crate) fn new(
        pipeline: Pipeline,
        table: Table,
        limits: Limits,
        control: Option<Handle>,
    ) -> Arc<Self> {
        let router = Arc::new(Router { pipeline, table, control });
        Arc::new(Self {
            router,
            http1: http1_builder(&limits),
            http2: auto_builder(&limits).http2_only(),
            either: auto_builder(&limits),
            limits,
            open: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
            unreadable: AtomicU64::new(0),
        })
    }

    /// The pipeline they run on.
    pub(crate) fn pipeline(&self) -> &Pipeline {
        &self.router.pipeline
    }

    /// The connections that are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// The connections that were closed at once because there were too many.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// The requests whose head was no HTTP, or too large: they reach no chain, and so no line of the access log.
    pub(crate) fn unreadable(&self) -> u64 {
        self.unreadable.load(Ordering::Relaxed)
    }

    pub(crate) fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Serves one connection to its end.
    pub(crate) fn serve(
        self: Arc<Self>,
        mut stream: TcpStream,
        peer: SocketAddr,
        phase: watch::Receiver<Phase>,
    ) -> impl Future<Output = ()> + Send {
        self.open.fetch_add(1, Ordering::Relaxed);
        let open = Open(self);
        async move {
            let this = &open.0;
            let activity = Activity::new();
            let mut watchdog = Watchdog::new(&activity, &this.limits.timeouts);
            let served = async {
                let peer = match this.client(&mut stream, peer).await {
                    Ok(client) => client,
                    Err(error) => {
                        tracing::debug!(%peer, %error, "a connection from a proxy does not say whose it is");
                        return;
                    }
                };
                let Some(spoken) = this.spoken_on(&stream).await else { return };
                let io = Watched::new(stream, Arc::clone(&activity));
                let service =
                    RequestService { connections: Arc::clone(this), activity: Arc::clone(&activity), peer };
                let served = match spoken {
                    Spoken::Http1(builder) => drive(pin!(builder.serve_connection(io, service)), phase).await,
                    // It is large, and rare.
                    Spoken::Other(builder) => {
                        drive(Box::pin(builder.serve_connection(io, service)).as_mut(), phase).await
                    }
                };
                if let Err(error) = served {
                    this.ended(peer, &*error);
                }
            };
            tokio::select! {
                biased;
                () = served => {}
                () = watchdog.bites() => {}
            }
        }
    }

    /// The answer to a request with more headers than it may have: hyper's own to what it cannot read.
    fn too_many_headers(&self, peer: SocketAddr) -> Response {
        self.unreadable.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(%peer, "a request has too many headers");
        let mut response = Response::default();
        *response.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        response
    }

    /// Counts a request that could not be read. That a client went away is nothing to tell.
    fn ended(&self, peer: SocketAddr, error: &(dyn Error + Send + Sync + 'static)) {
        if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse) {
            self.unreadable.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%peer, %error, "a request could not be read");
        }
    }

    /// Whose connection it is: the peer's, or of whom the peer says so by the PROXY protocol, where it has to.
    async fn client(&self, stream: &mut TcpStream, peer: SocketAddr) -> Result<SocketAddr, BadHeader> {
        if !self.limits.proxy_protocol.is_spoken_by(peer) {
            return Ok(peer);
        }
        let read = tokio::time::timeout(self.limits.timeouts.head, proxy_protocol::read(stream, peer));
        read.await.map_err(|_| BadHeader::Ended(std::io::ErrorKind::TimedOut.into()))?
    }

    /// Looks at the first bytes without taking them: only HTTP/2's preface begins with `PRI `.
    async fn spoken_on(&self, stream: &TcpStream) -> Option<Spoken<'_>> {
        let mut first = [0; 4];
        let length = stream.peek(&mut first).await.ok()?;
        match first.get(..length)? {
            [] => None,
            b"PRI " => Some(Spoken::Other(&self.http2)),
            some if b"PRI ".starts_with(some) => Some(Spoken::Other(&self.either)),
            _ => Some(Spoken::Http1(&self.http1)),
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves a connection until it ends, or is to be dropped; while draining only to the end of its request.
async fn drive<C>(mut connection: Pin<&mut C>, mut phase: watch::Receiver<Phase>) -> Result<(), BoxError>
where
    C: GracefulConnection<Error: Into<BoxError>>,
{
    tokio::select! {
        biased;
        served = connection.as_mut() => return served.map_err(Into::into),
        () = drain::reached(&mut phase, Phase::Draining) => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        biased;
        served = connection => served.map_err(Into::into),
        () = drain::reached(&mut phase, Phase::Aborting) => Ok(()),
    }
}

fn http1_builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // The watchdog times heads and idle connections; hyper's timer cannot tell them apart.
        .header_read_timeout(None)
        .max_buf_size(limits.head_bytes);
    // For a number of ours hyper makes room with each request; a smaller one is as good once the head is read.
    if limits.headers > HYPERS_HEADERS {
        builder.max_headers(limits.headers);
    }
    builder
}

fn auto_builder(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().header_read_timeout(None).max_buf_size(limits.head_bytes).max_headers(limits.headers);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

// === impl Router ===

impl Router {
    /// Routes a request and calls its chain. The snapshot is let go as soon as the chain is called.
    fn call(&self, request: http::Request<Incoming>, peer: SocketAddr) -> Call {
        let snapshot = self.pipeline.current();
        let (parts, body) = request.into_parts();
        let misdirected = Misdirected::check(&parts.method, &parts.uri, parts.version, &parts.headers);
        let (path, matched) = match misdirected {
            Some(_) => (None, Matched::NotFound),
            None => self.find(&snapshot, &parts.method, parts.uri.path()),
        };
        let wanted = preflight_for(&parts);
        let (matched, preflight) = match (&matched, wanted) {
            (Matched::MethodNotAllowed { .. }, Some(method)) => {
                match self.table.find(&method, path.as_deref().unwrap_or(parts.uri.path())) {
                    route @ Matched::Route { .. } => (route, true),
                    _ => (matched, false),
                }
            }
            _ => (matched, false),
        };
        let chain = chain(&snapshot, &matched);
        // An optional route that the pipeline leaves out is a path that does not exist.
        let matched = if chain.is_none() { Matched::NotFound } else { matched };
        let control = self.control.as_ref().filter(|_| self.may_wait(&matched));
        let path = path.unwrap_or_else(|| parts.uri.path().into());
        let mut exchange = Exchange::new(parts.method.clone(), path, matched)
            .with_peer(peer)
            .with_generation(Arc::clone(snapshot.generation()));
        if preflight {
            exchange = exchange.as_preflight();
        }
        let request = Request::new(parts, Body::from(body), Arc::new(exchange));
        let chain = chain.unwrap_or_else(|| snapshot.fallback());
        match control {
            Some(control) => on(control, chain.clone(), request),
            None => chain.call(request),
        }
    }

    fn may_wait(&self, matched: &Matched) -> bool {
        matches!(matched, Matched::Route { id, .. } if self.table.run(*id) == Run::Control)
    }

    /// What the table has for a path, or for what it is an alias of; then with that path.
    fn find(&self, snapshot: &Snapshot, method: &Method, path: &str) -> (Option<Box<str>>, Matched) {
        let matched = self.table.find(method, path);
        if matched == Matched::NotFound
            && let Some(target) = snapshot.resolve_alias(path)
        {
            let matched = self.table.find(method, &target);
            return (Some(target.into()), matched);
        }
        (None, matched)
    }
}

fn chain<'a>(snapshot: &'a Snapshot, matched: &Matched) -> Option<&'a Next> {
    match matched {
        Matched::Route { id, .. } => snapshot.chain(*id),
        Matched::MethodNotAllowed { .. } | Matched::NotFound => Some(snapshot.fallback()),
    }
}

/// Answers a request on another runtime. If its client goes away, the work there ends as it would here.
fn on(runtime: &Handle, chain: Next, request: Request) -> Call {
    let answer = async move { Guarded::new(|| chain.call(request)).await };
    let answer = AbortOnDropHandle::new(runtime.spawn(answer));
    Call::Future(Box::pin(async move {
        match answer.await {
            Ok(response) => response,
            // That runtime ends, and with it the server.
            Err(_) => std::future::pending().await,
        }
    }))
}

/// The method a CORS preflight asks for.
fn preflight_for(parts: &http::request::Parts) -> Option<Method> {
    if parts.method != Method::OPTIONS {
        return None;
    }
    Method::from_bytes(parts.headers.get(ACCESS_CONTROL_REQUEST_METHOD)?.as_bytes()).ok()
}

// === impl RequestService ===

impl RequestService {
    fn begin(&self, request: http::Request<Incoming>) -> Guarded {
        if request.headers().len() > self.connections.limits.headers {
            return Guarded(Some(Call::Ready(self.connections.too_many_headers(self.peer))));
        }
        Guarded::new(|| self.connections.router.call(request, self.peer))
    }
}

impl Service<http::Request<Incoming>> for RequestService {
    type Response = http::Response<AnswerBody>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, request: http::Request<Incoming>) -> Answer {
        let multiplexed = request.version() == Version::HTTP_2;
        self.activity.head_read(!request.body().is_end_stream(), multiplexed);
        let is_long = request.body().size_hint().exact().is_none_or(|bytes| bytes > Body::DISCARDED);
        let ends_if_refused = is_long && !multiplexed;
        Answer { stage: Stage::Begun(request), multiplexed, ends_if_refused, service: self.clone() }
    }
}

// === impl Answer ===

impl Future for Answer {
    type Output = Result<http::Response<AnswerBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { stage, multiplexed, ends_if_refused, service } = &mut *self;
        let mut call = match mem::replace(stage, Stage::Called(Guarded(None))) {
            Stage::Begun(request) => service.begin(request),
            Stage::Called(call) => call,
        };
        let Poll::Ready(mut response) = Pin::new(&mut call).poll(context) else {
            *stage = Stage::Called(call);
            return Poll::Pending;
        };
        let status = response.status();
        service.activity.answered(status);
        // Else its client would send the next request on a connection that is being closed.
        if *ends_if_refused && (status.is_client_error() || status.is_server_error()) {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let activity = multiplexed.then(|| Arc::clone(&service.activity));
        Poll::Ready(Ok(response.map(|body| AnswerBody::new(body, activity))))
    }
}

// === impl Guarded ===

impl Guarded {
    fn new(call: impl FnOnce() -> Call) -> Self {
        Self(Some(Panic::catch(call).unwrap_or_else(|panic| Call::Ready(out_of_order(&panic)))))
    }
}

impl Future for Guarded {
    type Output = Response;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Response> {
        match self.0.take() {
            Some(Call::Ready(response)) => Poll::Ready(response),
            Some(Call::Future(mut future)) => match Panic::catch(|| future.as_mut().poll(context)) {
                Ok(Poll::Ready(response)) => Poll::Ready(response),
                Ok(Poll::Pending) => {
                    self.0 = Some(Call::Future(future));
                    Poll::Pending
                }
                Err(panic) => Poll::Ready(out_of_order(&panic)),
            },
            // A future that is polled again after its end answers nothing.
            None => Poll::Pending,
        }
    }
}

/// The answer where a layer panicked that stands outside `catch_panic`, or the routing itself.
fn out_of_order(panic: &Panic) -> Response {
    tracing::error!(location = panic.location(), %panic, "a layer panicked");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "The server could not answer.")
        .into_response(&Exchange::new(Method::GET, "", Matched::NotFound))
}

#[cfg(test)]
mod tests;
