//! The HTTP surface: the route table and one file per resource. No hardening, no SQL.
//!
//! Every route says which [`Access`] it needs; a pipeline that does not prove it is refused. Handlers read the
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
mod pipeline;
mod problem;
mod projects;
mod reply;
mod segments;
mod state;
mod stream;
mod table;
mod unknown_flags;

use std::{future::Future, sync::Arc};

use flagstone_layers::kernel::{Access, Call, Next, Problem, Request, Response, RouteSpec};
use http::Method;

use self::context::Context;
pub use self::{
    auth::{PLAIN_COOKIE, SECURE_COOKIE},
    fallback::Misdirected,
    state::{Figures, PipelineStatus, Protocol, Readiness, State, StreamOptions},
    table::{Table, TableError},
};

/// All routes with their handlers. A route's id is its place.
pub fn routes(state: &Arc<State>) -> Vec<(RouteSpec, Next)> {
    Routes::all(Some(Arc::clone(state)))
}

/// All routes as they describe themselves, in the same order, for commands that run no server. Their handlers answer 503.
pub fn specs() -> Vec<(RouteSpec, Next)> {
    Routes::all(None)
}

/// What answers a request that no route does, or may see: 400, 404, 405, 414.
pub fn fallback() -> Next {
    Next::new(|request: Request| Call::Ready(fallback::answer(&request)))
}

struct Routes {
    state: Option<Arc<State>>,
    routes: Vec<(RouteSpec, Next)>,
}

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;
const DELETE: Method = Method::DELETE;

impl Routes {
    fn all(state: Option<Arc<State>>) -> Vec<(RouteSpec, Next)> {
        let mut routes = Self { state, routes: Vec::new() };
        routes.operations();
        routes.accounts();
        routes.projects();
        routes.flags();
        routes.evaluation();
        routes.routes
    }

