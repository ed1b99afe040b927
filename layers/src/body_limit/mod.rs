//! Bounds the body of requests, in bytes and in time.
//!
//! A `Content-Length` over the limit is refused at once with 413 and the code `BODY_TOO_LARGE`. Otherwise what is read is
//! limited: reading beyond it is a [`BodyError`](crate::kernel::BodyError), which handlers answer with 413, or 408 where
//! the time was over.
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::convert::Infallible;
//!
//! use flagstone_layers::{
//!     body_limit::{BodyLimits, Config},
//!     kernel::{Body, Size},
//! };
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! let service = ServiceBuilder::new()
//!     .layer(BodyLimits::layer(&Config { size: Size(4), ..Config::default() }))
//!     .service(service_fn(async |request: Request<Body>| {
//!         Ok::<_, Infallible>(Response::new(request.into_body()))
//!     }));
//!
//! let response = service.oneshot(Request::post("/").body(Body::from("12345"))?).await?;
//! assert_eq!(response.status(), 413);
//! # Ok(())
//! # }
//! # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
//! ```

mod spec;

use http::StatusCode;

pub use self::spec::{Config, Spec};
use crate::kernel::{BodyLimit, Flow, Hook, Problem, RequestHead, Standalone};

/// The hook.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    limit: BodyLimit,
}

impl BodyLimits {
    /// A Tower layer that does this alone.
    pub fn layer(config: &Config) -> Standalone {
        Standalone::hook(spec::KIND, Self::new(config))
    }

    fn new(config: &Config) -> Self {
        Self { limit: BodyLimit { bytes: config.size.0, time: Some(config.read_timeout.0) } }
    }
}

impl Hook for BodyLimits {
    type State = ();

    fn on_request(&self, head: &mut RequestHead) -> Flow<()> {
        if head.body_size().lower() > self.limit.bytes {
            let detail = format!("The body is larger than {} bytes.", self.limit.bytes);
            return Flow::refuse(head, Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE", detail));
        }
        head.limit_body(self.limit);
        Flow::Continue(())
    }
}

#[cfg(test)]
mod tests;
