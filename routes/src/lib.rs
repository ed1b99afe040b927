//! The HTTP surface: the route table and one file per resource. No hardening, no SQL.
//!
//! Every route says which access it needs; a pipeline that does not prove it is refused. Handlers read the
//! request, call one service and write the answer.

mod auth;
mod context;
mod definitions;
mod document;
mod environments;
mod evaluate;
mod fallback;
mod flags;
mod health;
mod json;
mod keys;
mod metrics;
mod ofrep;
mod openapi;
mod pipeline;
mod problem;
mod projects;
mod reply;
mod segments;
mod state;
mod stream;
mod table;
mod unknown_flags;

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{self, Poll, Waker},
};

use bytes::Bytes;
use flagstone_layers::kernel::{BodyError, Call, Next, Problem, Request, Response, RouteSpec};
use http::Method;

pub use self::{
    auth::{PLAIN_COOKIE, SECURE_COOKIE},
    fallback::Misdirected,
    metrics::content_type as metrics_content_type,
    state::{Dependency, Figures, PipelineStatus, Protocol, Readiness, State, StreamOptions},
    table::{Table, TableError},
};
use self::{context::Context, json::body_problem, openapi::Operation};

/// All routes with their handlers. A route's id is its place.
pub fn routes(state: &Arc<State>) -> Vec<(RouteSpec, Next)> {
    Routes::gather(Some(Arc::clone(state))).routes
}

/// All routes as they describe themselves, in the same order, for commands that run no server. Their handlers answer 503.
pub fn specs() -> Vec<(RouteSpec, Next)> {
    Routes::gather(None).routes
}

/// What answers a request that no route does, or may see: 400, 404, 405, 414.
pub fn fallback() -> Next {
    Next::new(|request: Request| Call::Ready(fallback::answer(&request)))
}

/// The routes as they are gathered, each with its operation in the document.
struct Routes {
    state: Option<Arc<State>>,
    routes: Vec<(RouteSpec, Next)>,
    operations: Vec<(RouteSpec, Operation)>,
}

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;
const DELETE: Method = Method::DELETE;

impl Routes {
    fn gather(state: Option<Arc<State>>) -> Self {
        let mut routes = Self { state, routes: Vec::new(), operations: Vec::new() };
        health::add(&mut routes);
        metrics::add(&mut routes);
        pipeline::add(&mut routes);
        auth::add(&mut routes);
        projects::add(&mut routes);
        environments::add(&mut routes);
        keys::add(&mut routes);
        flags::add(&mut routes);
        segments::add(&mut routes);
        unknown_flags::add(&mut routes);
        evaluate::add(&mut routes);
        definitions::add(&mut routes);
        ofrep::add(&mut routes);
        stream::add(&mut routes);
        openapi::add(&mut routes);
        routes
    }

    fn add<F, Fut>(&mut self, spec: RouteSpec, operation: Operation, handler: F)
    where
        F: Fn(Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response, Problem>> + Send + 'static,
    {
        self.describe(&spec, operation);
        self.handle(spec, handler);
    }

    fn describe(&mut self, spec: &RouteSpec, operation: Operation) {
        self.operations.push((spec.clone(), operation));
    }

    fn described(&self) -> &[(RouteSpec, Operation)] {
        &self.operations
    }

    fn handle<F, Fut>(&mut self, spec: RouteSpec, handler: F)
    where
        F: Fn(Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response, Problem>> + Send + 'static,
    {
        self.serve(spec, move |context| {
            let exchange = Arc::clone(context.exchange());
            let answer = handler(context);
            Call::Future(Box::pin(async move {
                answer.await.unwrap_or_else(|problem| problem.into_response(&exchange))
            }))
        });
    }

    /// A handler that waits for nothing but the body. It looks at the head before that is read.
    fn add_reader<T: Send + 'static>(
        &mut self,
        spec: RouteSpec,
        operation: Operation,
        look: fn(&Context) -> Result<T, Problem>,
        answer: fn(&Context, &T, &[u8]) -> Result<Response, Problem>,
    ) {
        self.describe(&spec, operation);
        self.serve(spec, move |mut context| {
            let seen = match look(&context) {
                Ok(seen) => seen,
                Err(problem) => return Call::Ready(problem.into_response(context.exchange())),
            };
            let mut reading = context.read();
            let respond = move |body: Result<Bytes, BodyError>| {
                let body = body.map_err(|error| body_problem(&error));
                let answer = body.and_then(|body| answer(&context, &seen, &body));
                answer.unwrap_or_else(|problem| problem.into_response(context.exchange()))
            };
            // Most bodies are there by now, and need no future. Whoever waits for another polls it again, with a waker
            // that wakes.
            match Pin::new(&mut reading).poll(&mut task::Context::from_waker(Waker::noop())) {
                Poll::Ready(body) => Call::Ready(respond(body)),
                Poll::Pending => Call::Future(Box::pin(async move {
                    let body = reading.await;
                    respond(body)
                })),
            }
        });
    }

    fn serve(&mut self, spec: RouteSpec, call: impl Fn(Context) -> Call + Send + Sync + 'static) {
        let endpoint = match self.state.clone() {
            Some(state) => Next::new(move |request: Request| call(Context::new(Arc::clone(&state), request))),
            None => Next::new(|request: Request| Call::Ready(fallback::no_server(&request))),
        };
        self.routes.push((spec, endpoint));
    }
}
