//! Says who may keep an answer, and for how long.
//!
//! What a handler says itself stays. An answer that holds a secret is never kept, whatever anybody says, and neither is
//! an error or a refusal of those inside.
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::convert::Infallible;
//!
//! use flagstone_layers::{
//!     cache_control::{CacheControl, Config},
//!     kernel::Body,
//! };
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! let service = ServiceBuilder::new()
//!     .layer(CacheControl::layer(&Config::default())?)
//!     .service(service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty()))));
//!
//! let response = service.oneshot(Request::get("/").body(Body::empty())?).await?;
//! assert_eq!(response.headers()["cache-control"], "no-store");
//! # Ok(())
//! # }
//! # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
//! ```

mod spec;

use http::{
    HeaderValue, Method,
    header::{CACHE_CONTROL, Entry},
};

pub use self::spec::{Config, Spec, Store};
use crate::kernel::{Flow, Hook, PrepareError, RequestHead, ResponseHead, Standalone};

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// The hook.
#[derive(Debug)]
pub struct CacheControl {
    value: HeaderValue,
}

impl CacheControl {
    /// A Tower layer that does this alone.
    ///
    /// # Errors
    /// Settings that make no sense together.
    pub fn layer(config: &Config) -> Result<Standalone, PrepareError> {
        Ok(Standalone::hook(spec::KIND, Self::new(config)?))
    }

    fn new(config: &Config) -> Result<Self, PrepareError> {
        let value = HeaderValue::try_from(config.text());
        Ok(Self { value: value.map_err(|error| PrepareError::new(None, error.to_string()))? })
    }
}

impl Hook for CacheControl {
    type State = ();

    fn on_request(&self, _: &mut RequestHead) -> Flow<()> {
        Flow::Continue(())
    }

    fn on_response(&self, (): (), response: &mut ResponseHead<'_>) {
        let exchange = response.exchange();
        let secret = exchange.is_secret();
        // Only what a plain question was answered with can be of use to somebody else, or later.
        let kept = matches!(*exchange.method(), Method::GET | Method::HEAD)
            && (response.status().is_success() || response.status() == http::StatusCode::NOT_MODIFIED);
        let value = if kept && !secret { self.value.clone() } else { NO_STORE };
        match response.headers_mut().entry(CACHE_CONTROL) {
            Entry::Occupied(mut entry) if secret => drop(entry.insert(value)),
            Entry::Occupied(_) => {}
            Entry::Vacant(entry) => drop(entry.insert(value)),
        }
    }
}

#[cfg(test)]
mod tests;
