//! Bounds how many requests are under way at the same time.
//!
//! A request counts until the last byte of its answer is sent, or its client is gone. One too many is answered with 503
//! and `Retry-After`, or waits its turn for a while where the settings say so.
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::convert::Infallible;
//!
//! use flagstone_layers::{
//!     concurrency::{Concurrency, Config},
//!     kernel::Body,
//! };
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! let service = ServiceBuilder::new()
//!     .layer(Concurrency::layer(&Config { max: 1, ..Config::default() }))
//!     .service(service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::from("hello")))));
//!
//! let first = service.clone().oneshot(Request::get("/").body(Body::empty())?).await?;
//! let second = service.clone().oneshot(Request::get("/").body(Body::empty())?).await?;
//! assert_eq!((first.status().as_u16(), second.status().as_u16()), (200, 503));
//! drop(first);
//! assert_eq!(service.oneshot(Request::get("/").body(Body::empty())?).await?.status(), 200);
//! # Ok(())
//! # }
//! # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
//! ```

mod permits;
mod spec;

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use tokio::time::timeout;

use self::permits::Permits;
pub use self::spec::{Config, Spec};
use crate::kernel::{Ended, Exchange, Flow, Hook, Problem, RequestHead, Standalone};

/// The hook.
#[derive(Debug)]
pub struct Concurrency {
    permits: Arc<Permits>,
    max: usize,
    queue: usize,
    wait: Duration,
}

impl Concurrency {
    /// A Tower layer that does this alone.
    pub fn layer(config: &Config) -> Standalone {
        Standalone::hook(spec::KIND, Self::new(config, Arc::default()))
    }

    fn new(config: &Config, permits: Arc<Permits>) -> Self {
        Self { permits, max: config.max, queue: config.queue, wait: config.wait.0 }
    }
}

impl Hook for Concurrency {
    type State = ();
    const ENDS: bool = true;

    fn on_request(&self, head: &mut RequestHead) -> Flow<()> {
        if self.permits.try_take(self.max) {
            return Flow::Continue(());
        }
        let Some(turn) = self.permits.queue_up(self.queue) else { return Flow::refuse(head, busy()) };
        let (max, wait, exchange) = (self.max, self.wait, head.exchange().clone());
        Flow::wait(async move {
            match timeout(wait, turn.taken(max)).await {
                Ok(()) => Flow::Continue(()),
                Err(_) => Flow::Stop(Box::new(busy().into_response(&exchange))),
            }
        })
    }

    fn on_end(&self, _: &Exchange, _: &Ended) {
        self.permits.give_back();
    }
}

fn busy() -> Problem {
    let detail = "The server is busy with other requests. Try again.";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "OVERLOADED", detail).retry_after(1)
}

#[cfg(test)]
mod tests;
