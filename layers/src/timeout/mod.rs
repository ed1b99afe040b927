//! Bounds how long a handler may take until the head of its answer is there.
//!
//! Then the handler is dropped and the answer is a 503 with `Retry-After` and the code `TIMEOUT`: the server is what was
//! slow, and trying again may help (504 would speak of a server behind this one). The body is not bounded. A handler that
//! answers without waiting costs no timer.
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::convert::Infallible;
//!
//! use flagstone_layers::{
//!     kernel::{Body, Time},
//!     timeout::{Config, Timeout},
//! };
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! let service = ServiceBuilder::new()
//!     .layer(Timeout::layer(&Config { after: Time::milliseconds(10) }))
//!     .service(service_fn(async |_: Request<Body>| {
//!         std::future::pending::<()>().await;
//!         Ok::<_, Infallible>(Response::new(Body::empty()))
//!     }));
//!
//! let response = service.oneshot(Request::get("/").body(Body::empty())?).await?;
//! assert_eq!(response.status(), 503);
//! # Ok(())
//! # }
//! # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
//! ```

mod spec;

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::StatusCode;
use tokio::time::Sleep;

pub use self::spec::{Config, Spec};
use crate::kernel::{
    Around, Call, Exchange, Handler, Next, Problem, Request, Response, Standalone, WrapContext,
};

/// The layer.
#[derive(Clone, Copy, Debug)]
pub struct Timeout {
    after: Duration,
}

/// What is inside, bounded.
struct Bounded {
    inner: Next,
    after: Duration,
    place: WrapContext,
}

/// An answer that is waited for. The timer is made when there is something to wait for.
struct Answer {
    future: Pin<Box<dyn Future<Output = Response> + Send>>,
    limit: Option<Limit>,
}

struct Limit {
    after: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    place: WrapContext,
    exchange: Arc<Exchange>,
}

impl Timeout {
    /// A Tower layer that does this alone.
    pub fn layer(config: &Config) -> Standalone {
        Standalone::around(spec::KIND, Self::new(config))
    }

    fn new(config: &Config) -> Self {
        Self { after: config.after.0 }
    }
}

impl Around for Timeout {
    fn wrap(&self, inner: Next, context: &WrapContext) -> Next {
        Next::new(Bounded { inner, after: self.after, place: context.clone() })
    }
}

impl Handler for Bounded {
    fn call(&self, request: Request) -> Call {
        let exchange = request.exchange().clone();
        match self.inner.call(request) {
            Call::Ready(response) => Call::Ready(response),
            Call::Future(future) => {
                let limit = Limit { after: self.after, timer: None, place: self.place.clone(), exchange };
                Call::Future(Box::pin(Answer { future, limit: Some(limit) }))
            }
        }
    }
}

impl Future for Answer {
    type Output = Response;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Response> {
        if let Poll::Ready(response) = self.future.as_mut().poll(context) {
            return Poll::Ready(response);
        }
        let Some(limit) = &mut self.limit else { return Poll::Pending };
        let refusal = ready!(limit.poll(context));
        if refusal.is_none() {
            self.limit = None;
        }
        refusal.map_or(Poll::Pending, Poll::Ready)
    }
}

impl Limit {
    /// Ready when the time is over, with an answer unless this is observe mode.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Response>> {
        let after = self.after;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(after)));
        ready!(timer.as_mut().poll(context));
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Poll::Ready(self.place.refuses(&self.exchange, status).then(|| {
            Problem::new(status, "TIMEOUT", "The server took too long. Try again.")
                .retry_after(1)
                .into_response(&self.exchange)
        }))
    }
}

#[cfg(test)]
mod tests;
