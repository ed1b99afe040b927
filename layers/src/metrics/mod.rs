//! Counts and times requests.
//!
//! | metric | what it is |
//! |---|---|
//! | `http_request_duration_seconds{method,path,status}` | a histogram; of a stream, the time until its head was there |
//! | `http_requests_in_flight` | requests that have not ended, streams among them |
//! | `http_streams_open` | streams that have not ended |
//! | `authz_denials_total{layer}` | answers with 403, by the layer that refused, or `handler` |
//!
//! `path` is the route's pattern, never the path that was sent, and `unknown` where there is no route. A method that is
//! not of RFC 9110 or 5789 is `OTHER`. A request that ended without an answer has the status `aborted`. So no client can
//! make up labels. A request that is not denied costs no allocation and hashes no text.
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::convert::Infallible;
//!
//! use flagstone_layers::{
//!     kernel::Body,
//!     metrics::{HttpMetrics, Metrics},
//! };
//! use http::{Request, Response};
//! use prometheus_client::registry::Registry;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! let metrics = HttpMetrics::new();
//! let mut registry = Registry::default();
//! metrics.register(&mut registry);
//! let service = ServiceBuilder::new()
//!     .layer(Metrics::layer(&metrics))
//!     .service(service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty()))));
//!
//! service.oneshot(Request::get("/").body(Body::empty())?).await?;
//! let mut text = String::new();
//! prometheus_client::encoding::text::encode(&mut text, &registry)?;
//! assert!(text.contains(r#"http_request_duration_seconds_count{method="GET",path="unknown",status="200"} 1"#));
//! # Ok(())
//! # }
//! # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
//! ```

mod collector;
mod series;
mod spec;

use self::series::Key;
pub use self::{
    collector::HttpMetrics,
    spec::{Config, Spec},
};
use http::StatusCode;

use crate::kernel::{Ended, Exchange, Flow, Hook, RequestHead, ResponseHead, Standalone};

/// The hook.
#[derive(Debug)]
pub struct Metrics {
    metrics: HttpMetrics,
}

impl Metrics {
    /// A Tower layer that does this alone.
    pub fn layer(metrics: &HttpMetrics) -> Standalone {
        Standalone::hook(spec::KIND, Self::new(metrics))
    }

    fn new(metrics: &HttpMetrics) -> Self {
        Self { metrics: metrics.clone() }
    }
}

impl Hook for Metrics {
    type State = ();
    const ENDS: bool = true;

    fn on_request(&self, _: &mut RequestHead) -> Flow<()> {
        self.metrics.begin();
        Flow::Continue(())
    }

    fn on_response(&self, (): (), response: &mut ResponseHead<'_>) {
        let exchange = response.exchange();
        if response.status() == StatusCode::FORBIDDEN {
            self.metrics.deny(exchange.stopped().map(|stopped| &*stopped.layer));
        }
        if exchange.is_stream() {
            self.metrics.open_stream();
            self.metrics.observe(Key::new(exchange, Some(response.status())), exchange.started().elapsed());
        }
    }

    fn on_end(&self, exchange: &Exchange, ended: &Ended) {
        self.metrics.end();
        // Without a status the answer's head never came by here.
        if exchange.is_stream() && ended.status.is_some() {
            self.metrics.close_stream();
        } else {
            self.metrics.observe(Key::new(exchange, ended.status), ended.duration);
        }
    }
}

#[cfg(test)]
mod tests;
