//! Compresses answers for clients that ask for it.
//!
//! `gzip`, `br`, `zstd` and `deflate`, as the client weighs them. Left alone are answers that are small, that are
//! compressed already or of a kind that would not shrink, that are marked `no-transform`, streams, and answers that hold
//! a secret: how well a secret compresses beside what an attacker chose tells what it is (BREACH). A compressed answer's
//! `ETag` is weak, and it says `Vary: Accept-Encoding`. A request that asks for nothing is not touched at all.
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::convert::Infallible;
//!
//! use flagstone_layers::{
//!     compress::{Compress, Config},
//!     kernel::Body,
//! };
//! use http::{Request, Response, header::CONTENT_TYPE};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! let service = ServiceBuilder::new().layer(Compress::layer(&Config::default())).service(service_fn(
//!     async |_: Request<Body>| {
//!         let text = Response::builder().header(CONTENT_TYPE, "text/plain").body(Body::from("x".repeat(4096)));
//!         Ok::<_, Infallible>(text.unwrap_or_default())
//!     },
//! ));
//!
//! let request = Request::get("/").header("Accept-Encoding", "gzip").body(Body::empty())?;
//! let response = service.oneshot(request).await?;
//! assert_eq!(response.headers()["content-encoding"], "gzip");
//! assert!(response.into_body().read().await?.len() < 100);
//! # Ok(())
//! # }
//! # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
//! ```

mod spec;

use std::sync::Arc;

use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG},
};
use tower_http::compression::{Compression, CompressionBody, CompressionLevel, Predicate};
use tower_service::Service as _;

pub use self::spec::{Coding, Config, Level, Spec};
use crate::kernel::{
    Around, Body, Call, Exchange, Handler, Next, Request, Response, Standalone, StandaloneService,
    WrapContext,
};

/// The layer.
#[derive(Clone, Debug)]
pub struct Compress {
    codings: Arc<[Coding]>,
    min_size: u64,
    level: CompressionLevel,
}

/// What is inside, its answers compressed.
struct Compressed {
    inner: Next,
    service: StandaloneService,
    settings: Compress,
}

/// Whether an answer is worth compressing, and may be.
#[derive(Clone)]
struct Fit {
    min_size: u64,
    exchange: Arc<Exchange>,
}

impl Compress {
    /// A Tower layer that does this alone.
    pub fn layer(config: &Config) -> Standalone {
        Standalone::around(spec::KIND, Self::new(config))
    }

    fn new(config: &Config) -> Self {
        Self {
            codings: config.codings.iter().copied().collect(),
            min_size: config.min_size.0,
            level: config.level.into(),
        }
    }

    /// Whether the client takes one of the codings on offer. `*` names none: whoever sends it takes plain answers, too.
    fn is_asked_for(&self, headers: &HeaderMap) -> bool {
        let values = headers.get_all(ACCEPT_ENCODING).iter();
        let items = values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
        items.map(|item| item.split_once(';').unwrap_or((item, ""))).any(|(name, weight)| {
            self.codings.iter().any(|coding| name.trim().eq_ignore_ascii_case(coding.token()))
                && !is_zero(weight)
        })
    }
}

/// Whether a weight such as `q=0.000` is nothing.
fn is_zero(weight: &str) -> bool {
    let value = weight.trim().trim_start_matches(['q', 'Q']).trim_start().trim_start_matches('=').trim();
    !value.is_empty() && value.bytes().all(|byte| matches!(byte, b'0' | b'.'))
}

impl Around for Compress {
    fn wrap(&self, inner: Next, _: &WrapContext) -> Next {
        let service = inner.clone().into_service();
        Next::new(Compressed { inner, service, settings: self.clone() })
    }
}

impl Handler for Compressed {
    fn call(&self, request: Request) -> Call {
        let head = request.head();
        if *head.method() == Method::HEAD || !self.settings.is_asked_for(head.headers()) {
            return self.inner.call(request);
        }
        let on = |coding| self.settings.codings.contains(&coding);
        let fit = Fit { min_size: self.settings.min_size, exchange: request.exchange().clone() };
        let mut service = Compression::new(self.service.clone())
            .gzip(on(Coding::Gzip))
            .br(on(Coding::Br))
            .zstd(on(Coding::Zstd))
            .deflate(on(Coding::Deflate))
            .quality(self.settings.level)
            .compress_when(fit);
        let answer = service.call(request.into_http());
        Call::Future(Box::pin(async move {
            let Ok(response) = answer.await;
            plain_or_compressed(response)
        }))
    }
}

fn plain_or_compressed(mut response: http::Response<CompressionBody<Body>>) -> Response {
    if !response.headers().contains_key(CONTENT_ENCODING) {
        return response.map(|mut body| std::mem::take(body.get_mut()));
    }
    // The same for whoever asks for it, but no longer byte by byte (RFC 9110 §8.8.1).
    if let Some(tag) = response.headers().get(ETAG)
        && !tag.as_bytes().starts_with(b"W/")
        && let Ok(weak) = HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat())
    {
        response.headers_mut().insert(ETAG, weak);
    }
    response.map(Body::new)
}

impl Predicate for Fit {
    fn should_compress<B: http_body::Body>(&self, response: &http::Response<B>) -> bool {
        let headers = response.headers();
        let text =
            |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
        let size = response.body().size_hint().exact().or_else(|| text(CONTENT_LENGTH).parse().ok());
        let bodiless = matches!(
            response.status(),
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED | StatusCode::PARTIAL_CONTENT
        );
        !self.exchange.is_secret()
            && !self.exchange.is_stream()
            && !bodiless
            && size.is_none_or(|size| size >= self.min_size)
            && shrinks(text(CONTENT_TYPE))
            && !text(CACHE_CONTROL).contains("no-transform")
    }
}

/// Whether a content type is text of some kind. Event streams are, but must not be held back.
fn shrinks(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == "text/event-stream" {
        return false;
    }
    essence.starts_with("text/")
        || essence.ends_with("+json")
        || essence.ends_with("+xml")
        || matches!(
            essence.as_str(),
            "application/json" | "application/javascript" | "application/xml" | "application/wasm"
        )
}

#[cfg(test)]
mod tests;
