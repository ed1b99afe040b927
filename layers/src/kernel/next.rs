use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use super::{body::Body, panic::Panic, request::Request};

/// An answer.
pub type Response = http::Response<Body>;

/// Any error of a body or a foreign service.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A handle on what is inside: one reference count to clone, never an error, always ready.
#[derive(Clone)]
pub struct Next(Arc<dyn Handler>);

/// An answer that is there already, or one to wait for.
#[expect(clippy::large_enum_variant, reason = "a box would allocate for each answer that is there")]
pub enum Call {
    /// It is there.
    Ready(Response),
    /// It has to be waited for.
    Future(Pin<Box<dyn Future<Output = Response> + Send>>),
}

/// Answers requests. It never fails: a fault is an answer too.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. May be called from any thread, concurrently; the future borrows nothing. That of a chain's
    /// end is polled once within the call.
    fn call(&self, request: Request) -> Call;
}

/// A [`Next`] from an async function.
pub fn handler<F, Fut>(function: F) -> Next
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Response> + Send + 'static,
{
    Next::new(move |request: Request| Call::Future(Box::pin(function(request))))
}

// === impl Next ===

impl Next {
    /// A handle on a handler.
    pub fn new(handler: impl Handler) -> Self {
        Self(Arc::new(handler))
    }

    /// Answers one request.
    pub fn call(&self, request: Request) -> Call {
        self.0.call(request)
    }
}

impl<F> Handler for F
where
    F: Fn(Request) -> Call + Send + Sync + 'static,
{
    fn call(&self, request: Request) -> Call {
        self(request)
    }
}

// === impl Call ===

impl Call {
    /// Asks once, before anybody waits: around an answer that is there already nothing needs a future of its own.
    #[must_use]
    pub(super) fn asked(self) -> Self {
        match self {
            Self::Ready(response) => Self::Ready(response),
            Self::Future(mut future) => {
                // Whoever waits polls it again, with a waker that wakes.
                let mut context = Context::from_waker(Waker::noop());
                match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut context))) {
                    Ok(Poll::Ready(response)) => Self::Ready(response),
                    Ok(Poll::Pending) => Self::Future(future),
                    Err(payload) => {
                        Panic::drop_quietly(future);
                        resume_unwind(payload)
                    }
                }
            }
        }
    }

    /// Waits for the answer, if it has to be waited for.
    pub async fn wait(self) -> Response {
        match self {
            Self::Ready(response) => response,
            Self::Future(future) => future.await,
        }
    }
}

impl std::fmt::Debug for Next {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Next")
    }
}
