//! Gives each request an id.
//!
//! The id is in the log line, in every problem body and in the answer's `X-Request-Id`. An id that the request brings is
//! taken over only from a trusted proxy, as [`client_ip`](crate::client_ip) found it; anybody else's is ignored.
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::convert::Infallible;
//!
//! use flagstone_layers::{kernel::Body, request_id::RequestIds};
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! let service = ServiceBuilder::new()
//!     .layer(RequestIds::layer())
//!     .service(service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty()))));
//!
//! let response = service.oneshot(Request::get("/").body(Body::empty())?).await?;
//! assert_eq!(response.headers()["x-request-id"].len(), 32);
//! # Ok(())
//! # }
//! # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
//! ```

mod generator;
mod spec;
mod value;

use http::HeaderName;

use self::generator::Generator;
pub use self::spec::{Config, Spec};
use crate::kernel::{Flow, Hook, RequestHead, RequestId, ResponseHead, Standalone};

/// The hook.
#[derive(Debug)]
pub struct RequestIds {
    header: HeaderName,
    generator: Generator,
}

impl RequestIds {
    /// A Tower layer that does this alone, with `X-Request-Id`.
    pub fn layer() -> Standalone {
        Standalone::hook(spec::KIND, Self::new(HeaderName::from_static("x-request-id")))
    }

    fn new(header: HeaderName) -> Self {
        Self { header, generator: Generator::new() }
    }

    /// The id that a trusted proxy gave the request.
    fn forwarded(&self, head: &RequestHead) -> Option<RequestId> {
        if !head.exchange().client()?.through_proxy {
            return None;
        }
        RequestId::parse(head.single_header(&self.header)?.as_bytes())
    }
}

impl Hook for RequestIds {
    type State = ();

    fn on_request(&self, head: &mut RequestHead) -> Flow<()> {
        if head.exchange().request_id().is_none() {
            let id = self.forwarded(head).unwrap_or_else(|| self.generator.generate());
            head.exchange().set_request_id(id);
        }
        Flow::Continue(())
    }

    fn on_response(&self, (): (), response: &mut ResponseHead<'_>) {
        if let Some(value) = response.exchange().request_id().and_then(value::header_value) {
            response.headers_mut().insert(self.header.clone(), value);
        }
    }
}

#[cfg(test)]
mod tests;
