//! Ends streams that are old, or whose handler sends nothing any more.
//!
//! Only answers that a handler marked as streams are looked at. One ends between two frames, so that no event is cut in
//! two; a stream of events is told a time of its own to come back after, so that not all come back at once.
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::convert::Infallible;
//!
//! use flagstone_layers::{
//!     kernel::Body,
//!     stream_timeout::{Config, StreamTimeout},
//! };
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! let service = ServiceBuilder::new()
//!     .layer(StreamTimeout::layer(&Config::default()))
//!     .service(service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::from("no stream")))));
//!
//! let response = service.oneshot(Request::get("/").body(Body::empty())?).await?;
//! assert_eq!(response.into_body().read().await?, "no stream");
//! # Ok(())
//! # }
//! # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
//! ```

mod body;
mod spec;

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use http::header::CONTENT_TYPE;

use self::body::Timed;
pub use self::spec::{Config, Spec};
use crate::kernel::{Around, Body, Call, Handler, Next, Request, Response, Standalone, WrapContext};

/// The longest time a client is told to wait before it comes back.
const RETRY_SPREAD: Duration = Duration::from_secs(5);

/// The layer.
#[derive(Clone, Copy, Debug)]
pub struct StreamTimeout {
    lifetime: Duration,
    jitter: Duration,
    idle: Option<Duration>,
}

/// What is inside, its streams bounded.
struct Bounded {
    inner: Next,
    timeout: StreamTimeout,
}

impl StreamTimeout {
    /// A Tower layer that does this alone.
    pub fn layer(config: &Config) -> Standalone {
        Standalone::around(spec::KIND, Self::new(config))
    }

    fn new(config: &Config) -> Self {
        Self { lifetime: config.lifetime.0, jitter: config.jitter.0, idle: config.idle.0.map(|idle| idle.0) }
    }

    fn bound(&self, response: Response) -> Response {
        let content_type = response.headers().get(CONTENT_TYPE);
        let events = content_type.is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
        let farewell = events.then(|| format!("retry: {}\n\n", spread(RETRY_SPREAD).as_millis()).into());
        let lifetime = self.lifetime.saturating_sub(spread(self.jitter));
        response.map(|body| Body::new(Timed::new(body, lifetime, self.idle, farewell)))
    }
}

impl Around for StreamTimeout {
    fn wrap(&self, inner: Next, _: &WrapContext) -> Next {
        Next::new(Bounded { inner, timeout: *self })
    }
}

impl Handler for Bounded {
    fn call(&self, request: Request) -> Call {
        let exchange = request.exchange().clone();
        let timeout = self.timeout;
        match self.inner.call(request) {
            Call::Ready(response) if exchange.is_stream() => Call::Ready(timeout.bound(response)),
            Call::Ready(response) => Call::Ready(response),
            Call::Future(future) => Call::Future(Box::pin(async move {
                let response = future.await;
                if exchange.is_stream() { timeout.bound(response) } else { response }
            })),
        }
    }
}

/// A time from zero up to `most`, spread evenly; not for secrets.
fn spread(most: Duration) -> Duration {
    let random = RandomState::new().hash_one(0_u8);
    let milliseconds = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(random.checked_rem(milliseconds.saturating_add(1)).unwrap_or_default())
}

#[cfg(test)]
mod tests;