    fn add<F, Fut>(&mut self, spec: RouteSpec, handler: F)
    where
        F: Fn(Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response, Problem>> + Send + 'static,
    {
        let Some(state) = self.state.clone() else {
            self.routes
                .push((spec, Next::new(|request: Request| Call::Ready(fallback::no_server(&request)))));
            return;
        };
        let endpoint = Next::new(move |request: Request| {
            let exchange = Arc::clone(request.exchange());
            let answer = handler(Context::new(Arc::clone(&state), request));
            Call::Future(Box::pin(async move {
                answer.await.unwrap_or_else(|problem| problem.into_response(&exchange))
            }))
        });
        self.routes.push((spec, endpoint));
    }

    fn operations(&mut self) {
        use Access::{Admin, Public};
        self.add(RouteSpec::new(GET, "/health", "health", Public).inline(), health::live);
        self.add(RouteSpec::new(GET, "/health/ready", "readiness", Public), health::ready);
        self.add(RouteSpec::new(GET, "/metrics", "metrics", Public).optional(), metrics::show);
        self.add(RouteSpec::new(GET, "/api/management/pipeline", "pipeline_status", Admin), pipeline::show);
    }

    fn accounts(&mut self) {
        use Access::{Member, Public};
        self.add(RouteSpec::new(GET, "/api/auth/status", "auth_status", Public), auth::status);
        self.add(RouteSpec::new(POST, "/api/auth/setup", "setup", Public), auth::setup);
        self.add(RouteSpec::new(POST, "/api/auth/login", "login", Public), auth::login);
        self.add(RouteSpec::new(POST, "/api/auth/logout", "logout", Member), auth::logout);
        self.add(RouteSpec::new(GET, "/api/auth/me", "me", Member), auth::me);
        self.add(
            RouteSpec::new(POST, "/api/auth/change-password", "change_password", Member),
            auth::change_password,
        );
        self.add(RouteSpec::new(GET, "/api/auth/sessions", "own_sessions", Member), auth::sessions);
        self.add(
            RouteSpec::new(DELETE, "/api/auth/sessions/{id}", "end_own_session", Member),
            auth::end_session,
        );
    }

    fn projects(&mut self) {
        use Access::{Admin, Member};
        const ALL: &str = "/api/management/projects";
        const ONE: &str = "/api/management/projects/{project}";
        const ENVIRONMENTS: &str = "/api/management/projects/{project}/environments";
        const ENVIRONMENT: &str = "/api/management/projects/{project}/environments/{environment}";
        const KEYS: &str = "/api/management/projects/{project}/environments/{environment}/keys";
        const KEY: &str = "/api/management/projects/{project}/environments/{environment}/keys/{id}";
        self.add(RouteSpec::new(GET, ALL, "list_projects", Member), projects::list);
        self.add(RouteSpec::new(POST, ALL, "create_project", Admin), projects::create);
        self.add(RouteSpec::new(GET, ONE, "get_project", Member), projects::get);
        self.add(RouteSpec::new(PUT, ONE, "update_project", Admin), projects::update);
        self.add(RouteSpec::new(DELETE, ONE, "delete_project", Admin), projects::delete);
        self.add(RouteSpec::new(GET, ENVIRONMENTS, "list_environments", Member), environments::list);
        self.add(RouteSpec::new(POST, ENVIRONMENTS, "create_environment", Admin), environments::create);
        self.add(RouteSpec::new(PUT, ENVIRONMENTS, "reorder_environments", Admin), environments::reorder);
        self.add(RouteSpec::new(GET, ENVIRONMENT, "get_environment", Member), environments::get);
        self.add(RouteSpec::new(PUT, ENVIRONMENT, "update_environment", Admin), environments::update);
        self.add(RouteSpec::new(DELETE, ENVIRONMENT, "delete_environment", Admin), environments::delete);
        self.add(RouteSpec::new(GET, KEYS, "list_keys", Admin), keys::list);
        self.add(RouteSpec::new(POST, KEYS, "create_key", Admin), keys::create);
        self.add(RouteSpec::new(DELETE, KEY, "revoke_key", Admin), keys::revoke);
    }

    fn flags(&mut self) {
        use Access::Member;
        const FLAGS: &str = "/api/management/projects/{project}/flags";
        const FLAG: &str = "/api/management/projects/{project}/flags/{flag}";
        const CONFIG: &str = "/api/management/projects/{project}/flags/{flag}/environments/{environment}";
        const SEGMENTS: &str = "/api/management/projects/{project}/segments";
        const SEGMENT: &str = "/api/management/projects/{project}/segments/{segment}";
        const UNKNOWN: &str = "/api/management/projects/{project}/unknown-flags";
        const UNKNOWN_ONE: &str = "/api/management/projects/{project}/unknown-flags/{flag}";
        self.add(RouteSpec::new(GET, FLAGS, "list_flags", Member), flags::list);
        self.add(RouteSpec::new(POST, FLAGS, "create_flag", Member), flags::create);
        self.add(RouteSpec::new(GET, FLAG, "get_flag", Member), flags::get);
        self.add(RouteSpec::new(PUT, FLAG, "update_flag", Member), flags::update);
        self.add(RouteSpec::new(DELETE, FLAG, "delete_flag", Member), flags::delete);
        self.add(RouteSpec::new(GET, CONFIG, "get_flag_config", Member), flags::config);
        self.add(RouteSpec::new(PUT, CONFIG, "update_flag_config", Member), flags::update_config);
        self.add(RouteSpec::new(GET, SEGMENTS, "list_segments", Member), segments::list);
        self.add(RouteSpec::new(POST, SEGMENTS, "create_segment", Member), segments::create);
        self.add(RouteSpec::new(GET, SEGMENT, "get_segment", Member), segments::get);
        self.add(RouteSpec::new(PUT, SEGMENT, "update_segment", Member), segments::update);
        self.add(RouteSpec::new(DELETE, SEGMENT, "delete_segment", Member), segments::delete);
        self.add(RouteSpec::new(GET, UNKNOWN, "list_unknown_flags", Member), unknown_flags::list);
        self.add(RouteSpec::new(DELETE, UNKNOWN_ONE, "dismiss_unknown_flag", Member), unknown_flags::dismiss);
    }

    fn evaluation(&mut self) {
        use Access::{AnyKey, ServerKey, StreamToken};
        self.add(RouteSpec::new(POST, "/api/v1/evaluate", "evaluate_all", AnyKey).inline(), evaluate::all);
        self.add(RouteSpec::new(POST, "/api/v1/evaluate/{flag}", "evaluate", AnyKey).inline(), evaluate::one);
        self.add(RouteSpec::new(GET, "/api/v1/stream", "stream", AnyKey).streaming(), stream::sdk);
        self.add(
            RouteSpec::new(GET, "/api/v1/definitions", "definitions", ServerKey).inline(),
            definitions::show,
        );
        self.add(
            RouteSpec::new(POST, "/ofrep/v1/evaluate/flags", "ofrep_evaluate_all", AnyKey).inline(),
            ofrep::all,
        );
        self.add(
            RouteSpec::new(POST, "/ofrep/v1/evaluate/flags/{key}", "ofrep_evaluate", AnyKey).inline(),
            ofrep::one,
        );
        self.add(
            RouteSpec::new(GET, "/ofrep/v1/events", "ofrep_events", StreamToken).streaming(),
            stream::ofrep,
        );
    }
}
