//! Answers 500 where a handler panics, and keeps a panic in an answer's body from ending more than that answer.
//!
//! The panic's message is logged once, with the request's id; the client is told only the id. It stands inside the layers
//! that log, count and set headers, so that its answer is logged and counted and carries them.
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::convert::Infallible;
//!
//! use flagstone_layers::{catch_panic::CatchPanic, kernel::Body};
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! let service = ServiceBuilder::new().layer(CatchPanic::layer()).service(service_fn(
//!     async |request: Request<Body>| -> Result<Response<Body>, Infallible> {
//!         panic!("cannot answer {}", request.uri())
//!     },
//! ));
//!
//! let response = service.oneshot(Request::get("/").body(Body::empty())?).await?;
//! assert_eq!(response.status(), 500);
//! # Ok(())
//! # }
//! # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
//! ```

mod body;
mod spec;

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::StatusCode;

use self::body::CaughtBody;
pub use self::spec::{Config, Spec};
use crate::kernel::{
    Around, Body, Call, Exchange, Handler, Next, Panic, Problem, Request, Response, Standalone, WrapContext,
};

/// The layer.
#[derive(Clone, Copy, Debug)]
pub struct CatchPanic;

/// What is inside, its panics caught.
struct Caught {
    inner: Next,
}

/// An answer that is waited for. The future is gone once it panicked.
struct Answer {
    future: Option<Pin<Box<dyn Future<Output = Response> + Send>>>,
    exchange: Arc<Exchange>,
}

impl CatchPanic {
    /// A Tower layer that does this alone.
    pub fn layer() -> Standalone {
        Standalone::around(spec::KIND, Self)
    }
}

impl Around for CatchPanic {
    fn wrap(&self, inner: Next, _: &WrapContext) -> Next {
        Next::new(Caught { inner })
    }
}

impl Handler for Caught {
    fn call(&self, request: Request) -> Call {
        let exchange = request.exchange().clone();
        match Panic::catch(|| self.inner.call(request)) {
            Ok(Call::Ready(response)) => Call::Ready(guard_body(response, exchange)),
            Ok(Call::Future(future)) => Call::Future(Box::pin(Answer { future: Some(future), exchange })),
            Err(panic) => Call::Ready(answer(&panic, &exchange)),
        }
    }
}

impl Future for Answer {
    type Output = Response;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Response> {
        // Polled after its end, it stays pending.
        let Some(future) = &mut self.future else { return Poll::Pending };
        Poll::Ready(match Panic::catch(|| future.as_mut().poll(context)) {
            Ok(polled) => guard_body(ready!(polled), self.exchange.clone()),
            Err(panic) => {
                Panic::drop_quietly(self.future.take());
                answer(&panic, &self.exchange)
            }
        })
    }
}

fn answer(panic: &Panic, exchange: &Exchange) -> Response {
    log(panic, exchange, "a handler panicked");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "The server could not answer.")
        .into_response(exchange)
}

/// A body that is in memory cannot panic and stays as it is.
fn guard_body(response: Response, exchange: Arc<Exchange>) -> Response {
    if response.body().is_in_memory() {
        return response;
    }
    response.map(|body| Body::new(CaughtBody::new(body, exchange)))
}

fn log(panic: &Panic, exchange: &Exchange, what: &'static str) {
    let request_id = exchange.request_id().map(tracing::field::display);
    let (method, route, location) = (exchange.method(), exchange.pattern(), panic.location());
    tracing::error!(request_id, %method, route, location, %panic, "{what}");
}

#[cfg(test)]
mod tests;
