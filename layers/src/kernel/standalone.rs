use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::StatusCode;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    body::Body,
    chain::{Instance, chain},
    exchange::{Exchange, Matched},
    hook::Hook,
    next::{BoxError, Call, Handler, Next, Response},
    problem::Problem,
    request::Request,
    spec::{Around, Prepared},
    stats::Stats,
};

/// Any layer of this crate as a plain Tower [`Layer`], without a pipeline.
///
/// Layers of one stack share an [`Exchange`] through the request's extensions; the outermost makes it, with the
/// client's `SocketAddr` where the server put one among the extensions.
#[derive(Clone, Debug)]
pub struct Standalone {
    instance: Instance,
}

/// The service [`Standalone`] makes.
#[derive(Clone, Debug)]
pub struct StandaloneService {
    next: Next,
}

/// A foreign Tower service at the end of a chain.
struct Foreign<S> {
    inner: S,
}

// === impl Standalone ===

impl Standalone {
    /// A hook as a Tower layer; `name` is what refusals are logged under.
    pub fn hook(name: &str, hook: impl Hook) -> Self {
        Self::prepared(name, Prepared::hook(hook))
    }

    /// A layer that needs the whole service as a Tower layer.
    pub fn around(name: &str, around: impl Around) -> Self {
        Self::prepared(name, Prepared::around(around))
    }

    /// A prepared instance as a Tower layer.
    pub fn prepared(name: &str, prepared: Prepared) -> Self {
        Self {
            instance: Instance {
                name: name.into(),
                prepared,
                observe: false,
                stats: Arc::new(Stats::default()),
            },
        }
    }

    /// Counts and logs what it would refuse, and lets it pass.
    #[must_use]
    pub fn observe(mut self) -> Self {
        self.instance.observe = true;
        self
    }

    /// What it did.
    pub fn stats(&self) -> &Arc<Stats> {
        &self.instance.stats
    }
}

impl<S, B> Layer<S> for Standalone
where
    S: Service<http::Request<Body>, Response = http::Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Service = StandaloneService;

    fn layer(&self, inner: S) -> StandaloneService {
        StandaloneService { next: chain(std::slice::from_ref(&self.instance), Next::from_service(inner)) }
    }
}

impl<B> Service<http::Request<B>> for StandaloneService
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let exchange = parts.extensions.remove::<Arc<Exchange>>().unwrap_or_else(|| {
            let exchange = Exchange::new(parts.method.clone(), parts.uri.path(), Matched::NotFound);
            Arc::new(match parts.extensions.get::<SocketAddr>() {
                Some(peer) => exchange.with_peer(*peer),
                None => exchange,
            })
        });
        let call = self.next.call(Request::new(parts, Body::new(body), exchange));
        Box::pin(async move { Ok(call.wait().await) })
    }
}

// === impl Foreign ===

impl Next {
    /// What is inside as a Tower service, for layers of others.
    pub fn into_service(self) -> StandaloneService {
        StandaloneService { next: self }
    }

    /// A Tower service as the end of a chain. Its error, if it has one, is answered with 500.
    pub fn from_service<S, B>(service: S) -> Self
    where
        S: Service<http::Request<Body>, Response = http::Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self::new(Foreign { inner: service })
    }
}

impl<S, B> Handler for Foreign<S>
where
    S: Service<http::Request<Body>, Response = http::Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn call(&self, request: Request) -> Call {
        let mut service = self.inner.clone();
        let exchange = request.exchange().clone();
        let request = request.into_http();
        Call::Future(Box::pin(async move {
            let answered = async {
                std::future::poll_fn(|context| service.poll_ready(context)).await?;
                service.call(request).await
            };
            match answered.await {
                Ok(response) => response.map(Body::new),
                Err(error) => {
                    let error = error.into();
                    tracing::error!(%error, "a service failed");
                    Problem::new(
                        StatusCode::INTERNAL_SERVER_ERROR,
                        "INTERNAL",
                        "The server could not answer.",
                    )
                    .into_response(&exchange)
                }
            }
        }))
    }
}
