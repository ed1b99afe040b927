//! Decompresses the bodies of requests.
//!
//! `gzip`, `br`, `zstd` and `deflate`; any other coding is answered with 415 and what would be taken. A body may be at
//! most so many times as large as what was sent: a few bytes can stand for gigabytes. How large it may be at all is for
//! [`body_limit`](crate::body_limit) inside of this layer; one outside of it limits what is sent.
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::convert::Infallible;
//!
//! use flagstone_layers::{
//!     decompress::{Config, Decompress},
//!     kernel::Body,
//! };
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! let service = ServiceBuilder::new()
//!     .layer(Decompress::layer(&Config::default()))
//!     .service(service_fn(async |request: Request<Body>| {
//!         Ok::<_, Infallible>(Response::new(request.into_body()))
//!     }));
//!
//! let request = Request::post("/").header("Content-Encoding", "compress").body(Body::from("x"))?;
//! assert_eq!(service.oneshot(request).await?.status(), 415);
//! # Ok(())
//! # }
//! # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
//! ```

mod body;
mod spec;

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::AtomicU64},
    task::{Context, Poll},
};

use http::{
    HeaderValue, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING},
};
use tower_http::decompression::{DecompressionBody, RequestDecompression};
use tower_service::Service;

use self::body::{Capped, Counted};
pub use self::spec::{Config, Spec};
use crate::kernel::{
    Around, Body, Call, Exchange, Handler, Next, Problem, Request, Response, Standalone, StandaloneService,
    WrapContext,
};

/// What is taken.
const CODINGS: [&str; 4] = ["gzip", "br", "zstd", "deflate"];
const ACCEPTED: HeaderValue = HeaderValue::from_static("gzip, br, zstd, deflate");

/// The layer.
#[derive(Clone, Copy, Debug)]
pub struct Decompress {
    max_ratio: u32,
}

/// What is inside, given plain bodies.
struct Decompressed {
    inner: Next,
    service: StandaloneService,
    max_ratio: u32,
    place: WrapContext,
}

/// The service that gets one decompressed body.
struct Inside {
    service: StandaloneService,
    exchange: Arc<Exchange>,
    sent: Arc<AtomicU64>,
    max_ratio: u32,
    place: WrapContext,
}

impl Decompress {
    /// A Tower layer that does this alone.
    pub fn layer(config: &Config) -> Standalone {
        Standalone::around(spec::KIND, Self::new(config))
    }

    fn new(config: &Config) -> Self {
        Self { max_ratio: config.max_ratio }
    }
}

impl Around for Decompress {
    fn wrap(&self, inner: Next, context: &WrapContext) -> Next {
        let service = inner.clone().into_service();
        Next::new(Decompressed { inner, service, max_ratio: self.max_ratio, place: context.clone() })
    }
}

impl Handler for Decompressed {
    fn call(&self, mut request: Request) -> Call {
        if !request.head().headers().contains_key(CONTENT_ENCODING) {
            return self.inner.call(request);
        }
        let coding = request.head().single_header(&CONTENT_ENCODING).map(str::trim).unwrap_or_default();
        if coding.eq_ignore_ascii_case("identity") {
            request.head_mut().headers_mut().remove(CONTENT_ENCODING);
            return self.inner.call(request);
        }
        let Some(coding) = CODINGS.iter().find(|known| known.eq_ignore_ascii_case(coding)) else {
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            if !self.place.refuses(request.exchange(), status) {
                return self.inner.call(request);
            }
            let detail =
                "This Content-Encoding is not known here. Send the body plain, or as Accept-Encoding says.";
            let problem = Problem::new(status, "UNSUPPORTED_CONTENT_ENCODING", detail);
            return Call::Ready(problem.header(ACCEPT_ENCODING, ACCEPTED).into_response(request.exchange()));
        };
        request.head_mut().headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
        self.decompressed(request)
    }
}

impl Decompressed {
    fn decompressed(&self, request: Request) -> Call {
        let sent = Arc::new(AtomicU64::new(0));
        let inside = Inside {
            service: self.service.clone(),
            exchange: request.exchange().clone(),
            sent: sent.clone(),
            max_ratio: self.max_ratio,
            place: self.place.clone(),
        };
        let request = request.into_http().map(|body| Counted::new(body, sent));
        let answer = RequestDecompression::new(inside).call(request);
        Call::Future(Box::pin(async move {
            let Ok(response) = answer.await;
            response.map(Body::new)
        }))
    }
}

impl Service<http::Request<DecompressionBody<Counted>>> for Inside {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<DecompressionBody<Counted>>) -> Self::Future {
        let capped = |body| {
            let (exchange, place) = (self.exchange.clone(), self.place.clone());
            Body::new(Capped::new(body, self.sent.clone(), self.max_ratio, exchange, place))
        };
        self.service.call(request.map(capped))
    }
}

#[cfg(test)]
mod tests;
